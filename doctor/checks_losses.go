package doctor

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"sttwall/nfq"
)

// The checks of this file are about buffers and queues, and what was lost at them.

// receiveBuffer looks whether a queue's socket gets the buffer that it wants.
func receiveBuffer(h *host) (string, []Finding, error) {
	want := h.ReceiveBuffer
	if want == 0 {
		want = nfq.DefaultReceiveBuffer
	}
	force := h.ForceBuffer
	if force == nil {
		force = forceBuffer
	}
	if err := force(want); err == nil {
		return fmt.Sprintf("%d bytes can be forced", want), nil, nil
	}
	const file = "proc/sys/net/core/rmem_max"
	most, err := h.number(file)
	if err != nil {
		return "", nil, err
	}
	if most >= want {
		return fmt.Sprintf("net.core.rmem_max is %d", most), nil, nil
	}
	return "", []Finding{{What: fmt.Sprintf("a queue's receive buffer gets %d bytes of the %d that it wants", most, want),
		Evidence: []string{fmt.Sprintf("/%s: %d", file, most), "SO_RCVBUFFORCE is refused: no CAP_NET_ADMIN in the first user namespace"},
		Cure:     "Raise the bound, or run with that right", Commands: []Command{sysctl(file, strconv.Itoa(want))}, Safe: true}}, nil
}

func forceBuffer(bytes int) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, bytes)
}

// queueLosses reads what the kernel has lost at its queues since they were opened.
func queueLosses(h *host) (string, []Finding, error) {
	queues, err := h.queues()
	if err != nil {
		return "", nil, err
	}
	var found []Finding
	n := 0
	for _, q := range queues {
		if !h.ours(q.number) {
			continue // of others
		}
		n++
		cure := "more --queues, or a larger --queue-length"
		switch {
		case q.full != "0":
		case q.buffer != "0":
			cure = "more --queues, or a larger --receive-buffer"
		default:
			continue
		}
		found = append(found, Finding{What: fmt.Sprintf("queue %d has lost packets", q.number),
			Evidence: []string{fmt.Sprintf("/%s: queue %d: %s lost since the queue was full, %s since the receive buffer was, %s wait", queuesFile, q.number, q.full, q.buffer, q.waiting)},
			Cure:     "Start sttwall run with " + cure + "; docs/overload.md"})
	}
	return fmt.Sprintf("%d queues, none has lost any", n), found, nil
}

// backlog looks for packets that were lost before any hook.
func backlog(h *host) (string, []Finding, error) {
	const file = "proc/net/softnet_stat" // the same in all namespaces
	text, err := h.text(file)
	if err != nil {
		return "", nil, err
	}
	var lost uint64
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 1 {
			n, err := strconv.ParseUint(f[1], 16, 64)
			if err != nil {
				return "", nil, fmt.Errorf("%s: %w", file, err)
			}
			lost += n
		}
	}
	if lost == 0 {
		return "none lost", nil, nil
	}
	const setting = "proc/sys/net/core/netdev_max_backlog"
	length, err := h.number(setting)
	if err != nil {
		return "", nil, err
	}
	if length >= fineBacklog {
		return fmt.Sprintf("%d lost, netdev_max_backlog is %d", lost, length), nil, nil
	}
	return "", []Finding{{What: "packets were lost before the firewall, since a processor's backlog was full",
		Evidence: []string{fmt.Sprintf("/%s: second column, all processors: %d", file, lost), fmt.Sprintf("/%s: %d", setting, length)},
		Cure:     "Lengthen the backlog", Commands: []Command{sysctl(setting, strconv.Itoa(fineBacklog))}, Safe: true}}, nil
}

// fineBacklog holds a burst of some milliseconds at a million packets a second.
const fineBacklog = 10000
