package stt

import "encoding/binary"

// FrameHeaderLen is the length of the frame header in bytes (draft section 3.1).
const FrameHeaderLen = 18

// Flags of the frame header (draft section 3.1).
const (
	// FlagChecksumVerified: the inner TCP or UDP checksum was verified.
	FlagChecksumVerified = 0x01
	// FlagChecksumPartial: it covers the pseudo-header only.
	FlagChecksumPartial = 0x02
	// FlagIPv4: the inner packet is IPv4, else IPv6. Means something only
	// with FlagChecksumPartial.
	FlagIPv4 = 0x04
	// FlagTCP: the inner packet is TCP, else UDP. Likewise.
	FlagTCP = 0x08
)

// FrameHeader is the STT frame header (draft section 3.1).
type FrameHeader struct {
	// Version is 0.
	Version uint8
	// Flags: see FlagChecksumVerified and the others. The high four bits
	// are reserved.
	Flags uint8
	// L4Offset is where the inner TCP or UDP header starts, in bytes from
	// the start of the inner Ethernet frame; 0 without FlagChecksumPartial.
	L4Offset uint8
	// Reserved is 0 and ignored.
	Reserved uint8
	// MSS is the "max. segment size" in bytes with which the receiver cuts
	// a large inner TCP frame; 0 if none.
	MSS uint16
	// TCI is the 802.1Q tag of the inner frame: PCP in 3 bits, V in one,
	// VLAN ID in 12. Not 0 means tagged (Open vSwitch's Linux receiver; the
	// draft and the Windows one want V).
	TCI uint16
	// ContextID names the tenant, 64 bits.
	ContextID uint64
	// Padding is 0; it aligns the inner IP header.
	Padding uint16
}

// TagPresent is the V bit of [FrameHeader.TCI].
const TagPresent = 0x1000

// Decode reads the header from the start of an STT frame. It returns false,
// with h reset, if b is shorter than [FrameHeaderLen].
func (h *FrameHeader) Decode(b []byte) bool {
	*h = FrameHeader{}
	if len(b) < FrameHeaderLen {
		return false
	}
	h.Version, h.Flags, h.L4Offset, h.Reserved = b[0], b[1], b[2], b[3]
	h.MSS = binary.BigEndian.Uint16(b[4:])
	h.TCI = binary.BigEndian.Uint16(b[6:])
	h.ContextID = binary.BigEndian.Uint64(b[8:])
	h.Padding = binary.BigEndian.Uint16(b[16:])
	return true
}

// ChecksumPartial reports whether the receiver has to finish the inner checksum.
func (h *FrameHeader) ChecksumPartial() bool { return h.Flags&FlagChecksumPartial != 0 }

// ChecksumVerified reports whether the sender vouches for the inner checksum.
func (h *FrameHeader) ChecksumVerified() bool { return h.Flags&FlagChecksumVerified != 0 }

// Tagged reports whether TCI is a VLAN tag. One that is nothing but V is none: Windows
// takes it for none, Linux for a tag of zeros, which says as much.
func (h *FrameHeader) Tagged() bool { return h.TCI&^TagPresent != 0 }

// AppendFrameHeader appends h in its wire form to dst.
func AppendFrameHeader(dst []byte, h *FrameHeader) []byte {
	dst = append(dst, h.Version, h.Flags, h.L4Offset, h.Reserved)
	dst = binary.BigEndian.AppendUint16(dst, h.MSS)
	dst = binary.BigEndian.AppendUint16(dst, h.TCI)
	dst = binary.BigEndian.AppendUint64(dst, h.ContextID)
	return binary.BigEndian.AppendUint16(dst, h.Padding)
}
