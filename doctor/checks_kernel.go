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
			found = append(found, Finding{What: fmt.Sprintf("the kernel has no %s: %s", p.Name, p.For),
				Evidence: append([]string{p.Err.Error()}, h.configs(p.Configs)...),
				Cure:     "Load its module; where there is none, the kernel must be built with " + p.Configs, Commands: []Command{command("modprobe " + p.Module)}, Safe: true})
		}
	}
	return fmt.Sprintf("all %d parts", len(parts)), found, nil
}

func (h *host) kernel() []nfq.KernelPart {
	if h.Kernel != nil {
		return h.Kernel()
	}
	return nfq.ProbeKernel(0)
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
