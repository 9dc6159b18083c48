package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// The checks of this file are about the host itself.

// refusedRules is what `sttwall check` says.
func refusedRules(h *host) (string, []Finding, error) {
	if h.Rules == "" {
		return "", nil, errors.New("no --rules")
	}
	if len(h.refused) == 0 {
		return h.Rules + " loads, its tests pass", nil, nil
	}
	return "", []Finding{{What: h.Rules + " does not load, or its tests fail", Evidence: firstOf(h.refused, 8),
		Cure: "Correct the file; sttwall check says what is wrong: " + Command{"sttwall", "check", h.Rules}.String()}}, nil
}

func firstOf(list []string, n int) []string {
	if len(list) > n {
		return append(slices.Clone(list[:n]), fmt.Sprintf("and %d lines more", len(list)-n))
	}
	return list
}

// trackedSTT looks for STT in the table of connections, and whether that is full.
func trackedSTT(h *host) (string, []Finding, error) {
	count, err := h.number("proc/sys/net/netfilter/nf_conntrack_count")
	if errors.Is(err, fs.ErrNotExist) {
		return "no connection tracking", nil, nil
	}
	if err != nil {
		return "", nil, err
	}
	most, err := h.number("proc/sys/net/netfilter/nf_conntrack_max")
	if err != nil {
		return "", nil, err
	}
	var found []Finding
	if most > 0 && count*10 > most*9 {
		found = append(found, Finding{Severity: Risk, What: fmt.Sprintf("the table of connections is nearly full: %d of %d", count, most),
			Evidence: []string{fmt.Sprintf("net.netfilter.nf_conntrack_count = %d, nf_conntrack_max = %d", count, most)},
			Cure:     "Make it larger; each entry takes about 320 bytes", Commands: []Command{sysctl("proc/sys/net/netfilter/nf_conntrack_max", strconv.Itoa(most*4))}, Safe: true})
	}
	s, err := h.rules()
	if err != nil {
		return "", found, err
	}
	if h.untracks(s) {
		return "a rule keeps STT from connection tracking", found, nil
	}
	stt, err := h.trackedConnections()
	if err != nil {
		return "", found, err
	}
	if stt == 0 {
		return fmt.Sprintf("%d connections, none of STT", count), found, nil
	}
	found = append(found, Finding{What: fmt.Sprintf("connection tracking has %d entries for STT of %d, and each new source port makes one", stt, count),
		Evidence: []string{"/" + procNet + "nf_conntrack", fmt.Sprintf("net.netfilter.nf_conntrack_max = %d", most), h.config("CONFIG_NF_CT_NETLINK") + " (conntrack -D deletes entries where it is set)"},
		Cure:     "Start sttwall, whose table has a notrack rule; or, with --no-nft, add one. The entries go by themselves", Commands: h.untrack()})
	return "", found, nil
}

// trackedConnections counts entries whose first direction goes to an STT port.
func (h *host) trackedConnections() (n int, err error) {
	text, err := h.text(procNet + "nf_conntrack")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(text) {
		if !strings.Contains(line, " tcp ") {
			continue
		}
		_, rest, ok := strings.Cut(line, " dport=")
		port, _, _ := strings.Cut(rest, " ")
		if p, err := strconv.ParseUint(port, 10, 16); ok && err == nil && slices.Contains(h.settings.STTPorts, uint16(p)) {
			n++
		}
	}
	return n, nil
}

// clock looks whether the time is kept.
func clock(h *host) (string, []Finding, error) {
	ask := h.Clock
	if ask == nil {
		ask = kernelClock
	}
	synchronised, err := ask()
	if err != nil {
		return "", nil, fmt.Errorf("adjtimex: %w", err)
	}
	if synchronised {
		return "synchronised", nil, nil
	}
	return "", []Finding{{What: "the clock of this host is not synchronised", Evidence: []string{"adjtimex(2): STA_UNSYNC"},
		Cure: "Have a time service run (systemd-timesyncd, chrony, ntpd)", Commands: []Command{command("timedatectl set-ntp true")}}}, nil
}

func kernelClock() (bool, error) {
	var t unix.Timex
	_, err := unix.Adjtimex(&t)
	const unsynchronised = 0x40 // STA_UNSYNC
	return t.Status&unsynchronised == 0, err
}
