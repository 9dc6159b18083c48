package load

import (
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// board is the memory that the source, the sink and this process share: a BPF array
// of one value, mapped. It spares both sides a system call a look.
type board struct {
	bpf  *ebpf.Map
	mem  []byte
	cpus int
}

// Where things stand on the board, in bytes. The source writes its own two lines, each
// CPU's sink one, so that no two CPUs write to one line.
const (
	boardSent   = 0  // packets that the source has let go
	boardLimit  = 8  // it stops at so many
	boardWindow = 16 // so many may be on their way
	boardGap    = 24 // ns between two packets; 0 is no gap
	boardDue    = 32 // when the next one is due, on the clock of bpf_ktime_get_ns
	boardFull   = 40 // how often the window was full
	boardBurst  = 48 // how many super-segments are made at a time
	boardHead   = 64 // the next head, the next segment of the frame, frame and flow
	boardPiece  = 68
	boardFrame  = 72
	boardFlow   = 76
	boardSeen   = 128 // of CPU 0; then that of CPU 1

	// A line of the sink: packets, bytes of payload (of frames), and packets with a wrong
	// time.
	seenPackets = 0
	seenBytes   = 8
	seenWrong   = 16
	seenLine    = 64

	// maxCPUs bounds the CPUs that can be told apart; above them lines are shared, and
	// could lose a count.
	maxCPUs = 64

	boardLen = boardSeen + maxCPUs*seenLine
)

func newBoard() (*board, error) {
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return nil, fmt.Errorf("load: number of CPUs: %w", err)
	}
	if cpus > maxCPUs {
		return nil, fmt.Errorf("load: %d CPUs: at most %d", cpus, maxCPUs)
	}
	m, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: "load_board", Type: ebpf.Array, KeySize: 4, ValueSize: boardLen, MaxEntries: 1, Flags: unix.BPF_F_MMAPABLE,
	})
	if err != nil {
		return nil, fmt.Errorf("load: board: %w", err)
	}
	mem, err := unix.Mmap(m.FD(), 0, boardLen, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("load: board: map into memory: %w", err), m.Close())
	}
	return &board{m, mem, cpus}, nil
}

func (b *board) word(at int) *atomic.Uint64 { return (*atomic.Uint64)(unsafe.Pointer(&b.mem[at])) }
func (b *board) half(at int) *atomic.Uint32 { return (*atomic.Uint32)(unsafe.Pointer(&b.mem[at])) }

// sum adds a count of the sink over all CPUs.
func (b *board) sum(what int) (n uint64) {
	for c := range b.cpus {
		n += b.word(boardSeen + c*seenLine + what).Load()
	}
	return n
}

// sums adds packets and bytes of the sink, of one moment: a sink that counts meanwhile has
// counted the bytes of at most one packet more.
func (b *board) sums() (packets, bytes uint64) {
	for c := range b.cpus {
		at := boardSeen + c*seenLine
		p, n := b.word(at+seenPackets).Load(), b.word(at+seenBytes).Load()
		for again := b.word(at + seenPackets).Load(); again != p; again = b.word(at + seenPackets).Load() {
			p, n = again, b.word(at+seenBytes).Load()
		}
		packets, bytes = packets+p, bytes+n
	}
	return packets, bytes
}

func (b *board) close() error { return errors.Join(unix.Munmap(b.mem), b.bpf.Close()) }
