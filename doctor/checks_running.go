package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"sttwall/nfq"
)

// The checks of this file are about the firewall that runs.

// failState looks for a table that sends STT to queues on which nobody listens.
func failState(h *host) (string, []Finding, error) {
	s, err := h.rules()
	if err != nil {
		return "", nil, err
	}
	numbers := make(map[uint16]bool)
	there := false
	for _, c := range s.chains {
		if !c.ours() {
			continue
		}
		there = true
		p := packet{v4: true, port: h.settings.STTPorts[0], ct: ctUntracked}
		for i := range c.rules {
			_, _, acts := c.rules[i].judge(&p)
			for _, a := range acts {
				if a.kind == queued {
					numbers[a.queue] = true
				}
			}
		}
	}
	if !there {
		return "no table of sttwall", nil, nil
	}
	cure := Finding{Cure: "Start the firewall (systemctl start sttwall), or take the table away: from then on STT passes uninspected",
		Commands: []Command{command("sttwall nft --remove")}}
	if len(numbers) == 0 {
		cure.What = "the table that drops STT until sttwall runs is there, and sttwall does not run"
		cure.Evidence = []string{"table inet " + nfq.TableName + ": no rule leads to a queue"}
		return "", []Finding{cure}, nil
	}
	queues, err := h.text(procNet + "netfilter/nfnetlink_queue")
	if err != nil {
		return "", nil, err
	}
	owned := make(map[string]bool)
	for line := range strings.Lines(queues) {
		if f := strings.Fields(line); len(f) > 1 {
			owned[f[0]] = true
		}
	}
	var deaf []string
	for n := range numbers {
		if text := fmt.Sprint(n); !owned[text] {
			deaf = append(deaf, text)
		}
	}
	if len(deaf) == 0 {
		return fmt.Sprintf("%d queues, each with a listener", len(numbers)), nil, nil
	}
	slices.Sort(deaf)
	cure.What = "the table of sttwall is there, and nobody listens on its queues: STT is dropped, or passes uninspected with --fail-open=absent"
	cure.Evidence = []string{"table inet " + nfq.TableName + ": queues " + strings.Join(deaf, ", "), "/" + procNet + "netfilter/nfnetlink_queue: no line for them"}
	return "", []Finding{cure}, nil
}

// secondFirewall looks for processes that run `sttwall run` in this network namespace.
func secondFirewall(h *host) (string, []Finding, error) {
	links, ok := h.Root.(fs.ReadLinkFS)
	if !ok {
		return "", nil, errors.New("links cannot be read")
	}
	own, err := links.ReadLink("proc/thread-self/ns/net")
	if err != nil {
		return "", nil, err
	}
	processes, err := fs.ReadDir(h.Root, "proc")
	if err != nil {
		return "", nil, err
	}
	var pids, hidden []string
	for _, p := range processes {
		if _, err := strconv.Atoi(p.Name()); err != nil {
			continue
		}
		line, err := fs.ReadFile(h.Root, path.Join("proc", p.Name(), "cmdline"))
		if err != nil {
			continue // it has ended, or is a thread of the kernel
		}
		words := strings.Split(string(line), "\x00")
		if path.Base(words[0]) != "sttwall" || len(words) < 2 || words[1] != "run" {
			continue
		}
		there, err := links.ReadLink(path.Join("proc", p.Name(), "ns/net"))
		switch {
		case err != nil:
			hidden = append(hidden, p.Name())
		case there == own:
			pids = append(pids, p.Name())
		}
	}
	switch {
	case len(pids) >= 2:
		commands := make([]Command, 0, len(pids)-1)
		slices.SortFunc(pids, func(a, b string) int { return len(a)*100 - len(b)*100 + strings.Compare(a, b) })
		for _, pid := range pids[1:] {
			commands = append(commands, command("kill "+pid))
		}
		return "", []Finding{{What: fmt.Sprintf("%d firewalls run in this network namespace", len(pids)), Evidence: []string{"/proc: processes " + strings.Join(pids, ", ")},
			Cure: "End all but one, unless one is taking over from the other just now (--take-over)", Commands: commands}}, nil
	case len(hidden) > 0:
		return "", nil, fmt.Errorf("not allowed: in which network namespace process %s is", strings.Join(hidden, ", "))
	}
	return fmt.Sprintf("%d runs here", len(pids)), nil, nil
}

// running is what a running firewall has dropped for reasons that are the host's.
var running = map[string]struct{ what, cure string }{
	"copy_too_short":      {"packets were larger than NFQUEUE carries", "Lower the senders' gso_max_size to 65000"},
	"outer_fragment":      {"endpoints send fragments", "Raise the MTU between the endpoints, or lower their tunnel MTU"},
	"outer_ip_checksum":   {"IP headers are damaged on the way", "Look at what is between this host and the endpoint"},
	"segment_too_small":   {"first segments are too small to decide on", "Raise the MTU of the path"},
	"mss_invalid":         {"frames ask for segments below settings.mss_floor", "Lower settings.mss_floor if the path really needs it"},
	"source_port_changed": {"source ports change within a frame: a NAT is on the way", "Take STT out of that NAT"},
	"frame_timeout":       {"segments are lost before the firewall", "Look at losses of the interfaces and queues"},
	"queue_full":          {"the kernel's queues were full", "More --queues, or a larger --queue-length"},
	"receive_buffer_full": {"the receive buffers of the queues were full", "More --queues, or a larger --receive-buffer"},
	"reassembly_full":     {"reassembly was full", "Raise --reassembly-memory and --max-held, or look at losses on the path"},
}

// seenByRunning asks the running firewall.
func seenByRunning(h *host) (string, []Finding, error) {
	if h.Drops == nil {
		return "", nil, errors.New("no --control")
	}
	drops, err := h.Drops(h.ctx)
	if err != nil {
		return "", nil, err
	}
	var found []Finding
	for _, d := range drops {
		known, ok := running[d.Reason]
		if !ok || d.Count == 0 {
			continue
		}
		found = append(found, Finding{What: known.what, Evidence: []string{fmt.Sprintf("sttwall drops: %s %d (%s)", d.Reason, d.Count, d.Where)}, Cure: known.cure})
	}
	return "it has dropped nothing for the host's sake", found, nil
}
