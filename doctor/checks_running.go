package doctor

import (
	"errors"
	"fmt"
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
	numbers, there := h.tableQueues(s)
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
	queues, err := h.queues()
	if err != nil {
		return "", nil, err
	}
	var deaf []string
	for _, n := range numbers {
		if !slices.ContainsFunc(queues, func(q listening) bool { return q.number == n }) {
			deaf = append(deaf, strconv.Itoa(int(n)))
		}
	}
	if len(deaf) == 0 {
		return fmt.Sprintf("%d queues, each with a listener", len(numbers)), nil, nil
	}
	cure.What = "the table of sttwall is there, and nobody listens on its queues: STT is dropped, or passes uninspected with --fail-open=absent"
	cure.Evidence = []string{"table inet " + nfq.TableName + ": queues " + strings.Join(deaf, ", "), "/" + queuesFile + ": no line for them"}
	return "", []Finding{cure}, nil
}

// secondFirewall looks for several processes that run sttwall on queues of this network
// namespace, and to whose queues the table leads.
func secondFirewall(h *host) (string, []Finding, error) {
	list, hidden, err := h.firewalls()
	if err != nil {
		return "", nil, err
	}
	if len(list) < 2 {
		if len(hidden) > 0 {
			return "", nil, fmt.Errorf("not allowed: on which queues process %s listens", strings.Join(hidden, ", "))
		}
		if len(list) == 0 {
			return "no sttwall listens on queues here", nil, nil
		}
		return list[0].text(), nil, nil
	}
	s, err := h.rules()
	if err != nil {
		return "", nil, err
	}
	numbers, there := h.tableQueues(s)
	if !there {
		return fmt.Sprintf("%d listen on queues here; without a table of sttwall, rules of others say which gets what", len(list)), nil, nil
	}
	leads := func(f firewall) bool {
		return slices.ContainsFunc(f.queues, func(n uint16) bool { return slices.Contains(numbers, n) })
	}
	// The one that the table leads to stays, or the first.
	stays := max(0, slices.IndexFunc(list, leads))
	found := Finding{What: fmt.Sprintf("%d firewalls run in this network namespace, and there is one table", len(list)),
		Cure: "End all but one, unless one is taking over from the other just now (--take-over)"}
	for i, f := range list {
		line := "/" + queuesFile + " and /proc: " + f.text()
		if leads(f) {
			line += ", to which the table leads"
		}
		found.Evidence = append(found.Evidence, line)
		if i != stays {
			found.Commands = append(found.Commands, command("kill %d", f.pid))
		}
	}
	return "", []Finding{found}, nil
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
