package conntrack

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"sttwall/inspect"
	"sttwall/reason"
)

var (
	clientHost, serverHost = netip.MustParseAddr("10.47.0.1"), netip.MustParseAddr("10.47.0.2")
	client, server         = netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
)

// tcp is a segment as a test writes it.
type tcp struct {
	flags         uint16
	seq, ack      uint32
	window        uint16
	payload       int
	scale         int // -1: no option; as given else
	back          bool
	sack          uint32
	from          netip.Addr // "": as the direction says
	untrusted     bool
	loose, anyEnd bool
	srcPort       uint16 // 0: 40000
	tenant        int32
}

func (s tcp) packet() *Packet {
	h := make([]byte, 20, 60)
	sp, dp := uint16(40000), uint16(443)
	if s.srcPort != 0 {
		sp = s.srcPort
	}
	f := &inspect.Frame{IP: 4, EtherType: inspect.EtherTypeIPv4, Src: client, Dst: server, Protocol: inspect.ProtocolTCP}
	p := &Packet{Tenant: s.tenant, Context: 100, From: clientHost, To: serverHost, Frame: f, Trusted: !s.untrusted, Loose: s.loose, AnyEndpoint: s.anyEnd}
	if s.back {
		f.Src, f.Dst, sp, dp = server, client, dp, sp
		p.From, p.To = serverHost, clientHost
	}
	if s.from.IsValid() {
		p.From = s.from
	}
	binary.BigEndian.PutUint16(h[0:], sp)
	binary.BigEndian.PutUint16(h[2:], dp)
	binary.BigEndian.PutUint32(h[4:], s.seq)
	binary.BigEndian.PutUint32(h[8:], s.ack)
	binary.BigEndian.PutUint16(h[14:], s.window)
	if s.scale >= 0 {
		h = append(h, optionNothing, optionScale, optionScaleLen, byte(s.scale))
	}
	if s.sack != 0 {
		h = append(h, optionNothing, optionNothing, optionSACK, 10)
		h = binary.BigEndian.AppendUint32(h, s.sack-1)
		h = binary.BigEndian.AppendUint32(h, s.sack)
	}
	h[12] = byte(len(h) / 4 << 4)
	f.HasPorts, f.SrcPort, f.DstPort = true, sp, dp
	f.HasTCP, f.TCPFlags = true, s.flags
	f.L3Offset, f.L4Offset = 14, 34
	f.PayloadOffset = 34 + len(h)
	f.HeaderBytes = f.PayloadOffset
	f.IPEnd = f.PayloadOffset + s.payload
	p.Data = append(make([]byte, 34), h...)
	p.Bytes = f.IPEnd
	return p
}

// other is a packet of a protocol that is not TCP.
func other(protocol uint8, sp, dp uint16, back bool) *Packet {
	f := &inspect.Frame{IP: 4, EtherType: inspect.EtherTypeIPv4, Src: client, Dst: server, Protocol: protocol, L3Offset: 14, L4Offset: 34, PayloadOffset: 42, HeaderBytes: 42, IPEnd: 50}
	p := &Packet{Context: 100, From: clientHost, To: serverHost, Frame: f, Data: make([]byte, 50), Bytes: 50, Trusted: true}
	switch protocol {
	case inspect.ProtocolUDP, inspect.ProtocolSCTP:
		f.HasPorts, f.SrcPort, f.DstPort = true, sp, dp
	}
	if back {
		f.Src, f.Dst, f.SrcPort, f.DstPort = f.Dst, f.Src, f.DstPort, f.SrcPort
		p.From, p.To = p.To, p.From
	}
	return p
}

func icmp(kind uint8, id uint16, back bool) *Packet {
	p := other(inspect.ProtocolICMP, 0, 0, back)
	p.Frame.HasICMP, p.Frame.ICMPType = true, kind
	p.Data[34] = kind
	binary.BigEndian.PutUint16(p.Data[38:], id)
	return p
}

func newTable(t testing.TB, flows int) *Table {
	t.Helper()
	table, err := New(Config{MaxFlows: flows})
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// meet is what a worker does when the rules accept everything.
func meet(t *Table, now int64, p *Packet, limits Limits) Result {
	var r Result
	t.Track(now, 1, p, &r)
	if r.State == StateNew {
		t.Create(now, 1, p, &Creation{Rule: 7, Mark: 9, Limits: limits}, &r)
	}
	return r
}

const second = int64(time.Second)

// word is a result in a test's table: a state's name, or a reason's.
func word(r Result) string {
	if r.State == StateInvalid {
		return r.Reason.String()
	}
	return r.State.String()
}

var _ = reason.None
