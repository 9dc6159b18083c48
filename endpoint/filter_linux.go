package endpoint

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/net/bpf"
)

const (
	// toThisHost is PACKET_HOST: the frame is for our link address. The rest
	// is other hosts' traffic, and what we send.
	toThisHost  = 0
	wholePacket = 0x40000
)

// underlayFilter returns a socket filter that takes TCP to address and port, in
// frames for this host, and no IP fragments.
func underlayFilter(address netip.Addr, port uint16) []bpf.Instruction {
	var f filter
	f.load(bpf.LoadExtension{Num: bpf.ExtType}, toThisHost)
	if address.Is4() {
		a := address.As4()
		f.load(bpf.LoadAbsolute{Off: 12, Size: 2}, etherTypeIPv4)
		f.load(bpf.LoadAbsolute{Off: etherHeaderLen + 9, Size: 1}, protocolTCP)
		f.load(bpf.LoadAbsolute{Off: etherHeaderLen + 16, Size: 4}, binary.BigEndian.Uint32(a[:]))
		f.program = append(f.program,
			bpf.LoadAbsolute{Off: etherHeaderLen + 6, Size: 2},
			bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0x3fff})
		f.require(0)
		f.program = append(f.program, bpf.LoadMemShift{Off: etherHeaderLen})
		f.load(bpf.LoadIndirect{Off: etherHeaderLen + 2, Size: 2}, uint32(port))
	} else {
		a := address.As16()
		f.load(bpf.LoadAbsolute{Off: 12, Size: 2}, etherTypeIPv6)
		f.load(bpf.LoadAbsolute{Off: etherHeaderLen + 6, Size: 1}, protocolTCP)
		for i := uint32(0); i < 16; i += 4 {
			f.load(bpf.LoadAbsolute{Off: etherHeaderLen + 24 + i, Size: 4}, binary.BigEndian.Uint32(a[i:]))
		}
		f.load(bpf.LoadAbsolute{Off: etherHeaderLen + 40 + 2, Size: 2}, uint32(port))
	}
	f.program = append(f.program, bpf.RetConstant{Val: wholePacket})
	return f.program
}

// filter is a program that refuses a packet at the first thing that is not as
// it should be.
type filter struct{ program []bpf.Instruction }

func (f *filter) load(i bpf.Instruction, want uint32) {
	f.program = append(f.program, i)
	f.require(want)
}

func (f *filter) require(want uint32) {
	f.program = append(f.program, bpf.JumpIf{Cond: bpf.JumpEqual, Val: want, SkipTrue: 1}, bpf.RetConstant{Val: 0})
}
