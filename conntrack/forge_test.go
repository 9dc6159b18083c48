package conntrack_test

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"sttwall/conntrack"
	"sttwall/inspect"
	"sttwall/reason"
)

// The two tunnel endpoints of most tests, the impostor, and the inner hosts
// behind them.
var (
	endpointA = netip.MustParseAddr("10.47.0.1")
	endpointB = netip.MustParseAddr("10.47.0.2")
	endpointC = netip.MustParseAddr("10.47.0.3")
	clientV4  = netip.MustParseAddr("10.1.0.9")
	serverV4  = netip.MustParseAddr("10.1.0.1")
)

const (
	second = int64(time.Second)
	minute = int64(time.Minute)
	// contextID of the packets that the tests make.
	contextID = 100
)

// inner builds an inner frame without checksums and the [Packet] around it.
func inner(tb testing.TB, src, dst netip.Addr, protocol uint8, l4 []byte) *conntrack.Packet {
	tb.Helper()
	data := frameBytes(src, dst, protocol, l4)
	return packetOf(tb, data)
}

func packetOf(tb testing.TB, data []byte) *conntrack.Packet {
	tb.Helper()
	p := &conntrack.Packet{
		Tenant: 1, Context: contextID, From: endpointA, To: endpointB, Frame: new(inspect.Frame),
		Data: data, Bytes: len(data), Trusted: true,
	}
	if why := p.Frame.Decode(data, len(data), 0, inspect.NoTag); why != reason.None {
		tb.Fatalf("the test's frame: %v: %x", why, data)
	}
	return p
}

func frameBytes(src, dst netip.Addr, protocol uint8, l4 []byte) []byte {
	b := []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x08, 0}
	if src.Is6() {
		b[12], b[13] = 0x86, 0xdd
	}
	return append(b, ipBytes(src, dst, protocol, l4)...)
}

func ipBytes(src, dst netip.Addr, protocol uint8, l4 []byte) []byte {
	var b []byte
	if src.Is4() {
		b = make([]byte, 12, 20+len(l4))
		b[0], b[8], b[9] = 0x45, 64, protocol
		binary.BigEndian.PutUint16(b[2:], uint16(20+len(l4)))
	} else {
		b = make([]byte, 8, 40+len(l4))
		b[0], b[6], b[7] = 0x60, protocol, 64
		binary.BigEndian.PutUint16(b[4:], uint16(len(l4)))
	}
	b = append(b, src.AsSlice()...)
	b = append(b, dst.AsSlice()...)
	return append(b, l4...)
}

// tcpBytes is a TCP segment. options is padded to whole words.
func tcpBytes(srcPort, dstPort uint16, seq, ack uint32, flags uint16, window uint16, options []byte, payload int) []byte {
	for len(options)%4 != 0 {
		options = append(options, 1)
	}
	b := make([]byte, 20+len(options)+payload)
	binary.BigEndian.PutUint16(b[0:], srcPort)
	binary.BigEndian.PutUint16(b[2:], dstPort)
	binary.BigEndian.PutUint32(b[4:], seq)
	binary.BigEndian.PutUint32(b[8:], ack)
	b[12], b[13] = byte(5+len(options)/4)<<4, byte(flags)
	binary.BigEndian.PutUint16(b[14:], window)
	copy(b[20:], options)
	return b
}

func udpBytes(srcPort, dstPort uint16, payload int) []byte {
	b := make([]byte, 8+payload)
	binary.BigEndian.PutUint16(b[0:], srcPort)
	binary.BigEndian.PutUint16(b[2:], dstPort)
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)))
	return b
}

func icmpBytes(kind, code uint8, id uint16, body ...byte) []byte {
	return append([]byte{kind, code, 0, 0, byte(id >> 8), byte(id), 0, 1}, body...)
}

// back turns a packet's tunnel round: it comes from B.
func back(p *conntrack.Packet) *conntrack.Packet {
	p.From, p.To = endpointB, endpointA
	return p
}

func newTable(tb testing.TB, c conntrack.Config) *conntrack.Table {
	tb.Helper()
	if c.MaxFlows == 0 {
		c.MaxFlows = 1000
	}
	t, err := conntrack.New(c)
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

// offer does what a worker does with a packet that its rules accept.
func offer(t *conntrack.Table, now int64, p *conntrack.Packet, limits conntrack.Limits) conntrack.Result {
	var r conntrack.Result
	t.Track(now, 1, p, &r)
	if r.State == conntrack.StateNew {
		t.Create(now, 1, p, &conntrack.Creation{Rule: 7, Mark: 9, Limits: limits}, &r)
	}
	return r
}

func mustAddr(s string) netip.Addr { return netip.MustParseAddr(s) }
