package main

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/gopacket"
	gplayers "github.com/google/gopacket/layers"
	"tailscale.com/net/packet"

	"sttwall/capture"
	"sttwall/inspect"
	"sttwall/reason"
	"sttwall/stt"
)

func TestAllReadTheSameOfAnOuterPacket(t *testing.T) {
	for name, p := range outerPackets() {
		var s stt.Segment
		if r := s.Decode(p, len(p), sttPorts); r != reason.None {
			t.Fatalf("%s: %v", name, r)
		}
		var g gopacketOuter
		if err := g.decode(p); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		src := g.ip4.SrcIP
		if s.Src.Is6() {
			src = g.ip6.SrcIP
		}
		if got, _ := netip.AddrFromSlice(src); got != s.Src {
			t.Errorf("%s: gopacket reads %v, sttwall %v", name, got, s.Src)
		}
		if uint16(g.tcp.SrcPort) != s.SrcPort || uint16(g.tcp.DstPort) != s.DstPort || g.tcp.Ack != s.FrameID ||
			g.tcp.Seq != uint32(s.FrameLength)<<16|uint32(s.Offset) || !bytes.Equal(g.tcp.Payload, s.Payload) {
			t.Errorf("%s: gopacket reads %+v, sttwall %+v", name, g.tcp, s)
		}
	}
}

// A TCP option that is cut off panics in this version of gopacket: the contest is
// about what a program can run.
func TestAPanicOfGopacketIsAnError(t *testing.T) {
	p := slices.Clone(outerPackets()["ipv4/packet=150"])
	p[32] = 6 << 4        // four bytes of options
	p[40], p[41] = 30, 16 // MPTCP, longer than they are
	var g gopacketOuter
	if err := g.decode(p); err == nil {
		t.Error("a cut-off option was decoded")
	}
}

func TestAllReadTheSameOfAnInnerFrame(t *testing.T) {
	for name, f := range innerFrames {
		var frame inspect.Frame
		if r := frame.Decode(f.data, len(f.data), 0, inspect.NoTag); r != reason.None {
			t.Fatalf("%s: %v", name, r)
		}
		src, dst := netip.AddrPortFrom(frame.Src, frame.SrcPort), netip.AddrPortFrom(frame.Dst, frame.DstPort)

		var theirs packet.Parsed
		if theirs.Decode(f.data[f.ipAt:]); theirs.Src != src || theirs.Dst != dst || uint8(theirs.IPProto) != frame.Protocol || theirs.IPVersion != frame.IP {
			t.Errorf("%s: tailscale reads %v, sttwall %v %v", name, &theirs, src, dst)
		}
		var behind taggedParser
		if !behind.decode(f.data) || behind.Src != src || behind.Dst != dst || behind.src != frame.EthSrc || behind.dst != frame.EthDst ||
			behind.tagCount != int(frame.TagCount) || behind.tags[0] != frame.Tags[0] {
			t.Errorf("%s: behind an Ethernet header tailscale reads %+v, sttwall %+v", name, &behind, frame)
		}
		for _, container := range []gopacket.DecodingLayerContainer{gopacket.DecodingLayerArray(nil), gopacket.DecodingLayerSparse(nil)} {
			p := newInnerParser(container)
			if err := p.runner(f.data)(1); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if got := p.ends(); got != [2]netip.AddrPort{src, dst} {
				t.Errorf("%s: gopacket reads %v, sttwall %v %v", name, got, src, dst)
			}
			if tagged := slices.Contains(p.decoded, gplayers.LayerTypeDot1Q); tagged != (frame.TagCount == 1) {
				t.Errorf("%s: gopacket reads a tag: %t, sttwall %d", name, tagged, frame.TagCount)
			}
		}
	}
}

// ends returns what the parser has read.
func (p *innerParser) ends() (out [2]netip.AddrPort) {
	var src, dst []byte
	var ports [2]uint16
	for _, l := range p.decoded {
		switch l {
		case gplayers.LayerTypeIPv4:
			src, dst = p.ip4.SrcIP, p.ip4.DstIP
		case gplayers.LayerTypeIPv6:
			src, dst = p.ip6.SrcIP, p.ip6.DstIP
		case gplayers.LayerTypeTCP:
			ports = [2]uint16{uint16(p.tcp.SrcPort), uint16(p.tcp.DstPort)}
		case gplayers.LayerTypeUDP:
			ports = [2]uint16{uint16(p.udp.SrcPort), uint16(p.udp.DstPort)}
		}
	}
	for i, a := range [][]byte{src, dst} {
		address, _ := netip.AddrFromSlice(a)
		out[i] = netip.AddrPortFrom(address, ports[i])
	}
	return out
}

func TestAllDecideTheSame(t *testing.T) {
	for _, size := range []struct{ tenants, each int }{{1, 10}, {1, 1000}, {50, 7}} {
		rules, packets := decideRules(size.tenants, size.each)
		all, err := deciders(rules, size.each)
		if err != nil {
			t.Fatal(err)
		}
		if size.tenants == 1 && len(all) != 4 {
			t.Fatalf("%d deciders", len(all))
		}
		accepted := 0
		for i := range packets {
			p := &packets[i]
			want := all[0].accepts(p)
			if want {
				accepted++
			}
			for _, d := range all[1:] {
				if got := d.accepts(p); got != want {
					t.Fatalf("%d tenants: %s says %t of %+v, sttwall %t", size.tenants, d.variant, got, p, want)
				}
			}
		}
		// Both answers must be there, or agreement would say nothing.
		if accepted < len(packets)/2 || accepted > len(packets)*15/16 {
			t.Errorf("%d of %d packets are accepted", accepted, len(packets))
		}
	}
}

func TestAllPutTheSameTogether(t *testing.T) {
	data := random(frameBytes)
	o, err := newOurReassembly(data)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(7, 7))
	for name, all := range map[string]reassembler{"sttwall": o, "gopacket/reassembly": newGopacketReassembly(data), "gopacket/ip4defrag": newGopacketDefrag(data)} {
		for range 20 { // more than once, so that what is used again is clean
			whole, err := all.frame(r.Perm(segmentsOfFrame))
			if err != nil || !bytes.Equal(whole, data) {
				t.Fatalf("%s: %d bytes, %v", name, len(whole), err)
			}
		}
	}
}

func TestAllFindEachFlow(t *testing.T) {
	const flows = 1000
	o, err := newOurFlows(flows)
	if err != nil {
		t.Fatal(err)
	}
	m, l := newMapFlows(flows), newCacheFlows(flows)
	for _, run := range []func(int) error{o.batches, o.singly, o.generally, m.run, m.headers, l.run, l.headers} {
		if err := run(10 * flows); err != nil {
			t.Error(err)
		}
	}
	var packets uint64
	for _, c := range m.flows {
		packets += c.packets
	}
	if packets != 2*10*flows || len(m.flows) != flows || l.flows.Len() != flows || o.table.Stats().Flows != flows {
		t.Errorf("%d packets of %d, %d, %d flows", packets, len(m.flows), l.flows.Len(), o.table.Stats().Flows)
	}
	seen := make(map[int]bool)
	for order := newOrder(flows); len(seen) < flows; {
		seen[order.next()] = true // the test ends only if each flow comes
	}
}

func TestAllFollowAnEstablishedFlow(t *testing.T) {
	for _, protocol := range []string{"udp", "tcp"} {
		const flows = 100
		w, err := newWhole(protocol, 150, flows)
		if err != nil {
			t.Fatal(err)
		}
		for _, run := range []func(int) error{w.ours, w.gopacket, w.tailscale} {
			if err := run(3 * flows); err != nil {
				t.Errorf("%s: %v", protocol, err)
			}
		}
		for k, c := range w.flows {
			if c.packets != 3 || c.bytes != 3*150 {
				t.Errorf("%s: %d packets, %d bytes of %+v", protocol, c.packets, c.bytes, k)
			}
		}
		if got := w.firewall.Counters().FramesDropped.Load(); got != 0 {
			t.Errorf("%s: %d frames were dropped", protocol, got)
		}
	}
}

func TestAllSumTheSame(t *testing.T) {
	for _, size := range []int{62, 150, 1500, 65000} {
		p, err := newSummed(size)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := p.tcp.ComputeChecksum()
		if err != nil || theirs != 0 || p.gvisor() != 0 || !p.segment.ChecksumGood(p.packet) {
			t.Errorf("%d bytes: gopacket %x, %v, gvisor %x, sttwall %t", size, theirs, err, p.gvisor(), p.segment.ChecksumGood(p.packet))
		}
		// A wrong one is wrong for all.
		p.packet[size-1] ^= 1
		theirs, err = p.tcp.ComputeChecksum()
		if err != nil || theirs == 0 || p.gvisor() == 0 || p.segment.ChecksumGood(p.packet) {
			t.Errorf("%d bytes, damaged: gopacket %x, %v, gvisor %x, sttwall %t", size, theirs, err, p.gvisor(), p.segment.ChecksumGood(p.packet))
		}
		p.icmp6.WriteChecksum(p.icmp6Packet)
		if sum := stt.Checksum(p.icmp6Packet[40:]); sum != stt.PseudoSum(p.icmp6.Src, p.icmp6.Dst, 58, len(p.icmp6Packet)-40) {
			t.Errorf("%d bytes: tailscale's ICMPv6 checksum is not what sttwall's is", size)
		}
	}
}

// What is in the large capture is what its name says, and whole frames come out of it.
func TestTheLargeCaptureIsWhole(t *testing.T) {
	file := t.TempDir() + "/large.pcapng"
	const want = 1000
	if err := writeLarge(file, want); err != nil {
		t.Fatal(err)
	}
	r, err := capture.Open(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var p capture.Packet
	packets, whole, flows := 0, 0, make(map[uint16]bool)
	for err = r.Next(&p); err == nil; err = r.Next(&p) {
		packets++
		var s stt.Segment
		if why := s.Decode(p.Data, p.WireLen, sttPorts); why != reason.None || !s.ChecksumGood(p.Data) {
			t.Fatalf("packet %d: %v", packets, why)
		}
		flows[s.SrcPort] = true
		var f inspect.Frame
		if s.WholeFrame() {
			whole++
			inner := s.Payload[stt.FrameHeaderLen:]
			if why := f.Decode(inner, len(inner), 0, inspect.NoTag); why != reason.None {
				t.Fatalf("packet %d: %v", packets, why)
			}
		}
	}
	if !errors.Is(err, io.EOF) || packets != want || whole != want*55/100 || len(flows) < 100 {
		t.Errorf("%d packets, %d whole frames, %d flows, %v", packets, whole, len(flows), err)
	}
}

// The command itself, as short as it can be.
func TestTheCommandPrintsARowForEachContestant(t *testing.T) {
	var out, progress strings.Builder
	if err := run(t.Context(), []string{"--quick", "--rounds", "7", "--only", "checksum", "--json"}, &out, &progress); err != nil {
		t.Fatal(err)
	}
	for _, variant := range []string{ours, "gvisor", "tailscale", "gopacket"} {
		if !strings.Contains(out.String(), `"layer":"checksum","variant":"`+variant+`","case":"tcp/packet=1500"`) {
			t.Errorf("no row of %s:\n%s", variant, &out)
		}
	}
	for _, args := range [][]string{{"--rounds", "3"}, {"--only", "teapot"}, {"more"}} {
		if err := run(t.Context(), args, io.Discard, io.Discard); err == nil {
			t.Errorf("%v was taken", args)
		}
	}
}
