package inspect

import (
	"encoding/binary"

	"sttwall/internal/checksum"
	"sttwall/reason"
)

// Offload is what a tunnel header claims of the inner packet, so that the
// receiver can finish its checksum and cut it into packets.
type Offload struct {
	// Partial: the inner L4 checksum is the pseudo-header sum alone, and the
	// receiver finishes it. Without it, IPv4, TCP and MSS mean nothing.
	Partial bool
	IPv4    bool // else IPv6
	TCP     bool // else UDP
	// L4Offset is where the receiver takes the TCP or UDP header to be: bytes
	// from the start of the inner frame. 0: not given.
	L4Offset uint8
	// MSS is the TCP payload, in bytes, of the packets to cut; 0: do not cut.
	MSS uint16
	// MSSFloor is the smallest MSS that may have an effect; 0: any. It is the
	// firewall's, not the header's.
	MSSFloor uint16
}

// Verify compares what a tunnel header claims with the frame that f was decoded
// from: data and length as given to [Frame.Decode]. data is borrowed until the
// call returns.
//
// With Partial, [reason.None] means that a receiver that believes every claim
// writes two bytes, and these are the checksum field of the header that f read;
// and that the headers it replicates are those that f read. A claim too weak to
// mean anything (an MSS of at least the TCP payload) is no lie: what leaves
// does not repeat it.
func (f *Frame) Verify(data []byte, length int, o Offload) reason.Reason {
	if !o.Partial {
		// Nobody uses it, but it is checked: a liar is not worth forwarding.
		if o.L4Offset != 0 && int(o.L4Offset) != f.L4Offset {
			return reason.L4OffsetMismatch
		}
		return reason.None
	}

	// Receivers look for the ethertype at byte 12 and for the IP length behind
	// it, blind to tags and SNAP; a fragment's checksum is not its own.
	if f.IP == 0 || f.L3Offset != ethernetLen || (f.IP == 4) != o.IPv4 ||
		f.Fragmented || f.Atomic {
		return reason.PartialFlags
	}
	protocol := uint8(ProtocolUDP)
	if o.TCP {
		protocol = ProtocolTCP
	}
	if f.Protocol != protocol || f.L4Offset < 0 {
		return reason.PartialFlags
	}
	if len(data) < f.HeaderBytes {
		return reason.CopyTooShort
	}
	// The receiver computes the checksum to the end of the frame.
	size := f.IPEnd - f.L4Offset
	if f.IPEnd != length {
		return reason.PartialLength
	}
	if !o.TCP && int(binary.BigEndian.Uint16(data[f.L4Offset+4:])) != size {
		return reason.PartialLength
	}
	if int(o.L4Offset) != f.L4Offset {
		return reason.L4OffsetMismatch
	}
	if binary.BigEndian.Uint16(data[f.ChecksumOffset():]) != f.pseudoSum(data, size) {
		return reason.PartialChecksum
	}
	if o.MSS == 0 {
		return reason.None
	}
	if !o.TCP || o.MSS < o.MSSFloor && int(o.MSS) < f.TCPPayload() {
		return reason.MSSInvalid
	}
	return reason.None
}

// pseudoSum returns the pseudo-header sum of the packet's L4 part, size bytes
// long, folded to 16 bits and not complemented (RFC 9293 section 3.1, RFC 8200
// section 8.1).
func (f *Frame) pseudoSum(data []byte, size int) uint16 {
	addresses := data[f.L3Offset+12 : f.L3Offset+20]
	if f.IP == 6 {
		addresses = data[f.L3Offset+8 : f.L3Offset+40]
	}
	return checksum.Fold(uint64(f.Protocol) + uint64(size) + uint64(checksum.Sum(addresses)))
}
