package nfq

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"sttwall/internal/privilege"
)

// procQueue reads one queue's line of /proc/net/netfilter/nfnetlink_queue. The
// file stays open: its network namespace is that of the thread that opened it.
// Safe for any goroutine. A nil procQueue knows nothing.
type procQueue struct {
	mu     sync.Mutex
	file   *os.File
	number uint16
	buf    []byte
}

// mostProc has room for all 65,536 queues in bytes: a line has 100 at most.
const mostProc = 8 << 20

// openProcQueue returns nil where the file cannot be read, as in a user
// namespace.
func openProcQueue(ns NetNS, number uint16) *procQueue {
	var file *os.File
	err := inNetNS(ns, func() (err error) {
		return privilege.ReadAll(func() error {
			file, err = os.Open("/proc/thread-self/net/netfilter/nfnetlink_queue")
			return err
		})
	})
	if err != nil {
		return nil
	}
	return &procQueue{file: file, number: number, buf: make([]byte, 16<<10)}
}

func (p *procQueue) read() (KernelStats, bool) {
	if p == nil {
		return KernelStats{}, false
	}
	return p.of(p.number)
}

// of reads the line of another queue.
func (p *procQueue) of(number uint16) (KernelStats, bool) {
	if p == nil {
		return KernelStats{}, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.file == nil {
		return KernelStats{}, false
	}
	n, _ := p.file.ReadAt(p.buf, 0) // io.EOF behind the last line
	for n == len(p.buf) && n < mostProc {
		p.buf = make([]byte, 2*n)
		n, _ = p.file.ReadAt(p.buf, 0)
	}
	return parseProcQueue(p.buf[:n], number)
}

func (p *procQueue) close() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.file != nil {
		_ = p.file.Close()
		p.file = nil
	}
}

// parseProcQueue finds a queue's line. Its columns are (nfnetlink_queue.c,
// seq_show): number, owner's netlink port, packets waiting, copy mode, copy
// range, dropped because the queue was full, dropped because the owner's
// receive buffer was, ID of the last packet, 1.
func parseProcQueue(text []byte, number uint16) (KernelStats, bool) {
	for line := range bytes.Lines(text) {
		fields := bytes.Fields(line)
		if len(fields) < 8 {
			continue
		}
		var v [8]uint32
		ok := true
		for i := range v {
			n, err := strconv.ParseUint(string(fields[i]), 10, 32)
			if err != nil {
				ok = false
				break
			}
			v[i] = uint32(n)
		}
		if ok && v[0] == uint32(number) {
			return KernelStats{Owner: v[1], Waiting: v[2], DroppedFull: v[5], DroppedBuffer: v[6], Sequence: v[7]}, true
		}
	}
	return KernelStats{}, false
}

// inNetNS runs f on a thread in the network namespace ns, or on the caller's
// thread if ns is zero.
func inNetNS(ns NetNS, f func() error) error {
	if ns == 0 {
		return f()
	}
	result := make(chan error, 1)
	go func() {
		// Never unlocked: the thread ends with this goroutine and nobody
		// inherits its namespace.
		runtime.LockOSThread()
		if err := unix.Setns(int(ns), unix.CLONE_NEWNET); err != nil {
			result <- fmt.Errorf("enter the network namespace: %w", err)
			return
		}
		result <- f()
	}()
	return <-result
}
