package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/ip4defrag"
	gplayers "github.com/google/gopacket/layers"
	gpreassembly "github.com/google/gopacket/reassembly"

	"sttwall/reassembly"
	"sttwall/stt"
)

const (
	segmentsOfFrame = 45
	segmentBytes    = 1456 // so that fragments can have them too: a multiple of 8
	frameBytes      = segmentsOfFrame * segmentBytes
)

// reassembleContests: 64 KB in 45 pieces, which the layer in front has decoded. Each
// one makes the whole of it in one piece of memory, as a firewall needs it that
// decides about frames: gopacket's streams give what is in order to a consumer that
// copies it there. Its stream goes on from one 64 KB to the next, so that a
// connection is made only once.
func reassembleContests(*place) ([]*contest, error) {
	data := random(frameBytes)
	inOrder := make([]int, segmentsOfFrame)
	for i := range inOrder {
		inOrder[i] = i
	}
	shuffled := rand.New(rand.NewPCG(1, 2)).Perm(segmentsOfFrame)
	var out []*contest
	for _, c := range []struct {
		name  string
		order []int
	}{{"in_order", inOrder}, {"shuffled", shuffled}} {
		ours, err := newOurReassembly(data)
		if err != nil {
			return nil, err
		}
		all := contest{job: fmt.Sprintf("segments=%d/%s", segmentsOfFrame, c.name), units: segmentsOfFrame}
		for _, r := range []struct {
			variant string
			reassembler
		}{{"sttwall", ours}, {"gopacket_reassembly", newGopacketReassembly(data)}, {"gopacket_ip4defrag", newGopacketDefrag(data)}} {
			all.contestants = append(all.contestants, contestant{variant: r.variant, run: func(n int) error {
				for range n {
					if whole, err := r.frame(c.order); err != nil || len(whole) != frameBytes {
						return fmt.Errorf("%d of %d bytes: %w", len(whole), frameBytes, err)
					}
				}
				return nil
			}})
		}
		out = append(out, &all)
	}
	return out, nil
}

// reassembler puts the data of a contest together from pieces in that order.
type reassembler interface {
	frame(order []int) ([]byte, error)
}

// piece returns one of the pieces of the data.
func piece(data []byte, i int) []byte { return data[i*segmentBytes : (i+1)*segmentBytes] }

// ourReassembly also counts what was dropped, which is nothing.
type ourReassembly struct {
	r        *reassembly.Reassembler
	segments [segmentsOfFrame]reassembly.Segment
	frames   uint32
	dropped  int
}

func newOurReassembly(data []byte) (*ourReassembly, error) {
	o := new(ourReassembly)
	var err error
	o.r, err = reassembly.New(reassembly.Config{}, o)
	for i := range o.segments {
		o.segments[i] = reassembly.Segment{
			Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("192.0.2.2"), SrcPort: 51234, DstPort: stt.Port,
			FrameLength: frameBytes, Offset: i * segmentBytes, Payload: piece(data, i),
			Packet: reassembly.Packet{ID: uint64(i), HeaderLen: 40},
		}
	}
	return o, err
}

// Dropped implements [reassembly.Sink].
func (o *ourReassembly) Dropped(*reassembly.Dropped) { o.dropped++ }

func (o *ourReassembly) frame(order []int) ([]byte, error) {
	o.frames++
	for _, i := range order {
		s := &o.segments[i]
		s.FrameID = o.frames
		if f := o.r.Add(int64(o.frames), s); f != nil {
			return f.Data, nil
		}
	}
	return nil, fmt.Errorf("dropped %d times", o.dropped)
}

// stream is what gopacket's assemblers drive: it takes what is in order.
type stream struct {
	whole []byte
}

// gopacketTCP is the segments of a connection that goes on and on.
type gopacketTCP struct {
	flow     gopacket.Flow
	segments [segmentsOfFrame]gplayers.TCP
	next     uint32
	stream   stream
	at       gopacket.CaptureInfo
}

func newGopacketTCP(data []byte) gopacketTCP {
	t := gopacketTCP{
		flow: gopacket.NewFlow(gplayers.EndpointIPv4, []byte{192, 0, 2, 1}, []byte{192, 0, 2, 2}),
		next: 1,
		at:   gopacket.CaptureInfo{Timestamp: time.Unix(1, 0)},
	}
	for i := range t.segments {
		t.segments[i] = gplayers.TCP{SrcPort: 51234, DstPort: stt.Port, ACK: true, BaseLayer: gplayers.BaseLayer{Payload: piece(data, i)}}
		t.segments[i].Contents = make([]byte, 20)
	}
	t.stream.whole = make([]byte, 0, frameBytes)
	return t
}

// each hands over the segments of the next 64 KB.
func (t *gopacketTCP) each(order []int, assemble func(*gplayers.TCP)) ([]byte, error) {
	t.stream.whole = t.stream.whole[:0]
	for _, i := range order {
		s := &t.segments[i]
		s.Seq = t.next + uint32(i*segmentBytes)
		assemble(s)
	}
	t.next += frameBytes
	return t.stream.whole, nil
}

// gopacketReassembly is gopacket/reassembly.
type gopacketReassembly struct {
	gopacketTCP
	assembler *gpreassembly.Assembler
}

func newGopacketReassembly(data []byte) *gopacketReassembly {
	g := &gopacketReassembly{gopacketTCP: newGopacketTCP(data)}
	g.assembler = gpreassembly.NewAssembler(gpreassembly.NewStreamPool(g))
	g.assembler.AssembleWithContext(g.flow, &gplayers.TCP{SrcPort: 51234, DstPort: stt.Port, SYN: true, Seq: 0}, g)
	return g
}

func (g *gopacketReassembly) frame(order []int) ([]byte, error) {
	return g.each(order, func(s *gplayers.TCP) { g.assembler.AssembleWithContext(g.flow, s, g) })
}

func (g *gopacketReassembly) GetCaptureInfo() gopacket.CaptureInfo { return g.at }

func (g *gopacketReassembly) New(gopacket.Flow, gopacket.Flow, *gplayers.TCP, gpreassembly.AssemblerContext) gpreassembly.Stream {
	return g
}

func (g *gopacketReassembly) Accept(*gplayers.TCP, gopacket.CaptureInfo, gpreassembly.TCPFlowDirection, gpreassembly.Sequence, *bool, gpreassembly.AssemblerContext) bool {
	return true
}

func (g *gopacketReassembly) ReassembledSG(sg gpreassembly.ScatterGather, _ gpreassembly.AssemblerContext) {
	n, _ := sg.Lengths()
	g.stream.whole = append(g.stream.whole, sg.Fetch(n)...)
}

func (g *gopacketReassembly) ReassemblyComplete(gpreassembly.AssemblerContext) bool { return true }

// gopacketDefrag is gopacket/ip4defrag, with fragments of the same size.
type gopacketDefrag struct {
	defragmenter *ip4defrag.IPv4Defragmenter
	fragments    [segmentsOfFrame]gplayers.IPv4
	at           time.Time
}

func newGopacketDefrag(data []byte) *gopacketDefrag {
	g := &gopacketDefrag{defragmenter: ip4defrag.NewIPv4Defragmenter(), at: time.Unix(1, 0)}
	for i := range g.fragments {
		g.fragments[i] = gplayers.IPv4{
			Version: 4, IHL: 5, Length: 20 + segmentBytes, Flags: gplayers.IPv4MoreFragments, FragOffset: uint16(i * segmentBytes / 8),
			TTL: 64, Protocol: gplayers.IPProtocolTCP, SrcIP: net.IP{192, 0, 2, 1}, DstIP: net.IP{192, 0, 2, 2},
			BaseLayer: gplayers.BaseLayer{Payload: piece(data, i)},
		}
	}
	g.fragments[segmentsOfFrame-1].Flags = 0
	return g
}

func (g *gopacketDefrag) frame(order []int) ([]byte, error) {
	for _, i := range order {
		whole, err := g.defragmenter.DefragIPv4WithTimestamp(&g.fragments[i], g.at)
		if err != nil {
			return nil, err
		}
		if whole != nil {
			return whole.Payload, nil
		}
	}
	return nil, errRefused
}
