package load

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// sink counts the STT packets that come in on an interface, and drops them before the
// network stack does anything with them: a program at the interface's clsact hook, which
// is asked before any protocol is. With a histogram it also looks at the time that the
// source wrote into each.
type sink struct {
	program *ebpf.Program
}

// sinkConfig says what a sink counts, on an interface in the calling thread's namespace.
type sinkConfig struct {
	histogram *ebpf.Map // nil for none
	stampAt   int       // where the time stands in a frame's first packet; 0 is at the end of each
	ifindex   int
	port      uint16 // of the tunnel
}

// newSink attaches one, in the place of the one that was there. It stays as long as the
// interface.
func newSink(b *board, c sinkConfig) (*sink, error) {
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "load_sink", Type: ebpf.SchedCLS, License: "GPL", Instructions: sinkProgram(b, c),
	})
	if err != nil {
		return nil, fmt.Errorf("load: sink: %w", err)
	}
	if err := attach(program, c.ifindex, netlink.HANDLE_MIN_INGRESS); err != nil {
		return nil, errors.Join(fmt.Errorf("load: sink: attach: %w", err), program.Close())
	}
	return &sink{program}, nil
}

// attach makes program the only filter of what comes in at an interface, or goes out: that is
// what where says, a parent of filters.
func attach(program *ebpf.Program, ifindex int, where uint32) error {
	if err := netlink.QdiscReplace(&netlink.GenericQdisc{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: ifindex, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT},
		QdiscType:  "clsact",
	}); err != nil {
		return fmt.Errorf("clsact: %w", err)
	}
	return netlink.FilterReplace(&netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: ifindex, Parent: where, Handle: 1, Priority: 1, Protocol: unix.ETH_P_ALL,
		},
		Fd: program.FD(), Name: "load", DirectAction: true,
	})
}

func (s *sink) close() error { return s.program.Close() }

// Fields of struct __sk_buff (linux/bpf.h), in bytes.
const (
	skbLen     = 0
	skbData    = 76
	skbDataEnd = 80
)

// sinkProgram writes the program. R6 is its context, R7 this CPU's line of the board.
func sinkProgram(b *board, c sinkConfig) asm.Instructions {
	port := int32(c.port>>8 | c.port&0xff<<8) // as a halfword lies in memory
	p := asm.Instructions{
		// Anything but STT is none of ours.
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMem(asm.R1, asm.R6, skbData, asm.Word),
		asm.LoadMem(asm.R2, asm.R6, skbDataEnd, asm.Word),
		asm.Mov.Reg(asm.R3, asm.R1),
		asm.Add.Imm(asm.R3, etherLen+outerLen),
		asm.JGT.Reg(asm.R3, asm.R2, "pass"),
		asm.LoadMem(asm.R3, asm.R1, etherLen+9, asm.Byte),
		asm.JNE.Imm(asm.R3, 6, "pass"),
		asm.LoadMem(asm.R3, asm.R1, atSourcePort+2, asm.Half),
		asm.JNE.Imm(asm.R3, port, "pass"),
		asm.Mov.Reg(asm.R8, asm.R1),

		asm.FnGetSmpProcessorId.Call(),
		asm.And.Imm(asm.R0, maxCPUs-1),
		asm.Mul.Imm(asm.R0, seenLine),
		asm.LoadMapValue(asm.R7, b.bpf.FD(), boardSeen),
		asm.Add.Reg(asm.R7, asm.R0),
	}
	if c.histogram != nil {
		p = append(p, stampProgram(c)...)
	}
	return append(p,
		asm.LoadMem(asm.R1, asm.R6, skbLen, asm.Word),
		asm.Sub.Imm(asm.R1, etherLen+outerLen),
		asm.LoadMem(asm.R2, asm.R7, seenBytes, asm.DWord),
		asm.Add.Reg(asm.R2, asm.R1),
		asm.StoreMem(asm.R7, seenBytes, asm.R2, asm.DWord),
		asm.LoadMem(asm.R1, asm.R7, seenPackets, asm.DWord),
		asm.Add.Imm(asm.R1, 1),
		asm.StoreMem(asm.R7, seenPackets, asm.R1, asm.DWord),
		asm.Mov.Imm(asm.R0, 2), // TC_ACT_SHOT
		asm.Return(),
		asm.Mov.Imm(asm.R0, 0).WithSymbol("pass"), // TC_ACT_OK
		asm.Return(),
	)
}
