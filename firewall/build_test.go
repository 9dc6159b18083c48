package firewall

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"sttwall/policy"
	"sttwall/reason"
	"sttwall/reassembly"
	"sttwall/stt"
)

// testRules has a tenant for each thing that a test wants to see.
const testRules = `
settings {
  endpoints = ["192.0.2.0/24", "2001:db8:47::/64"]
}
tenant "all" {
  context_ids    = [100]
  default_action = "accept"
}
tenant "web" {
  context_ids    = [200]
  default_action = "drop"
  rule "http" {
    action      = "accept"
    destination = ["10.0.0.2"]
    services    = ["tcp/80"]
  }
  rule "no-ssh" {
    action   = "drop"
    services = ["tcp/22"]
  }
}
`

var (
	endpointA = netip.MustParseAddr("192.0.2.1")
	endpointB = netip.MustParseAddr("192.0.2.2")
)

func path() stt.Path {
	return stt.Path{Src: endpointA, Dst: endpointB, SrcPort: 40000, DstPort: stt.Port, TTL: 63, ID: 7, DontFragment: true}
}

func compile(t testing.TB, rules string) *policy.Policy {
	t.Helper()
	p, diags := policy.Load("test.hcl", []byte(rules))
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return p
}

// bench is a firewall with its clock and what came out of it.
type bench struct {
	t      testing.TB
	fw     *Firewall
	shared *Shared
	now    int64
	out    Verdicts
	events []FrameEvent

	primed uint64 // frames that were meant to pass, before what a test is about
}

type benchConfig struct {
	rules      string
	guard      time.Duration
	bits       int
	reassembly reassembly.Config
	hold       HoldConfig
	fault      func(Stage)
	panicked   func(*Panic)
}

func newBench(t testing.TB, c benchConfig) *bench {
	t.Helper()
	if c.rules == "" {
		c.rules = testRules
	}
	if c.bits == 0 {
		c.bits = 20
	}
	b := &bench{t: t, now: int64(time.Hour)}
	ids, err := NewFrameIDFilter(FrameIDConfig{Bits: c.bits, StartupGuard: c.guard, Start: b.now})
	if err != nil {
		t.Fatal(err)
	}
	if b.shared, err = NewShared(compile(t, c.rules), ids); err != nil {
		t.Fatal(err)
	}
	b.fw, err = New(Config{
		Shared: b.shared, Reassembly: c.reassembly, Hold: c.hold,
		Random: rand.NewPCG(1, 2), Fault: c.fault, Panicked: c.panicked,
		Observer: func(e *FrameEvent) {
			kept := *e
			kept.InnerData = bytes.Clone(e.InnerData)
			kept.Moves = slices.Clone(e.Moves)
			b.events = append(b.events, kept)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// send hands packets in, each as one that the kernel has not verified, with
// IDs from 1 on, and returns all verdicts.
func (b *bench) send(packets ...[]byte) []Verdict {
	b.t.Helper()
	list := make([]Packet, len(packets))
	for i, data := range packets {
		list[i] = Packet{ID: uint64(i + 1), Data: data, Length: len(data)}
	}
	return b.sendAll(list...)
}

func (b *bench) sendAll(packets ...Packet) []Verdict {
	b.t.Helper()
	b.out.Reset()
	for i := range packets {
		b.fw.Process(b.now, &packets[i], &b.out)
	}
	return b.out.List
}

// one sends packets of one frame, wants them to be decided for r, and returns
// the packets that leave.
func (b *bench) one(r reason.Reason, packets ...[]byte) [][]byte {
	b.t.Helper()
	verdicts := b.send(packets...)
	if len(b.events) == 0 {
		b.t.Fatalf("no frame was decided; verdicts %v", verdicts)
	}
	e := b.events[len(b.events)-1]
	if e.Reason != r {
		b.t.Fatalf("got reason %v, want %v", e.Reason, r)
	}
	if len(verdicts) != len(packets) {
		b.t.Fatalf("got %d verdicts for %d packets", len(verdicts), len(packets))
	}
	left := leaving(packets, verdicts)
	if (len(left) > 0) != (r == reason.None) {
		b.t.Fatalf("%d packets left for reason %v", len(left), r)
	}
	return left
}

// leaving returns what leaves, in order, given packets with IDs from 1 on.
func leaving(packets [][]byte, verdicts []Verdict) [][]byte {
	var left [][]byte
	for _, v := range verdicts {
		switch {
		case v.Action == Drop:
		case v.Payload != nil:
			left = append(left, bytes.Clone(v.Payload))
		default:
			left = append(left, packets[v.ID-1])
		}
	}
	return left
}

// innerTCP makes an Ethernet frame with a TCP packet, its checksum complete.
func innerTCP(t testing.TB, srcPort, dstPort uint16, payload int) []byte {
	t.Helper()
	return inner(t, &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: net.IP{10, 0, 0, 1}, DstIP: net.IP{10, 0, 0, 2}},
		&layers.TCP{SrcPort: layers.TCPPort(srcPort), DstPort: layers.TCPPort(dstPort), ACK: true, Window: 500}, payload)
}

func innerUDP(t testing.TB, payload int) []byte {
	t.Helper()
	return inner(t, &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: net.IP{10, 0, 0, 1}, DstIP: net.IP{10, 0, 0, 2}},
		&layers.UDP{SrcPort: 1000, DstPort: 2000}, payload)
}

func inner(t testing.TB, ip *layers.IPv4, l4 gopacket.SerializableLayer, payload int) []byte {
	t.Helper()
	data := make([]byte, payload)
	for i := range data {
		data[i] = byte(i*31 + i>>8)
	}
	type checksummed interface {
		SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
	}
	if err := l4.(checksummed).SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	b := gopacket.NewSerializeBuffer()
	err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		&layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}, EthernetType: layers.EthernetTypeIPv4},
		ip, l4, gopacket.Payload(data))
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func innerARP(t testing.TB) []byte {
	t.Helper()
	b := gopacket.NewSerializeBuffer()
	err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{},
		&layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: layers.EthernetBroadcast, EthernetType: layers.EthernetTypeARP},
		&layers.ARP{AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4, Operation: 1,
			SourceHwAddress: []byte{2, 0, 0, 0, 0, 1}, SourceProtAddress: []byte{10, 0, 0, 1}, DstHwAddress: make([]byte, 6), DstProtAddress: []byte{10, 0, 0, 2}})
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// partial puts the pseudo-header sum into the checksum field of an inner
// IPv4 packet without options, and returns the header that says so.
func partial(frame []byte, context uint64, mss uint16) ([]byte, stt.FrameHeader) {
	frame = bytes.Clone(frame)
	h := stt.FrameHeader{Flags: stt.FlagChecksumPartial | stt.FlagIPv4, L4Offset: 34, MSS: mss, ContextID: context}
	at := 34 + 6
	if frame[23] == 6 {
		h.Flags |= stt.FlagTCP
		at = 34 + 16
	}
	sum := uint32(frame[23]) + uint32(len(frame)-34)
	for i := 26; i < 34; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(frame[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(frame[at:], uint16(sum))
	return frame, h
}

func sttFrame(h stt.FrameHeader, inner []byte) []byte {
	return append(stt.AppendFrameHeader(nil, &h), inner...)
}

// cut makes the packets of a frame with the given number of payload bytes
// each; 0 means all in one.
func cut(p stt.Path, id uint32, frame []byte, size int) [][]byte {
	var packets [][]byte
	if size == 0 {
		size = len(frame)
	}
	for at := 0; at < len(frame); at += size {
		packets = append(packets, stt.AppendSegment(nil, &p, &stt.Piece{
			FrameID: id, FrameLength: len(frame), Offset: at, Payload: frame[at:min(at+size, len(frame))],
		}))
		p.ID++
	}
	return packets
}

// remake lets edit change a packet and then mends its checksums.
func remake(packet []byte, edit func(b []byte)) []byte {
	b := bytes.Clone(packet)
	edit(b)
	binary.BigEndian.PutUint16(b[10:], 0)
	binary.BigEndian.PutUint16(b[10:], stt.Checksum(b[:20]))
	binary.BigEndian.PutUint16(b[36:], 0)
	sum := uint32(stt.PseudoSum(endpointAddr(b, 12), endpointAddr(b, 16), 6, len(b)-20)) + uint32(^stt.Checksum(b[20:]))
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(b[36:], ^uint16(sum))
	return b
}

func endpointAddr(b []byte, at int) netip.Addr { return netip.AddrFrom4([4]byte(b[at : at+4])) }

func equal(a, b [][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}
