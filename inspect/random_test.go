package inspect_test

import (
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"sttwall/inspect"
	"sttwall/reason"
)

// plan draws a frame that passes: the layers for gopacket's encoder, and at the
// same time what must be read from them, by adding up sizes.
type plan struct {
	rng    *rand.Rand
	layers []gopacket.SerializableLayer
	want   inspect.Frame
	at     int // bytes so far
}

func (p *plan) add(l gopacket.SerializableLayer, size int) {
	p.layers = append(p.layers, l)
	p.at += size
}

func (p *plan) draw() {
	*p = plan{rng: p.rng, want: inspect.Frame{L4Offset: -1}}
	w := &p.want
	for i := range w.EthSrc {
		w.EthSrc[i], w.EthDst[i] = byte(p.rng.Uint32()), byte(p.rng.Uint32())
	}
	w.EtherType = [...]uint16{0x0800, 0x86dd, 0x0800, 0x86dd, 0x0806, 0x88cc}[p.rng.IntN(6)]
	// The types of the tags, then the ethertype.
	types := []layers.EthernetType{layers.EthernetType(w.EtherType)}
	for range p.rng.IntN(3) {
		tag := [...]layers.EthernetType{typeVLAN, typeQinQ, typeVMAN}[p.rng.IntN(3)]
		types = append([]layers.EthernetType{tag}, types...)
	}
	p.add(&layers.Ethernet{SrcMAC: w.EthSrc[:], DstMAC: w.EthDst[:], EthernetType: types[0]}, 14)
	for i, t := range types[1:] {
		tag := &layers.Dot1Q{Priority: uint8(p.rng.IntN(8)), DropEligible: p.rng.IntN(2) == 0,
			VLANIdentifier: uint16(p.rng.IntN(4096)), Type: t}
		if i+2 < len(types) && tag.VLANIdentifier == 0 {
			tag.VLANIdentifier = 1 // no tag may stand behind one with VLAN ID 0
		}
		tci := uint16(tag.Priority)<<13 | tag.VLANIdentifier
		if tag.DropEligible {
			tci |= 0x1000
		}
		w.Tags[w.TagCount] = tci
		w.TagCount++
		p.add(tag, 4)
	}
	w.L3Offset = p.at
	switch w.EtherType {
	case inspect.EtherTypeIPv4:
		p.drawIPv4()
	case inspect.EtherTypeIPv6:
		p.drawIPv6()
	case inspect.EtherTypeARP:
		a := arp()
		a.Operation = uint16(p.rng.IntN(10))
		a.SourceHwAddress = []byte{2, byte(p.rng.Uint32()), 3, 4, 5, 6}
		w.ARPOperation, w.Src, w.Dst = a.Operation, ip4A, ip4B
		w.ARPSender = [6]byte(a.SourceHwAddress)
		p.add(a, 28)
		w.PayloadOffset, w.HeaderBytes = p.at, p.at
		p.add(raw(18), 18)
	default:
		w.PayloadOffset, w.HeaderBytes = p.at, p.at
		p.add(raw(30), 30)
	}
}

func (p *plan) protocol() uint8 {
	return [...]uint8{6, 6, 6, 17, 17, 132, 1, 58, 47, 50}[p.rng.IntN(10)]
}

func (p *plan) addr(n int) netip.Addr {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(p.rng.Uint32())
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

func (p *plan) drawIPv4() {
	w := &p.want
	w.IP, w.Protocol, w.TOS = 4, p.protocol(), uint8(p.rng.Uint32())
	w.Src, w.Dst = p.addr(4), p.addr(4)
	ip := &layers.IPv4{Version: 4, TOS: w.TOS, Protocol: layers.IPProtocol(w.Protocol), TTL: uint8(p.rng.Uint32()),
		Id: uint16(p.rng.Uint32()), SrcIP: w.Src.AsSlice(), DstIP: w.Dst.AsSlice()}
	size := 20
	if p.rng.IntN(4) == 0 {
		words := 1 + p.rng.IntN(10)
		for range words * 4 {
			ip.Options = append(ip.Options, layers.IPv4Option{OptionType: 1}) // no operation
		}
		size += words * 4
	}
	p.drawFragment(uint32(ip.Id))
	if w.Fragmented {
		ip.FragOffset = w.Fragment.Offset / 8
		if w.Fragment.More {
			ip.Flags = layers.IPv4MoreFragments
		}
	}
	p.add(ip, size)
	p.drawL4(p.at)
}

func (p *plan) drawIPv6() {
	w := &p.want
	w.IP, w.Protocol, w.TOS = 6, p.protocol(), uint8(p.rng.Uint32())
	w.Src, w.Dst = p.addr(16), p.addr(16)
	p.drawFragment(p.rng.Uint32())

	// The kinds of extension headers, then the protocol.
	var chain []uint8
	if p.rng.IntN(3) == 0 {
		chain = append(chain, 0)
	}
	for range p.rng.IntN(3) {
		chain = append(chain, [...]uint8{43, 51, 60}[p.rng.IntN(3)])
	}
	if w.Fragmented {
		chain = append(chain, 44)
	} else if p.rng.IntN(8) == 0 {
		w.Atomic = true
		chain = append(chain, 44)
	}
	chain = append(chain, w.Protocol)

	p.add(&layers.IPv6{Version: 6, TrafficClass: w.TOS, FlowLabel: p.rng.Uint32() >> 12, NextHeader: layers.IPProtocol(chain[0]),
		HopLimit: 64, SrcIP: w.Src.AsSlice(), DstIP: w.Dst.AsSlice()}, 40)
	for i, kind := range chain[:len(chain)-1] {
		next := chain[i+1]
		switch kind {
		case 44:
			h := fragment6(next, int(w.Fragment.Offset), w.Fragment.More)
			at(h, 4, byte(w.Fragment.ID>>24), byte(w.Fragment.ID>>16), byte(w.Fragment.ID>>8), byte(w.Fragment.ID))
			p.add(h, 8)
		case 51:
			size := 12 + 4*p.rng.IntN(20)
			p.add(authentication(next, size), size)
		case 43:
			size := 8 + 8*p.rng.IntN(20)
			p.add(routing(next, size, 0), size)
		default:
			size := 8 + 8*p.rng.IntN(20)
			p.add(extension(next, size), size)
		}
	}
	p.drawL4(p.at)
}

// drawFragment makes one packet in four a fragment. Its size is set by drawL4.
func (p *plan) drawFragment(id uint32) {
	if p.rng.IntN(4) != 0 {
		return
	}
	w := &p.want
	w.Fragmented = true
	w.Fragment = inspect.Fragment{ID: id, More: true}
	if p.rng.IntN(2) == 0 {
		w.Fragment.Offset = uint16(16 + 8*p.rng.IntN(5000))
		w.Fragment.More = p.rng.IntN(2) == 0
	}
}

// drawL4 adds the upper layer and payload; start is where the IP payload
// begins, behind extension headers.
func (p *plan) drawL4(start int) {
	w := &p.want
	w.PayloadOffset, w.HeaderBytes = start, start
	payload := p.rng.IntN(300)
	if w.Fragmented {
		payload = 8 * (1 + payload/8)
	}
	if w.Fragment.Offset == 0 {
		payload += p.drawHeader(payload)
	}
	p.add(raw(payload), payload)
	w.IPEnd = p.at
	if w.Fragmented {
		w.Fragment.Bytes = p.at - start
	}
}

// drawHeader adds the L4 header and returns by how many bytes the payload has
// to grow, so that the sum is right for a first fragment.
func (p *plan) drawHeader(payload int) int {
	w := &p.want
	ports := func() (uint16, uint16) {
		w.HasPorts, w.SrcPort, w.DstPort = true, uint16(p.rng.Uint32()), uint16(p.rng.Uint32())
		return w.SrcPort, w.DstPort
	}
	at, size, grow := p.at, 8, 0
	switch w.Protocol {
	case 6:
		src, dst := ports()
		tcp := &layers.TCP{SrcPort: layers.TCPPort(src), DstPort: layers.TCPPort(dst), ACK: true,
			FIN: p.rng.IntN(2) == 0, PSH: p.rng.IntN(2) == 0, ECE: p.rng.IntN(2) == 0, Seq: p.rng.Uint32(), Ack: p.rng.Uint32()}
		words := p.rng.IntN(11)
		for range 4 * words {
			tcp.Options = append(tcp.Options, layers.TCPOption{OptionType: layers.TCPOptionKindNop})
		}
		size = 20 + 4*words
		w.HasTCP, w.TCPFlags = true, inspect.ACK
		for flag, set := range map[uint16]bool{inspect.FIN: tcp.FIN, inspect.PSH: tcp.PSH, inspect.ECE: tcp.ECE} {
			if set {
				w.TCPFlags |= flag
			}
		}
		if w.Fragmented {
			grow = -size & 7
		}
		p.add(tcp, size)
	case 17:
		src, dst := ports()
		p.add(&layers.UDP{SrcPort: layers.UDPPort(src), DstPort: layers.UDPPort(dst)}, size)
	case 132:
		src, dst := ports()
		size = 12
		if w.Fragmented {
			grow = 4
		}
		p.add(&layers.SCTP{SrcPort: layers.SCTPPort(src), DstPort: layers.SCTPPort(dst)}, size)
	case 1, 58:
		w.HasICMP, w.ICMPType, w.ICMPCode = true, uint8(p.rng.Uint32()), uint8(p.rng.Uint32())
		queries := map[uint8]string{1: "\x00\x08\x0d\x0e\x0f\x10\x11\x12", 58: "\x80\x81"}[w.Protocol]
		if p.rng.IntN(2) == 0 {
			w.ICMPType = queries[p.rng.IntN(len(queries))]
		}
		if w.IP == 6 && w.Protocol == 58 && (w.ICMPType == 136 || p.rng.IntN(4) == 0) {
			return p.drawAdvertisement(payload)
		}
		if strings.IndexByte(queries, w.ICMPType) >= 0 {
			w.HasICMPID, w.ICMPID = true, uint16(p.rng.Uint32())
		}
		p.add(gopacket.Payload{w.ICMPType, w.ICMPCode, 0, 0, byte(w.ICMPID >> 8), byte(w.ICMPID), 3, 4}, size)
	case 47:
		if payload > 0 {
			w.L4Offset = at
		}
		return 0
	default:
		return 0
	}
	w.L4Offset = at
	w.PayloadOffset, w.HeaderBytes = at+size, at+size
	return grow
}

// drawAdvertisement adds a neighbour advertisement, with a payload of options
// behind it, or one that ends before its target does.
func (p *plan) drawAdvertisement(payload int) (grow int) {
	w := &p.want
	at, size := p.at, 24
	w.ICMPType, w.ICMPCode = 136, 0
	flags := byte(p.rng.IntN(8)) << 5
	target := p.addr(16)
	b := append([]byte{136, 0, 0, 0, flags, 0, 0, 0}, target.AsSlice()...)
	if !w.Fragmented && p.rng.IntN(4) == 0 {
		size = 8 + p.rng.IntN(16)
		b, grow = b[:size], -payload
		w.L4Offset, w.PayloadOffset, w.HeaderBytes = at, at+8, at+8
	} else {
		w.HasTarget, w.Target, w.Solicited = true, target, flags&0x40 != 0
		w.L4Offset, w.PayloadOffset, w.HeaderBytes = at, at+24, at+24
	}
	p.add(gopacket.Payload(b), size)
	return grow
}

func TestRandomFramesAreReadAsTheyWereMade(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	p := plan{rng: rand.New(rand.NewPCG(seed, 0))}
	var f inspect.Frame
	for n := range 20000 {
		p.draw()
		frame := build(t, p.layers...)
		if r := f.Decode(frame, len(frame), 0, inspect.NoTag); r != reason.None {
			t.Fatalf("frame %d: Decode: got %v, want none\n%x\n%+v", n, r, frame, p.want)
		}
		if f != p.want {
			t.Fatalf("frame %d: %x\n-want +got\n%s", n, frame, cmp.Diff(p.want, f, sameAddr))
		}
	}
}
