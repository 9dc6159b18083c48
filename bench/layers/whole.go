package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"

	"github.com/google/gopacket"
	gplayers "github.com/google/gopacket/layers"
	"tailscale.com/net/flowtrack"
	"tailscale.com/net/packet"

	"sttwall/firewall"
	"sttwall/policy"
	"sttwall/stt"
)

// wholeContests: a packet that carries a whole frame of an established flow, from its
// first byte to its verdict; 1,000 flows, and the kernel has verified the checksum.
// The peers' layers one behind the other find the flow and count the packet in it.
// sttwall is the whole core: it also holds the headers against each other, the flow
// against its endpoint, its context ID, its TCP windows and the rules in force,
// counts for the rule and the tenant, makes the event and the verdict.
func wholeContests(*place) ([]*contest, error) {
	var out []*contest
	for _, protocol := range []string{"udp", "tcp"} {
		for _, size := range []int{150, 1500} {
			w, err := newWhole(protocol, size, 1000)
			if err != nil {
				return nil, err
			}
			out = append(out, &contest{job: fmt.Sprintf("%s/packet=%d", protocol, size), units: 1, contestants: []contestant{
				{variant: ours, run: w.ours},
				{variant: "gopacket_map", run: w.gopacket},
				{variant: "tailscale_flowtrack", run: w.tailscale},
			}})
		}
	}
	return out, nil
}

// whole is established flows as each of the contestants has them.
type whole struct {
	packets []firewall.Packet // one of each flow, in no order
	at      int

	firewall *firewall.Firewall
	verdicts firewall.Verdicts
	now      int64

	outer gopacketOuter
	inner *innerParser
	mu    sync.Mutex
	flows map[mapKey]*counted

	outerParsed packet.Parsed
	innerParsed taggedParser
	cache       flowtrack.Cache[counted]
}

const wholeContext = 100

func newWhole(protocol string, size, flows int) (*whole, error) {
	rules := `settings {
  endpoints = ["192.0.2.0/24"]
}
tenant "t" {
  context_ids = [100]
  rule "r" {
    action      = "accept"
    destination = ["10.0.0.2"]
    services    = ["tcp/8080", "udp/5000"]
  }
}
`
	p, diagnostics := policy.Load("layers.hcl", []byte(rules))
	if diagnostics.HasErrors() {
		return nil, diagnostics
	}
	ids, err := firewall.NewFrameIDFilter(firewall.FrameIDConfig{})
	if err != nil {
		return nil, err
	}
	shared, err := firewall.NewShared(p, ids)
	if err != nil {
		return nil, err
	}
	w := &whole{inner: newInnerParser(gopacket.DecodingLayerArray(nil)), flows: make(map[mapKey]*counted)}
	w.firewall, err = firewall.New(firewall.Config{Shared: shared, Random: rand.NewPCG(1, 2), Observer: func(*firewall.FrameEvent) {}})
	if err != nil {
		return nil, err
	}
	for flow := range flows {
		frames := framesOf(protocol, uint16(32768+flow))
		for i, f := range frames {
			length := f.frame.length // what only begins a flow carries no data
			if i == len(frames)-1 {
				length = size - 40 - stt.FrameHeaderLen
			}
			data := carry(f.frame.bytes(length), f.back)
			fp := firewall.Packet{ID: uint64(flow), Data: data, Length: len(data), Checksum: firewall.ChecksumGood}
			w.verdicts.Reset()
			w.firewall.ProcessBatch(1, []firewall.Packet{fp}, &w.verdicts)
			if len(w.verdicts.List) != 1 || w.verdicts.List[0].Action != firewall.Accept {
				return nil, fmt.Errorf("flow %d, frame %d: %v", flow, i, w.verdicts.List)
			}
			if i < len(frames)-1 {
				continue
			}
			w.packets = append(w.packets, fp)
			if err := w.readGopacket(data); err != nil {
				return nil, err
			}
			w.flows[w.gopacketKey()] = new(counted)
			if !w.readTailscale(data) {
				return nil, errRefused
			}
			w.cache.Add(w.tailscaleKey(), counted{})
		}
	}
	if len(w.flows) != flows || w.cache.Len() != flows {
		return nil, errors.New("not each flow has a key of its own")
	}
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(w.packets), func(i, j int) { w.packets[i], w.packets[j] = w.packets[j], w.packets[i] })
	return w, nil
}

// framesOf returns the frames that establish a flow; the last one comes again and
// again then.
func framesOf(protocol string, port uint16) []directed {
	if protocol == "udp" {
		ip := ipv4(gplayers.IPProtocolUDP)
		back := ipv4(gplayers.IPProtocolUDP)
		back.SrcIP, back.DstIP = ip.DstIP, ip.SrcIP
		there, reply := udp(ip), udp(back)
		there.SrcPort = gplayers.UDPPort(port)
		reply.SrcPort, reply.DstPort = there.DstPort, there.SrcPort
		return []directed{
			{frameOf(42, ethernet(gplayers.EthernetTypeIPv4), ip, there), false},
			{frameOf(42, ethernet(gplayers.EthernetTypeIPv4), back, reply), true},
			{frameOf(42, ethernet(gplayers.EthernetTypeIPv4), ip, there), false},
		}
	}
	segment := func(isBack, syn, ack bool, seq, acked uint32) directed {
		ip := ipv4(gplayers.IPProtocolTCP)
		if isBack {
			ip.SrcIP, ip.DstIP = ip.DstIP, ip.SrcIP
		}
		t := tcp(ip)
		t.SrcPort = gplayers.TCPPort(port)
		if isBack {
			t.SrcPort, t.DstPort = t.DstPort, t.SrcPort
		}
		t.SYN, t.ACK, t.Seq, t.Ack, t.Window = syn, ack, seq, acked, 60000
		return directed{frameOf(54, ethernet(gplayers.EthernetTypeIPv4), ip, t), isBack}
	}
	return []directed{segment(false, true, false, 1000, 0), segment(true, true, true, 5000, 1001), segment(false, false, true, 1001, 5001)}
}

// directed is a frame and its direction.
type directed struct {
	frame *innerFrame
	back  bool
}

// carry puts a frame into one packet.
func carry(inner []byte, back bool) []byte {
	p := stt.Path{Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("192.0.2.2"), SrcPort: 51234, DstPort: stt.Port, TTL: 64}
	if back {
		p.Src, p.Dst = p.Dst, p.Src
	}
	f := append(stt.AppendFrameHeader(nil, &stt.FrameHeader{ContextID: wholeContext}), inner...)
	return stt.AppendSegment(nil, &p, &stt.Piece{FrameID: 1, FrameLength: len(f), Payload: f})
}

// next returns up to n of the packets.
func (w *whole) next(n int) []firewall.Packet {
	if w.at == len(w.packets) {
		w.at = 0
	}
	some := w.packets[w.at:min(len(w.packets), w.at+min(n, 64))]
	w.at += len(some)
	return some
}

func (w *whole) ours(n int) error {
	for n > 0 {
		some := w.next(n)
		w.verdicts.Reset()
		w.now += 1000
		w.firewall.ProcessBatch(w.now, some, &w.verdicts)
		if len(w.verdicts.List) != len(some) {
			return errRefused
		}
		for i := range w.verdicts.List {
			if w.verdicts.List[i].Action != firewall.Accept {
				return errRefused
			}
		}
		n -= len(some)
	}
	return nil
}

func (w *whole) gopacket(n int) error {
	for n > 0 {
		some := w.next(n)
		for i := range some {
			if err := w.readGopacket(some[i].Data); err != nil {
				return err
			}
			k := w.gopacketKey()
			w.mu.Lock()
			c := w.flows[k]
			if c == nil {
				w.mu.Unlock()
				return errRefused
			}
			c.packets, c.bytes, c.last = c.packets+1, c.bytes+uint64(some[i].Length), w.now
			w.mu.Unlock()
		}
		n -= len(some)
	}
	return nil
}

// readGopacket reads the packet and the frame in it.
func (w *whole) readGopacket(data []byte) error {
	if err := w.outer.decode(data); err != nil {
		return err
	}
	if len(w.outer.tcp.Payload) < stt.FrameHeaderLen {
		return errRefused
	}
	return w.inner.parser.DecodeLayers(w.outer.tcp.Payload[stt.FrameHeaderLen:], &w.inner.decoded)
}

// gopacketKey returns the key of what was read.
func (w *whole) gopacketKey() mapKey {
	p := w.inner
	k := mapKey{context: binary.BigEndian.Uint64(w.outer.tcp.Payload[8:]), protocol: uint8(p.ip4.Protocol)}
	k.src, _ = netip.AddrFromSlice(p.ip4.SrcIP)
	k.dst, _ = netip.AddrFromSlice(p.ip4.DstIP)
	if p.ip4.Protocol == gplayers.IPProtocolUDP {
		k.srcPort, k.dstPort = uint16(p.udp.SrcPort), uint16(p.udp.DstPort)
	} else {
		k.srcPort, k.dstPort = uint16(p.tcp.SrcPort), uint16(p.tcp.DstPort)
	}
	return k
}

func (w *whole) tailscale(n int) error {
	for n > 0 {
		some := w.next(n)
		for i := range some {
			if !w.readTailscale(some[i].Data) {
				return errRefused
			}
			k := w.tailscaleKey()
			w.mu.Lock()
			c, ok := w.cache.Get(k)
			if !ok {
				w.mu.Unlock()
				return errRefused
			}
			c.packets, c.bytes, c.last = c.packets+1, c.bytes+uint64(some[i].Length), w.now
			w.mu.Unlock()
		}
		n -= len(some)
	}
	return nil
}

func (w *whole) readTailscale(data []byte) bool {
	w.outerParsed.Decode(data)
	frame := w.outerParsed.Payload()
	return len(frame) >= stt.FrameHeaderLen && w.innerParsed.decode(frame[stt.FrameHeaderLen:])
}

func (w *whole) tailscaleKey() flowtrack.Tuple {
	p := &w.innerParsed
	return flowtrack.MakeTuple(p.IPProto, p.Src, p.Dst)
}
