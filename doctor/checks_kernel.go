package doctor

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"sttwall/nfq"
)

// The checks of this file are about what the kernel can do, and how it was built.

// kernelParts asks for each part of the kernel.
func kernelParts(h *host) (string, []Finding, error) {
	parts := h.kernel()
	var found []Finding
	for _, p := range parts {
		switch {
		case errors.Is(p.Err, nfq.ErrNoCapability):
			return "", nil, p.Err
		case p.Err != nil:
			f := Finding{What: fmt.Sprintf("the kernel lacks %s: %s", p.Name, p.For),
				Evidence: append([]string{"tried: " + p.Err.Error()}, h.configs(p.Configs)...)}
			switch {
			case p.Configs == "":
				f.Cure = "Have nft -c -f check what sttwall nft --rules prints, which tells the rule; another kernel may take it"
			case p.Module == "":
				f.Cure = "The kernel must be built with " + p.Configs
			default:
				f.Cure = "Load its module; where there is none, the kernel must be built with " + p.Configs
				f.Commands, f.Safe = []Command{command("modprobe " + p.Module)}, true
			}
			found = append(found, f)
		}
	}
	return fmt.Sprintf("the kernel has all %d parts that the table for %s wants", len(parts), strings.Join(h.Hooks, ",")), found, nil
}

func (h *host) kernel() []nfq.KernelPart {
	if h.Kernel != nil {
		return h.Kernel()
	}
	return nfq.ProbeKernel(h.table())
}

// table is the table that run makes of the rules file, with several queues.
func (h *host) table() nfq.TableConfig {
	var list []nfq.Hook
	for _, word := range h.Hooks {
		hook, err := nfq.ParseHook(word)
		if err != nil {
			continue // Run has looked at them
		}
		list = append(list, hook)
	}
	in := nfq.InlineConfig{Queues: 2, Queue: nfq.Config{Number: h.Queue}, Hooks: nfq.HooksOf(list...)}
	c := in.TableConfig(h.settings)
	c.Own = nfq.NewOwn()
	return c
}

func (h *host) guard() error {
	if h.Guard != nil {
		return h.Guard()
	}
	return nfq.ProbeGuard(0)
}

// configs tells how the kernel was built, as to the options that a text names.
func (h *host) configs(text string) (list []string) {
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' }) {
		if strings.HasPrefix(word, "CONFIG_") {
			list = append(list, h.config(word))
		}
	}
	return list
}

// config tells how the kernel was built, as to one option.
func (h *host) config(option string) string {
	text, from, err := h.kernelConfig()
	if err != nil {
		return option + ": not known, since the kernel's configuration is not there"
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, option+"=") || line == "# "+option+" is not set" {
			return "/" + from + ": " + line
		}
	}
	return "/" + from + ": no " + option
}

// kernelConfig reads it from the kernel itself, or from the file that distributions lay
// beside it.
func (h *host) kernelConfig() (text, from string, err error) {
	const own = "proc/config.gz"
	if packed, err := fs.ReadFile(h.Root, own); err == nil {
		r, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			return "", "", fmt.Errorf("%s: %w", own, err)
		}
		const most = 4 << 20
		b, err := io.ReadAll(io.LimitReader(r, most))
		return string(b), own, err
	}
	release, err := h.text("proc/sys/kernel/osrelease")
	if err != nil {
		return "", "", err
	}
	from = "boot/config-" + release
	text, err = h.text(from)
	return text, from, err
}
