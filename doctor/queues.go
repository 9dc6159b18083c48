package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
)

// listening is a queue that a socket listens on, as the kernel lists it.
type listening struct {
	number  uint16
	port    string // netlink port of the socket
	waiting string // packets
	// Packets lost since the queue was full, and since the receive buffer was.
	full, buffer string
}

const (
	queuesFile  = procNet + "netfilter/nfnetlink_queue"
	socketsFile = procNet + "netlink"
)

// queues lists those of the network namespace: none where the kernel has no NFQUEUE. Only
// the host's root may read it.
func (h *host) queues() (list []listening, err error) {
	text, err := h.text(queuesFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 7 {
			continue
		}
		n, err := strconv.ParseUint(f[0], 10, 16)
		if err != nil {
			return nil, fmt.Errorf("/%s: queue %q", queuesFile, f[0])
		}
		list = append(list, listening{number: uint16(n), port: f[1], waiting: f[2], full: f[5], buffer: f[6]})
	}
	return list, nil
}

// tableQueues are those that sttwall's table leads to; false: there is no such table.
func (h *host) tableQueues(s *ruleset) (numbers []uint16, there bool) {
	for _, c := range s.chains {
		if !c.ours() {
			continue
		}
		there = true
		p := packet{v4: true, port: h.settings.STTPorts[0], ct: ctUntracked}
		for i := range c.rules {
			_, _, acts := c.rules[i].judge(&p)
			for _, a := range acts {
				if a.kind == queued && !slices.Contains(numbers, a.queue) {
					numbers = append(numbers, a.queue)
				}
			}
		}
	}
	slices.Sort(numbers)
	return numbers, there
}

// firewall is a process that runs sttwall and listens on queues of this namespace.
type firewall struct {
	pid    int
	queues []uint16
}

func (f firewall) text() string {
	words := make([]string, len(f.queues))
	for i, n := range f.queues {
		words[i] = strconv.Itoa(int(n))
	}
	return fmt.Sprintf("process %d listens on queue %s", f.pid, strings.Join(words, ", "))
}

// firewalls are the processes that run sttwall and listen on queues here. What a process
// calls itself does not count: a queue is its socket's, a socket its process's, and a
// process runs the file that the kernel says. hidden are those that may be, and may not be
// looked into; none where all queues are known to be those of list.
func (h *host) firewalls() (list []firewall, hidden []string, err error) {
	links, ok := h.Root.(fs.ReadLinkFS)
	if !ok {
		return nil, nil, errors.New("links cannot be read")
	}
	queues, err := h.queues()
	if err != nil || len(queues) == 0 {
		return nil, nil, err
	}
	sockets, err := h.netfilterSockets()
	if err != nil {
		return nil, nil, err
	}
	processes, err := fs.ReadDir(h.Root, "proc")
	if err != nil {
		return nil, nil, err
	}
	for _, p := range processes {
		pid, err := strconv.Atoi(p.Name())
		if err != nil {
			continue
		}
		folder := path.Join("proc", p.Name())
		file, err := links.ReadLink(path.Join(folder, "exe"))
		if errors.Is(err, fs.ErrPermission) {
			if name, err := h.text(path.Join(folder, "comm")); err == nil && name == ourName {
				hidden = append(hidden, p.Name())
			}
			continue
		}
		if err != nil || !h.isOurs(folder, file) {
			continue // it has ended, is a thread of the kernel, or another program
		}
		open, err := fs.ReadDir(h.Root, path.Join(folder, "fd"))
		if errors.Is(err, fs.ErrPermission) {
			hidden = append(hidden, p.Name())
			continue
		}
		f := firewall{pid: pid}
		for _, fd := range open {
			to, err := links.ReadLink(path.Join(folder, "fd", fd.Name()))
			if err != nil {
				continue // it was closed
			}
			for _, q := range queues {
				if port, ok := sockets[to]; ok && port == q.port && !slices.Contains(f.queues, q.number) {
					f.queues = append(f.queues, q.number)
				}
			}
		}
		if len(f.queues) > 0 {
			slices.Sort(f.queues)
			list = append(list, f)
		}
	}
	slices.SortFunc(list, func(a, b firewall) int { return a.pid - b.pid })
	if !slices.ContainsFunc(queues, func(q listening) bool {
		return !slices.ContainsFunc(list, func(f firewall) bool { return slices.Contains(f.queues, q.number) })
	}) {
		hidden = nil
	}
	return list, hidden, nil
}

const ourName = "sttwall"

// isOurs reports whether a process runs sttwall: its file has that name, be it replaced
// meanwhile, or is the one that runs here.
func (h *host) isOurs(folder, file string) bool {
	if path.Base(strings.TrimSuffix(file, " (deleted)")) == ourName {
		return true
	}
	theirs, err := fs.Stat(h.Root, path.Join(folder, "exe"))
	if err != nil {
		return false
	}
	own, err := fs.Stat(h.Root, "proc/self/exe")
	return err == nil && os.SameFile(theirs, own)
}

// netfilterSockets are the netlink ports of this namespace's sockets to netfilter, by what
// a descriptor of theirs is a link to.
func (h *host) netfilterSockets() (map[string]string, error) {
	text, err := h.text(socketsFile)
	if err != nil {
		return nil, err
	}
	const protocol = "12" // NETLINK_NETFILTER
	ports := make(map[string]string)
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) >= 10 && f[1] == protocol {
			ports["socket:["+f[9]+"]"] = f[2]
		}
	}
	return ports, nil
}
