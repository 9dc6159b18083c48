package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// processors reads a list such as 0-3,8.
func processors(text string) (list []int, err error) {
	if text == "" {
		return nil, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		first, last, ranged := strings.Cut(part, "-")
		if !ranged {
			last = first
		}
		from, err1 := strconv.Atoi(first)
		to, err2 := strconv.Atoi(last)
		if err1 != nil || err2 != nil || from > to || to-from > 8192 {
			return nil, fmt.Errorf("%q is no list of processors", text)
		}
		for n := from; n <= to; n++ {
			list = append(list, n)
		}
	}
	return list, nil
}

func (h *host) processors(file string) ([]int, error) {
	text, err := h.text(file)
	if err != nil {
		return nil, err
	}
	return processors(text)
}

const onlineFile = "sys/devices/system/cpu/online"

// pinned looks whether the processors of --cpus are there.
func pinned(h *host) (string, []Finding, error) {
	if len(h.CPUs) == 0 {
		return "no --cpus", nil, nil
	}
	online, err := h.processors(onlineFile)
	if err != nil {
		return "", nil, err
	}
	var off []string
	for _, c := range h.CPUs {
		if !slices.Contains(online, c) {
			off = append(off, strconv.Itoa(c))
		}
	}
	if len(off) == 0 {
		return fmt.Sprintf("%d processors, all online", len(h.CPUs)), nil, nil
	}
	return "", []Finding{{What: "workers are to be pinned to processors that are not online: " + strings.Join(off, ", "),
		Evidence: []string{fmt.Sprintf("/%s: %v", onlineFile, online)}, Cure: "Name others with --cpus, or bring those online"}}, nil
}

// spread looks for interfaces all of whose packets one processor takes: one receive queue,
// or all interrupts on one processor, and no RPS.
func spread(h *host) (string, []Finding, error) {
	online, err := h.processors(onlineFile)
	if err != nil {
		return "", nil, err
	}
	links, err := h.outward()
	if err != nil {
		return "", nil, err
	}
	if len(online) < 2 {
		return "one processor", nil, nil
	}
	var found []Finding
	looked := 0
	for _, l := range links {
		name := l.Attrs().Name
		folder := "sys/class/net/" + name
		if _, err := fs.Stat(h.Root, folder+"/device"); errors.Is(err, fs.ErrNotExist) {
			continue // nothing with interrupts
		}
		queues, err := fs.Glob(h.Root, folder+"/queues/rx-*")
		if err != nil {
			return "", nil, err
		}
		if len(queues) == 0 {
			continue
		}
		looked++
		steered := false
		for _, q := range queues {
			mask, err := h.text(path.Join(q, "rps_cpus"))
			if err != nil {
				return "", nil, err
			}
			steered = steered || strings.Trim(mask, "0,") != ""
		}
		takers, lines, err := h.takers(name)
		if err != nil {
			return "", nil, err
		}
		if steered || len(queues) > 1 && len(takers) != 1 {
			continue
		}
		evidence := append([]string{fmt.Sprintf("/%s/queues: %d to receive, rps_cpus is 0", folder, len(queues))}, firstOf(lines, 4)...)
		var commands []Command
		for _, q := range queues {
			commands = append(commands, Command{"sh", "-c", fmt.Sprintf("echo %s > /%s/rps_cpus", mask(online), q)})
		}
		found = append(found, Finding{What: "one processor takes all packets of " + name, Evidence: evidence,
			Cure: "Let the interface have more queues (ethtool -L " + name + " combined N) and spread their interrupts; where it cannot, have the kernel spread the packets", Commands: commands, Safe: true})
	}
	return fmt.Sprintf("%d interfaces with interrupts", looked), found, nil
}

// takers are the processors that take the interrupts of an interface, and where that was
// read.
func (h *host) takers(name string) (list []int, read []string, err error) {
	interrupts, err := h.text("proc/interrupts")
	if err != nil {
		return nil, nil, err
	}
	for line := range strings.Lines(interrupts) {
		number, rest, ok := strings.Cut(strings.TrimSpace(line), ":")
		if !ok || !ofInterface(rest, name) {
			continue
		}
		file := "proc/irq/" + number + "/effective_affinity_list"
		some, err := h.processors(file)
		if err != nil {
			return nil, nil, err
		}
		for _, c := range some {
			if !slices.Contains(list, c) {
				list = append(list, c)
			}
		}
		read = append(read, fmt.Sprintf("/%s: %v", file, some))
	}
	return list, read, nil
}

// workersBeside looks for workers that are pinned to the processors that take the
// interrupts, while others have nothing to do.
func workersBeside(h *host) (string, []Finding, error) {
	if len(h.CPUs) == 0 {
		return "no --cpus", nil, nil
	}
	online, err := h.processors(onlineFile)
	if err != nil {
		return "", nil, err
	}
	links, err := h.outward()
	if err != nil {
		return "", nil, err
	}
	var taken []int
	var evidence []string
	for _, l := range links {
		list, read, err := h.takers(l.Attrs().Name)
		if err != nil {
			return "", nil, err
		}
		taken, evidence = append(taken, list...), append(evidence, read...)
	}
	free := slices.DeleteFunc(slices.Clone(online), func(c int) bool { return slices.Contains(taken, c) || slices.Contains(h.CPUs, c) })
	var both []string
	for _, c := range h.CPUs {
		if slices.Contains(taken, c) {
			both = append(both, strconv.Itoa(c))
		}
	}
	if len(both) == 0 || len(free) < len(both) {
		return fmt.Sprintf("%d of %d processors take interrupts of their interfaces, %d do nothing else", len(both), len(h.CPUs), len(free)), nil, nil
	}
	return "", []Finding{{What: "workers are to be pinned to processors that take interrupts, and others have nothing to do: " + strings.Join(both, ", "),
		Evidence: append(firstOf(evidence, 4), fmt.Sprintf("--cpus %v, free are %v", h.CPUs, free)),
		Cure:     "Start sttwall run with --cpus of processors that take none, on the same NUMA node; or move the interrupts"}}, nil
}

// ofInterface reports whether a line of interrupts is an interface's, as drivers name
// them: eth0, eth0-rx-0, i40e-eth0-TxRx-0, mlx5_comp0@pci:0000:01:00.0-eth0.
func ofInterface(line, name string) bool {
	return slices.ContainsFunc(strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' || r == ',' }), func(w string) bool {
		return strings.Contains("-"+w+"-", "-"+name+"-")
	})
}

// mask writes processors as the kernel reads them: groups of 32 bits in hex.
func mask(list []int) string {
	var words []uint32
	for _, c := range list {
		for len(words) <= c/32 {
			words = append(words, 0)
		}
		words[c/32] |= 1 << (c % 32)
	}
	var text []string
	for _, w := range slices.Backward(words) {
		text = append(text, fmt.Sprintf("%x", w))
		if len(text) > 1 {
			text[len(text)-1] = fmt.Sprintf("%08x", w)
		}
	}
	return strings.Join(text, ",")
}

// userNamespaces looks whether an ordinary user can make the namespaces of the demo.
func userNamespaces(h *host) (string, []Finding, error) {
	if !h.Ordinary {
		return "root needs no leave", nil, nil
	}
	const most = "proc/sys/user/max_user_namespaces"
	n, err := h.number(most)
	if err != nil {
		return "", nil, err
	}
	var found []Finding
	add := func(file string, value int, fine string) {
		found = append(found, Finding{What: "an ordinary user can make no namespaces: sttwall demo takes root here", Evidence: []string{fmt.Sprintf("/%s: %d", file, value)},
			Cure: "Allow it, or run the demo as root", Commands: []Command{sysctl(file, fine)}})
	}
	if n == 0 {
		add(most, n, "10000")
	}
	for _, s := range []struct {
		file, fine string
		closed     int
	}{{"proc/sys/kernel/unprivileged_userns_clone", "1", 0}, {"proc/sys/kernel/apparmor_restrict_unprivileged_userns", "0", 1}} {
		v, err := h.number(s.file)
		switch {
		case errors.Is(err, fs.ErrNotExist): // most kernels have neither
		case err != nil:
			return "", found, err
		case v == s.closed:
			add(s.file, v, s.fine)
		}
	}
	return "an ordinary user can make them", found, nil
}
