package firewall

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"sttwall/conntrack"
	"sttwall/reason"
	"sttwall/stt"
)

const fragmentRules = `
settings {
  endpoints = ["192.0.2.0/24"]
}
tenant "flows" {
  context_ids = [400]
  rule "dns" {
    action   = "accept"
    services = ["udp/53", "tcp/80", "icmp/echo-request", "icmpv6/echo-request", "sctp/9"]
    log      = true
  }
  rule "esp" {
    action   = "accept"
    services = ["protocol/50"]
  }
  rule "no-syslog" {
    action   = "drop"
    services = ["udp/514"]
  }
  rule "no-ident" {
    action   = "reject"
    services = ["udp/113"]
  }
  rule "marked" {
    action   = "accept"
    services = ["udp/5000"]
    set {
      dscp = "af21"
    }
  }
  rule "each" {
    action   = "accept"
    services = ["udp/7"]
    state    = "stateless"
    log      = true
  }
  rule "storage" {
    action      = "accept"
    destination = ["10.0.0.9"]
    fragment    = ["later"]
  }
  rule "no-pieces" {
    action      = "drop"
    destination = ["10.0.0.8"]
    fragment    = ["later"]
  }
}
tenant "open" {
  context_ids    = [401]
  default_action = "accept"
}
tenant "trial" {
  context_ids = [402]
  mode        = "audit"
}
tenant "gateways" {
  context_ids = [403]
  pairing     = "tenant"
  rule "dns" {
    action   = "accept"
    services = ["udp/53"]
  }
}
tenant "ovn" {
  context_layout = "ovn"
  datapaths      = [7]
  rule "dns" {
    action   = "accept"
    services = ["udp/53"]
  }
}
`

// datagram is an inner packet that is sent in fragments.
type datagram struct {
	context  uint64
	ip6      bool
	dst      byte              // of 10.0.0.x or 2001:db8::x; 0: 2
	protocol layers.IPProtocol // 0: UDP
	port     uint16
	id       uint32
	size     int  // of the payload behind the L4 header; 0: 3000
	mtu      int  // bytes of payload in a fragment; 0: 1200
	back     bool // the other direction
	options  bool // IPv6: destination options behind the fragment header
	tci      uint16
}

// l4 returns what is cut: the L4 header and the payload.
func (d datagram) l4(t testing.TB) []byte {
	if d.size == 0 {
		d.size = 3000
	}
	b := make([]byte, d.size)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	header := make([]byte, 8)
	src, dst := uint16(40000), d.port
	if d.back {
		src, dst = dst, src
	}
	switch d.protocol {
	case layers.IPProtocolTCP:
		header = make([]byte, 20)
		header[12], header[13] = 0x50, 0x02
	case layers.IPProtocolSCTP:
		header = make([]byte, 12)
	case layers.IPProtocolICMPv4, layers.IPProtocolICMPv6:
		header[0] = 8
		if d.ip6 {
			header[0] = 128
		}
		return append(header, b...)
	case layers.IPProtocolESP:
		return b
	default:
		binary.BigEndian.PutUint16(header[4:], uint16(8+len(b)))
	}
	binary.BigEndian.PutUint16(header[0:], src)
	binary.BigEndian.PutUint16(header[2:], dst)
	return append(header, b...)
}

// fragments returns the inner frames, in order.
func (d datagram) fragments(t testing.TB) (frames [][]byte) {
	t.Helper()
	if d.protocol == 0 {
		d.protocol = layers.IPProtocolUDP
	}
	if d.dst == 0 {
		d.dst = 2
	}
	if d.mtu == 0 {
		d.mtu = 1200
	}
	payload := d.l4(t)
	next := d.protocol
	if d.options {
		payload = append([]byte{byte(next), 0, 1, 4, 0, 0, 0, 0}, payload...)
		next = layers.IPProtocolIPv6Destination
	}
	for at := 0; at < len(payload); at += d.mtu {
		end := min(at+d.mtu, len(payload))
		frames = append(frames, d.fragment(t, next, at, payload[at:end], end < len(payload)))
	}
	return frames
}

// fragment makes one of them.
func (d datagram) fragment(t testing.TB, protocol layers.IPProtocol, at int, payload []byte, more bool) []byte {
	t.Helper()
	eth := &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}, EthernetType: layers.EthernetTypeIPv4}
	list := []gopacket.SerializableLayer{eth}
	if d.dst == 0 {
		d.dst = 2
	}
	src, dst := net.IP{10, 0, 0, 1}, net.IP{10, 0, 0, d.dst}
	if d.ip6 {
		src, dst = net.ParseIP("2001:db8::1"), net.ParseIP(fmt.Sprintf("2001:db8::%d", d.dst))
	}
	if d.back {
		src, dst = dst, src
	}
	if d.ip6 {
		eth.EthernetType = layers.EthernetTypeIPv6
		header := []byte{byte(protocol), 0, byte(at >> 8), byte(at), 0, 0, 0, 0}
		if more {
			header[3] |= 1
		}
		binary.BigEndian.PutUint32(header[4:], d.id)
		list = append(list, &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolIPv6Fragment, SrcIP: src, DstIP: dst}, gopacket.Payload(header))
	} else {
		ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: protocol, Id: uint16(d.id), FragOffset: uint16(at / 8), SrcIP: src, DstIP: dst}
		if more {
			ip.Flags = layers.IPv4MoreFragments
		}
		list = append(list, ip)
	}
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, append(list, gopacket.Payload(payload))...); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// packet puts an inner frame into one outer packet.
func (d datagram) packet(from netip.Addr, inner []byte) []byte {
	p := path()
	p.Src = from
	if d.back {
		p.Src, p.Dst = p.Dst, p.Src
	}
	h := stt.FrameHeader{ContextID: d.context, TCI: d.tci, Flags: stt.FlagChecksumVerified}
	return cut(p, 5, sttFrame(h, inner), 0)[0]
}

// fragmentBench sends fragments and keeps what became of each.
type fragmentBench struct {
	*bench
	next  uint64
	fates map[uint64]string        // by packet ID: "passed", or a reason
	flows map[conntrack.Handle]int // of how many packets each was
	order []uint64                 // the packets in the order of their verdicts
	names map[uint64]string
}

func newFragmentBench(t testing.TB, c benchConfig) *fragmentBench {
	t.Helper()
	if c.rules == "" {
		c.rules = fragmentRules
	}
	return &fragmentBench{bench: newBench(t, c), fates: map[uint64]string{}, flows: map[conntrack.Handle]int{}, names: map[uint64]string{}}
}

// send hands in a fragment and returns its packet's ID.
func (b *fragmentBench) send(d datagram, from netip.Addr, inner []byte) uint64 {
	b.t.Helper()
	b.next++
	data := d.packet(from, inner)
	b.out.Reset()
	b.fw.Process(b.now, &Packet{ID: b.next, Data: data, Length: len(data)}, &b.out)
	clear(data) // it was borrowed
	b.take()
	return b.next
}

// wait lets time pass, as a worker does that gets no packets.
func (b *fragmentBench) wait(d time.Duration) {
	end := b.now + int64(d)
	for {
		deadline, ok := b.fw.NextDeadline()
		if !ok || deadline > end {
			break
		}
		b.now = max(b.now, deadline)
		b.out.Reset()
		b.fw.Expire(b.now, &b.out)
		b.take()
	}
	b.now = end
}

func (b *fragmentBench) take() {
	b.t.Helper()
	events := b.events
	b.events = nil
	if len(events) != len(b.out.List) {
		b.t.Fatalf("%d verdicts, %d events", len(b.out.List), len(events))
	}
	for i, v := range b.out.List {
		e := &events[i]
		fate := e.Reason.String()
		if v.Action == Accept {
			fate = "passed"
			if e.Decision.Audit {
				fate = "audit: " + e.Decision.Would.String()
			}
		}
		if _, twice := b.fates[v.ID]; twice || (v.Action == Accept) != (e.Reason == reason.None) {
			b.t.Fatalf("packet %d: %v for %v, before %q", v.ID, v.Action, e.Reason, b.fates[v.ID])
		}
		b.fates[v.ID] = fate
		b.flows[e.Flow]++
		b.order = append(b.order, v.ID)
	}
}

// run sends fragments by number, "0" the first, and gives each number's fate in
// the order of leaving. What is no number is a command: a wait ("5ms"), "reload",
// "flush".
func (b *fragmentBench) run(d datagram, script string, reload string) string {
	b.t.Helper()
	frames := d.fragments(b.t)
	b.order = nil
	for _, word := range strings.Fields(script) {
		var n int
		switch wait, err := time.ParseDuration(word); {
		case word == "reload":
			b.shared.SetPolicy(compile(b.t, reload))
		case word == "rejudge":
			b.shared.Rejudge(b.now)
		case word == "flush":
			b.out.Reset()
			b.fw.Flush(&b.out)
			b.take()
		case err == nil && word != "0":
			b.wait(wait)
		default:
			if _, err := fmt.Sscan(word, &n); err != nil {
				b.t.Fatal(word, err)
			}
			b.names[b.send(d, endpointA, frames[n])] = word
		}
	}
	var got []string
	for _, id := range b.order {
		got = append(got, b.names[id]+" "+b.fates[id])
	}
	return strings.Join(got, ", ")
}
