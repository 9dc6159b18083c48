package load

import (
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// source makes the packets of one step of a [Traffic]: an XDP program that the kernel
// runs again and again over packets of its own, and whose XDP_PASS gives each to the
// network stack as if it had come in on an interface (BPF_F_TEST_XDP_LIVE_FRAMES,
// Documentation/bpf/bpf_prog_run.rst). No packet is copied from user space, and no
// socket is in its way. What the program does not let go, because the window is full
// or no packet is due, is dropped before it is anything.
type source struct {
	board    *board
	heads    *ebpf.Map
	program  *ebpf.Program
	template []byte
	batch    uint32
	ifindex  int
}

// runTimes is how often the program runs in one system call: some hundredths of a second.
const runTimes = 1 << 18

// standstill is how late a packet may be before those behind it are put off too.
const standstill = time.Millisecond

// sourceConfig says what a source sends.
type sourceConfig struct {
	traffic Traffic
	step    step
	// clientLow is what the address of flow 0's client ends in.
	clientLow uint16
	frames    [][]byte // what frames returned
	stamp     bool     // write the time into the end of each packet
	batch     uint32   // packets given to the stack at a time
	ifindex   int      // where they seem to come in, in the firewall's namespace
}

func newSource(b *board, c sourceConfig) (_ *source, err error) {
	heads, err := newHeads(c.frames)
	if err != nil {
		return nil, err
	}
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "load_source", Type: ebpf.XDP, License: "GPL", Instructions: sourceProgram(b, heads, c),
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("load: source: %w", err), heads.Close())
	}
	return &source{b, heads, program, c.frames[0], c.batch, c.ifindex}, nil
}

// newHeads makes the map of what frames begin with.
func newHeads(frames [][]byte) (*ebpf.Map, error) {
	heads, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: "load_heads", Type: ebpf.Array, KeySize: 4, ValueSize: headLen, MaxEntries: uint32(len(frames)),
	})
	if err != nil {
		return nil, fmt.Errorf("load: heads: %w", err)
	}
	for i, f := range frames {
		if err := heads.Put(uint32(i), f[:headLen]); err != nil {
			return nil, errors.Join(fmt.Errorf("load: head %d: %w", i, err), heads.Close())
		}
	}
	return heads, nil
}

func (s *source) close() error { return errors.Join(s.program.Close(), s.heads.Close()) }

// hold keeps the program in the kernel's XDP dispatcher until it is closed: attached to
// the loopback interface of the calling thread's namespace, where nothing comes in. Else
// each run puts it in and takes it out again, and waits for all CPUs each time
// (bpf_prog_change_xdp, synchronize_rcu): some 17 ms of silence.
func (s *source) hold() (link.Link, error) {
	l, err := link.AttachXDP(link.XDPOptions{Program: s.program, Interface: loopback, Flags: link.XDPGenericMode})
	if err != nil {
		return nil, fmt.Errorf("load: source: hold: %w", err)
	}
	return l, nil
}

// run: see [sender].
func (s *source) run(stop <-chan struct{}, begun func()) error {
	hold, err := s.hold()
	if err != nil {
		return err
	}
	defer hold.Close()
	begun()
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		if _, err := s.program.Run(&ebpf.RunOptions{
			Data: s.template,
			// struct xdp_md (linux/bpf.h): data, data_end, data_meta,
			// ingress_ifindex, rx_queue_index, egress_ifindex.
			Context:   [6]uint32{0, uint32(len(s.template)), 0, uint32(s.ifindex), 0, 0},
			Repeat:    runTimes,
			BatchSize: s.batch,
			Flags:     unix.BPF_F_TEST_XDP_LIVE_FRAMES,
		}); err != nil {
			return fmt.Errorf("load: source: run: %w", err)
		}
	}
}

// sourceProgram writes the program. R6 is the packet, R7 its flow, R8 the sum that goes
// to the outer checksum, R9 the board.
func sourceProgram(b *board, heads *ebpf.Map, c sourceConfig) asm.Instructions {
	length := int32(len(c.frames[0]))
	p := asm.Instructions{
		// A packet may be used again after it went through the stack: only its
		// length is sure.
		asm.LoadMem(asm.R6, asm.R1, 0, asm.Word),
		asm.LoadMem(asm.R2, asm.R1, 4, asm.Word),
		asm.Mov.Reg(asm.R3, asm.R6),
		asm.Add.Imm(asm.R3, length),
		asm.JGT.Reg(asm.R3, asm.R2, "drop"),

		// At the limit? Then no other frame begins.
		asm.LoadMapValue(asm.R9, b.bpf.FD(), 0),
		asm.LoadMem(asm.R1, asm.R9, boardSent, asm.DWord),
		asm.LoadMem(asm.R3, asm.R9, boardPiece, asm.Word),
		asm.JNE.Imm(asm.R3, 0, "below"),
		asm.LoadMem(asm.R2, asm.R9, boardLimit, asm.DWord),
		asm.JGE.Reg(asm.R1, asm.R2, "drop"),
		asm.Mov.Reg(asm.R3, asm.R1).WithSymbol("below"),
	}
	// Is the window full?
	for cpu := range b.cpus {
		p = append(p,
			asm.LoadMem(asm.R2, asm.R9, int16(boardSeen+cpu*seenLine+seenPackets), asm.DWord),
			asm.Sub.Reg(asm.R3, asm.R2),
		)
	}
	p = append(p,
		asm.LoadMem(asm.R2, asm.R9, boardWindow, asm.DWord),
		asm.JSGE.Reg(asm.R3, asm.R2, "full"),

		// Is a packet due? After a standstill those that were due do not come all at
		// once: they would wait for each other.
		asm.LoadMem(asm.R7, asm.R9, boardGap, asm.DWord),
		asm.JEq.Imm(asm.R7, 0, "due"),
		asm.FnKtimeGetNs.Call(),
		asm.LoadMem(asm.R1, asm.R9, boardDue, asm.DWord),
		asm.JLT.Reg(asm.R0, asm.R1, "drop"),
		asm.Mov.Reg(asm.R2, asm.R0),
		asm.Sub.Reg(asm.R2, asm.R1),
		asm.JLT.Imm(asm.R2, int32(standstill), "in time"),
		asm.Mov.Reg(asm.R1, asm.R0),
		asm.Add.Reg(asm.R1, asm.R7).WithSymbol("in time"),
		asm.StoreMem(asm.R9, boardDue, asm.R1, asm.DWord),

		// Write the head.
		asm.LoadMem(asm.R1, asm.R9, boardHead, asm.Word).WithSymbol("due"),
		asm.StoreMem(asm.RFP, -4, asm.R1, asm.Word),
		asm.Add.Imm(asm.R1, 1),
		asm.JLT.Imm(asm.R1, int32(len(c.frames)), "more heads"),
		asm.Mov.Imm(asm.R1, 0),
		asm.StoreMem(asm.R9, boardHead, asm.R1, asm.Word).WithSymbol("more heads"),
	)
	p = append(p, writeHead(heads)...)
	p = append(p, mend(c)...)
	if c.stamp {
		p = append(p, writeTime(len(c.frames[0])-stampLen)...)
	}
	return append(p,
		asm.LoadMem(asm.R1, asm.R9, boardSent, asm.DWord),
		asm.Add.Imm(asm.R1, 1),
		asm.StoreMem(asm.R9, boardSent, asm.R1, asm.DWord),
		asm.Mov.Imm(asm.R0, 2), // XDP_PASS
		asm.Return(),
		asm.LoadMem(asm.R1, asm.R9, boardFull, asm.DWord).WithSymbol("full"),
		asm.Add.Imm(asm.R1, 1),
		asm.StoreMem(asm.R9, boardFull, asm.R1, asm.DWord),
		asm.Mov.Imm(asm.R0, 1).WithSymbol("drop"), // XDP_DROP
		asm.Return(),
	)
}

// writeHead writes a head into the packet R6, the one whose number is on top of the stack.
func writeHead(heads *ebpf.Map) asm.Instructions {
	p := asm.Instructions{
		asm.LoadMapPtr(asm.R1, heads.FD()),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -4),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "drop"),
	}
	for at, size := 0, 0; at < headLen; at += size {
		unit := asm.DWord
		switch size = 8; {
		case headLen-at < 4:
			unit, size = asm.Half, 2
		case headLen-at < 8:
			unit, size = asm.Word, 4
		}
		p = append(p, asm.LoadMem(asm.R1, asm.R0, int16(at), unit), asm.StoreMem(asm.R6, int16(at), asm.R1, unit))
	}
	return p
}

// mend writes frame ID, source port and what belongs to the flow, counts them on, and
// brings the checksums in line (RFC 1624). Sums are made of halfwords as they lie in
// memory: a one's complement sum does not mind the byte order.
func mend(c sourceConfig) asm.Instructions {
	// The frame ID: the head has 0.
	p := asm.Instructions{
		asm.LoadMem(asm.R7, asm.R9, boardFlow, asm.Word),
		asm.LoadMem(asm.R8, asm.R9, boardFrame, asm.Word),
		asm.Mov.Reg(asm.R1, asm.R8),
		asm.HostTo(asm.BE, asm.R1, asm.Word),
		asm.StoreMem(asm.R6, atFrameID, asm.R1, asm.Word),
		asm.HostTo(asm.BE, asm.R8, asm.Word),
		asm.Mov.Reg(asm.R1, asm.R8),
		asm.RSh.Imm(asm.R1, 16),
		asm.And.Imm(asm.R8, 0xffff),
		asm.Add.Reg(asm.R8, asm.R1),

		// The outer source port: the head has tunnelPort. R2 keeps the low bits of
		// the flow in network byte order.
		asm.Mov.Reg(asm.R2, asm.R7),
		asm.And.Imm(asm.R2, 1<<portBits-1),
		asm.Mov.Reg(asm.R1, asm.R2),
		asm.Or.Imm(asm.R1, tunnelPort),
		asm.HostTo(asm.BE, asm.R1, asm.Half),
		asm.StoreMem(asm.R6, atSourcePort, asm.R1, asm.Half),
		asm.HostTo(asm.BE, asm.R2, asm.Half),
		asm.Add.Reg(asm.R8, asm.R2),

		// Only the first segment has inner headers.
		asm.LoadMem(asm.R1, asm.R6, atSequence+2, asm.Half),
		asm.JNE.Imm(asm.R1, 0, "outer"),
	}
	p = append(p, mendInner(c)...)
	p = append(p, asm.LoadMem(asm.R1, asm.R6, atOuterSum, asm.Half).WithSymbol("outer"))
	if !c.traffic.super(c.step) { // else it is the pseudo-header sum, which stays
		p = append(p, fold(atOuterSum)...)
	}

	// Count on: segments, frames, flows.
	return append(p,
		asm.LoadMem(asm.R1, asm.R9, boardPiece, asm.Word),
		asm.Add.Imm(asm.R1, 1),
		asm.JLT.Imm(asm.R1, int32(pieces(c)), "same frame"),
		asm.LoadMem(asm.R1, asm.R9, boardFrame, asm.Word),
		asm.Add.Imm(asm.R1, 1),
		asm.StoreMem(asm.R9, boardFrame, asm.R1, asm.Word),
		asm.Add.Imm(asm.R7, 1),
		asm.JLT.Imm(asm.R7, int32(max(c.traffic.Flows, 1)), "more flows"),
		asm.Mov.Imm(asm.R7, 0),
		asm.StoreMem(asm.R9, boardFlow, asm.R7, asm.Word).WithSymbol("more flows"),
		asm.Mov.Imm(asm.R1, 0),
		asm.StoreMem(asm.R9, boardPiece, asm.R1, asm.Word).WithSymbol("same frame"),
	)
}

// pieces is how many packets carry a frame.
func pieces(c sourceConfig) int {
	if c.step != stepData {
		return 1
	}
	return packets[c.traffic.Packet].segments
}

// mendInner writes the client's address and port: the head has those of flow 0. R2 is
// the part of the flow that goes to the port, R3 becomes that of the address.
func mendInner(c sourceConfig) asm.Instructions {
	address, port, sum := int16(atInnerIP+12+2), int16(atInnerL4), int16(atInnerL4+16)
	if c.step.back() {
		address, port = address+4, port+2
	}
	if c.traffic.Inner == UDP {
		sum = atInnerL4 + 6
	}
	p := asm.Instructions{
		asm.Mov.Reg(asm.R3, asm.R7),
		asm.RSh.Imm(asm.R3, portBits),
		asm.Mov.Reg(asm.R1, asm.R3),
		asm.Add.Imm(asm.R1, int32(c.clientLow)),
		asm.HostTo(asm.BE, asm.R1, asm.Half),
		asm.StoreMem(asm.R6, address, asm.R1, asm.Half),
		asm.HostTo(asm.BE, asm.R3, asm.Half),
		asm.LoadMem(asm.R1, asm.R6, port, asm.Half),
		asm.Add.Reg(asm.R1, asm.R2), // their bits do not overlap
		asm.StoreMem(asm.R6, port, asm.R1, asm.Half),

		asm.Mov.Reg(asm.R5, asm.R8),
	}
	// The address is in the checksum of the inner IP header, which leaves the sum over
	// both as it is.
	p = append(p, asm.Mov.Reg(asm.R8, asm.R3), asm.LoadMem(asm.R1, asm.R6, atInnerIP+10, asm.Half))
	p = append(p, fold(atInnerIP+10)...)
	if c.traffic.partial(c.step) {
		// The inner checksum is the pseudo-header sum: it goes up by the address, and
		// the sum over the outer payload by both.
		p = append(p,
			asm.Add.Reg(asm.R5, asm.R3),
			asm.Add.Reg(asm.R5, asm.R2),
			asm.Mov.Imm(asm.R8, 0xffff),
			asm.Sub.Reg(asm.R8, asm.R3),
		)
	} else {
		// Address and port are in the inner checksum. Over the outer payload all of it
		// adds up to what the address is in the pseudo-header, which the outer
		// checksum does not see: it goes down by the address.
		p = append(p,
			asm.Add.Imm(asm.R5, 0xffff),
			asm.Sub.Reg(asm.R5, asm.R3),
			asm.Mov.Reg(asm.R8, asm.R3),
			asm.Add.Reg(asm.R8, asm.R2),
		)
	}
	p = append(p, asm.LoadMem(asm.R1, asm.R6, sum, asm.Half))
	p = append(p, fold(sum)...)
	return append(p, asm.Mov.Reg(asm.R8, asm.R5))
}

// fold stores the checksum of R1, the one that stood there, after R8 was added to what
// it is over. It changes R1 and R4.
func fold(at int16) asm.Instructions {
	p := asm.Instructions{
		asm.Xor.Imm(asm.R1, 0xffff),
		asm.Add.Reg(asm.R1, asm.R8),
	}
	for range 2 {
		p = append(p,
			asm.Mov.Reg(asm.R4, asm.R1),
			asm.RSh.Imm(asm.R4, 16),
			asm.And.Imm(asm.R1, 0xffff),
			asm.Add.Reg(asm.R1, asm.R4),
		)
	}
	return append(p, asm.Xor.Imm(asm.R1, 0xffff), asm.StoreMem(asm.R6, at, asm.R1, asm.Half))
}
