package load

import (
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// newHistogramMap makes the map that the sink counts in: one [Histogram], summed by
// the kernel's atomic addition since packets leave on any CPU.
func newHistogramMap() (*ebpf.Map, error) {
	m, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: "load_latency", Type: ebpf.Array, KeySize: 4, ValueSize: 8 * histogramLen, MaxEntries: 1,
	})
	if err != nil {
		return nil, fmt.Errorf("load: histogram: %w", err)
	}
	return m, nil
}

// writeTime is the part of a source that writes the time into the packet R6.
func writeTime(at int) asm.Instructions {
	return asm.Instructions{
		asm.FnKtimeGetNs.Call(),
		asm.StoreMem(asm.R6, int16(at), asm.R0, asm.DWord),
		asm.Xor.Imm(asm.R0, -1),
		asm.StoreMem(asm.R6, int16(at+stampLen/2), asm.R0, asm.DWord),
	}
}

// stampProgram is the part of the sink that counts how old a packet is. R6 is the
// context, R7 the line of the board; R8 where the packet begins; it
// uses R8 and R9.
func stampProgram(c sinkConfig) asm.Instructions {
	p := asm.Instructions{
		asm.LoadMem(asm.R2, asm.R6, skbLen, asm.Word),
		asm.Sub.Imm(asm.R2, stampLen),
	}
	if c.stampAt != 0 {
		p = asm.Instructions{
			asm.LoadMem(asm.R2, asm.R8, atSequence+2, asm.Half),
			asm.JNE.Imm(asm.R2, 0, "timed"),
			asm.Mov.Imm(asm.R2, int32(c.stampAt)),
		}
	}
	p = append(p,
		asm.StoreMem(asm.RFP, -stampLen-8, asm.R2, asm.DWord),
		asm.FnKtimeGetNs.Call(),
		asm.Mov.Reg(asm.R8, asm.R0),
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.LoadMem(asm.R2, asm.RFP, -stampLen-8, asm.DWord),
		asm.Mov.Reg(asm.R3, asm.RFP),
		asm.Add.Imm(asm.R3, -stampLen),
		asm.Mov.Imm(asm.R4, stampLen),
		asm.FnSkbLoadBytes.Call(),
		asm.JNE.Imm(asm.R0, 0, "wrong"),
		asm.LoadMem(asm.R1, asm.RFP, -stampLen, asm.DWord),
		asm.LoadMem(asm.R2, asm.RFP, -stampLen/2, asm.DWord),
		asm.Xor.Imm(asm.R2, -1),
		asm.JNE.Reg(asm.R1, asm.R2, "wrong"),
		asm.JGT.Reg(asm.R1, asm.R8, "wrong"),
		asm.Sub.Reg(asm.R8, asm.R1), // the age

		// slot: R2 becomes the number of its highest bit.
		asm.Mov.Reg(asm.R9, asm.R8),
		asm.JLT.Imm(asm.R8, 1<<fineBits, "slot"),
		asm.Mov.Imm(asm.R2, 0),
		asm.Mov.Reg(asm.R1, asm.R8),
	)
	for _, n := range []int32{32, 16, 8, 4, 2, 1} {
		next := fmt.Sprintf("below %d", n)
		p = append(p,
			asm.Mov.Reg(asm.R3, asm.R1),
			asm.RSh.Imm(asm.R3, n),
			asm.JEq.Imm(asm.R3, 0, next),
			asm.Mov.Reg(asm.R1, asm.R3),
			asm.Add.Imm(asm.R2, n),
			asm.Mov.Reg(asm.R3, asm.R3).WithSymbol(next),
		)
	}
	return append(p,
		asm.Sub.Imm(asm.R2, fineBits),
		asm.Mov.Reg(asm.R9, asm.R8),
		asm.RSh.Reg(asm.R9, asm.R2),
		asm.And.Imm(asm.R9, 1<<fineBits-1),
		asm.Add.Imm(asm.R2, 1),
		asm.LSh.Imm(asm.R2, fineBits),
		asm.Add.Reg(asm.R9, asm.R2),

		asm.JGE.Imm(asm.R9, histogramLen, "wrong").WithSymbol("slot"),
		asm.LSh.Imm(asm.R9, 3),
		asm.LoadMapValue(asm.R1, c.histogram.FD(), 0),
		asm.Add.Reg(asm.R1, asm.R9),
		asm.Mov.Imm(asm.R2, 1),
		asm.StoreXAdd(asm.R1, asm.R2, asm.DWord),
		asm.Ja.Label("timed"),

		asm.LoadMem(asm.R1, asm.R7, seenWrong, asm.DWord).WithSymbol("wrong"),
		asm.Add.Imm(asm.R1, 1),
		asm.StoreMem(asm.R7, seenWrong, asm.R1, asm.DWord),
		asm.Mov.Reg(asm.R7, asm.R7).WithSymbol("timed"),
	)
}
