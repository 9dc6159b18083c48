package replay

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"sttwall/firewall"
	"sttwall/inspect"
	"sttwall/reason"
	"sttwall/stt"
)

// Frame is what became of one STT frame: one line of JSON, its keys in the
// order of the fields. What does not apply is left out.
type Frame struct {
	Event       string  `json:"event"` // "frame"
	Time        Seconds `json:"time"`  // of the first packet
	Outer       Outer   `json:"outer"`
	FrameID     string  `json:"frame_id"` // "0x" and 8 hex digits
	FrameLength int     `json:"frame_length"`
	Segments    int     `json:"segments"`
	*Header
	Verdict string `json:"verdict"`
	Tenant  string `json:"tenant,omitempty"`
	Rule    string `json:"rule,omitempty"`
	Reason  string `json:"reason,omitempty"`
	// Of a frame that only audit mode lets pass: the verdict and the reason that
	// it would have had.
	WouldBe     string `json:"would_be,omitempty"`
	Would       string `json:"would,omitempty"`
	Inner       *Inner `json:"inner,omitempty"`
	InnerSHA256 string `json:"inner_sha256,omitempty"` // the first 16 hex digits
}

// Outer is the outside of a frame.
type Outer struct {
	Src     netip.Addr `json:"src"`
	Dst     netip.Addr `json:"dst"`
	SrcPort uint16     `json:"src_port"`
}

// Header is the frame header; a frame that never became whole has none.
type Header struct {
	Flags     uint8  `json:"flags"`
	L4Offset  uint8  `json:"l4_offset"`
	MSS       uint16 `json:"mss"`
	TCI       uint16 `json:"tci"`
	ContextID string `json:"context_id"` // "0x" and 16 hex digits
}

// Inner is the inner frame; one that cannot be read has none.
type Inner struct {
	EthSrc    string      `json:"eth_src"`
	EthDst    string      `json:"eth_dst"`
	VLAN      []uint16    `json:"vlan,omitempty"` // IDs, that of the frame header first
	EtherType string      `json:"ethertype"`      // "0x" and 4 hex digits
	Protocol  *uint8      `json:"protocol,omitempty"`
	Src       *netip.Addr `json:"src,omitempty"`
	Dst       *netip.Addr `json:"dst,omitempty"`
	SrcPort   *uint16     `json:"src_port,omitempty"`
	DstPort   *uint16     `json:"dst_port,omitempty"`
	TCPFlags  *string     `json:"tcp_flags,omitempty"` // letters of FSRPAUEC
	ICMPType  *uint8      `json:"icmp_type,omitempty"`
	ICMPCode  *uint8      `json:"icmp_code,omitempty"`
	Fragment  *Fragment   `json:"fragment,omitempty"`
}

// Fragment is the place of an inner IP fragment.
type Fragment struct {
	ID     uint32 `json:"id"`
	Offset uint16 `json:"offset"` // bytes
	More   bool   `json:"more"`
	Bytes  int    `json:"bytes"`
}

// Seconds is a time in nanoseconds since 1970, written as seconds with as many
// decimals as it needs, and at least six.
type Seconds int64

// MarshalJSON writes a number that no float64 has rounded.
func (s Seconds) MarshalJSON() ([]byte, error) { return []byte(s.String()), nil }

// String returns the number.
func (s Seconds) String() string {
	const second = 1_000_000_000
	b := strconv.AppendInt(nil, int64(s)/second, 10)
	b = fmt.Appendf(b, ".%09d", int64(s)%second)
	for n := 0; n < 3 && b[len(b)-1] == '0'; n++ {
		b = b[:len(b)-1]
	}
	return string(b)
}

// newFrame copies what it needs of e. at is the time of the first packet in ns.
func newFrame(e *firewall.FrameEvent, at int64, hash bool) Frame {
	f := Frame{
		Event: "frame", Time: Seconds(at),
		Outer:       Outer{e.Src, e.Dst, e.SrcPort},
		FrameID:     fmt.Sprintf("0x%08x", e.FrameID),
		FrameLength: e.FrameLength, Segments: e.Segments,
		Verdict: e.Verdict.String(), Tenant: e.Decision.Tenant, Rule: e.Decision.Rule,
	}
	if e.Reason != reason.None {
		f.Reason = e.Reason.String()
	}
	if audited(e) {
		f.WouldBe, f.Would = e.Decision.WouldBe.String(), e.Decision.Would.String()
	}
	if e.HasHeader {
		h := &e.Header
		f.Header = &Header{h.Flags, h.L4Offset, h.MSS, h.TCI, fmt.Sprintf("0x%016x", h.ContextID)}
	}
	if e.HasInner {
		f.Inner = newInner(&e.Inner)
	}
	if hash && e.HasHeader && len(e.InnerData)+stt.FrameHeaderLen == e.FrameLength {
		sum := sha256.Sum256(e.InnerData)
		f.InnerSHA256 = hex.EncodeToString(sum[:8])
	}
	return f
}

// audited reports whether only audit mode lets the frame pass.
func audited(e *firewall.FrameEvent) bool {
	return e.Verdict == firewall.Accept && e.Decision.Audit
}

func newInner(in *inspect.Frame) *Inner {
	out := &Inner{
		EthSrc: mac(in.EthSrc), EthDst: mac(in.EthDst),
		EtherType: fmt.Sprintf("0x%04x", in.EtherType),
	}
	for _, tci := range in.Tags[:in.TagCount] {
		out.VLAN = append(out.VLAN, tci&0x0fff)
	}
	if in.IP != 0 {
		out.Protocol = pointer(in.Protocol)
	}
	if in.IP != 0 || in.EtherType == inspect.EtherTypeARP {
		out.Src, out.Dst = pointer(in.Src), pointer(in.Dst)
	}
	if in.HasPorts {
		out.SrcPort, out.DstPort = pointer(in.SrcPort), pointer(in.DstPort)
	}
	if in.HasTCP {
		out.TCPFlags = pointer(tcpFlags(in.TCPFlags))
	}
	if in.HasICMP {
		out.ICMPType, out.ICMPCode = pointer(in.ICMPType), pointer(in.ICMPCode)
	}
	if in.Fragmented {
		g := in.Fragment
		out.Fragment = &Fragment{g.ID, g.Offset, g.More, g.Bytes}
	}
	return out
}

// pointer returns the address of a copy of v.
func pointer[T any](v T) *T { return &v }

func mac(b [6]byte) string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4], b[5])
}

// tcpFlags returns the letters of the flags that are set, FIN first.
func tcpFlags(flags uint16) string {
	const letters = "FSRPAUEC"
	var b strings.Builder
	for i := range letters {
		if flags>>i&1 != 0 {
			b.WriteByte(letters[i])
		}
	}
	return b.String()
}
