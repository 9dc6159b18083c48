package main

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"

	"github.com/google/gopacket"
	gplayers "github.com/google/gopacket/layers"
	gvisor "gvisor.dev/gvisor/pkg/tcpip/checksum"
	"tailscale.com/net/packet"
	"tailscale.com/types/ipproto"

	"sttwall/reason"
	"sttwall/stt"
)

// checksumContests: the TCP checksum of a packet, over pseudo-header, header and
// payload; and that of a bare IPv4 header. tailscale has no TCP checksum of its own:
// its sum over an ICMPv6 packet of the same length is the nearest.
func checksumContests(*place) ([]*contest, error) {
	header := random(20)
	out := []*contest{{job: "bytes=20", units: 1, contestants: []contestant{
		{variant: ours, run: func(n int) error {
			var sums uint16
			for range n {
				sums += stt.Checksum(header)
			}
			runtime.KeepAlive(sums)
			return nil
		}},
		{variant: "gvisor", run: func(n int) error {
			var sums uint16
			for range n {
				sums += ^gvisor.Checksum(header, 0)
			}
			runtime.KeepAlive(sums)
			return nil
		}},
	}}}
	for _, size := range []int{150, 1500, 65000} {
		p, err := newSummed(size)
		if err != nil {
			return nil, err
		}
		out = append(out, &contest{job: fmt.Sprintf("tcp/packet=%d", size), units: 1, contestants: []contestant{
			{variant: ours, run: func(n int) error {
				for range n {
					if !p.segment.ChecksumGood(p.packet) {
						return errRefused
					}
				}
				return nil
			}},
			{variant: "gvisor", run: func(n int) error {
				for range n {
					if p.gvisor() != 0 {
						return errRefused
					}
				}
				return nil
			}},
			{variant: "tailscale", run: func(n int) error {
				for range n {
					p.icmp6.WriteChecksum(p.icmp6Packet)
				}
				return nil
			}},
			{variant: "gopacket", run: func(n int) error {
				for range n {
					if sum, err := p.tcp.ComputeChecksum(); err != nil || sum != 0 {
						return errRefused
					}
				}
				return nil
			}},
		}})
	}
	return out, nil
}

// summed is a packet with a right checksum, as each of them has it.
type summed struct {
	packet      []byte
	segment     stt.Segment
	tcp         gplayers.TCP
	icmp6       packet.ICMP6Header
	icmp6Packet []byte
}

func newSummed(size int) (*summed, error) {
	path := stt.Path{Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("192.0.2.2"), SrcPort: 51234, DstPort: stt.Port, TTL: 64}
	payload := random(size - path.HeaderLen())
	p := &summed{packet: stt.AppendSegment(nil, &path, &stt.Piece{FrameID: 1, FrameLength: len(payload), Payload: payload})}
	if r := p.segment.Decode(p.packet, size, sttPorts); r != reason.None {
		return nil, errRefused
	}
	var ip gplayers.IPv4
	if err := ip.DecodeFromBytes(p.packet, gopacket.NilDecodeFeedback); err != nil {
		return nil, err
	}
	if err := p.tcp.DecodeFromBytes(ip.Payload, gopacket.NilDecodeFeedback); err != nil {
		return nil, err
	}
	if err := p.tcp.SetNetworkLayerForChecksum(&ip); err != nil {
		return nil, err
	}
	p.icmp6.IPProto = ipproto.ICMPv6
	p.icmp6.Src, p.icmp6.Dst = netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
	p.icmp6Packet = random(40 + size - 20) // as many bytes behind the IP header
	return p, nil
}

// gvisor returns gVisor's TCP checksum of the packet.
func (p *summed) gvisor() uint16 {
	s := &p.segment
	src, dst := s.Src.As4(), s.Dst.As4()
	var length [4]byte
	length[1] = byte(ipproto.TCP)
	binary.BigEndian.PutUint16(length[2:], uint16(s.TotalLen-s.HeaderLen))
	sum := gvisor.Checksum(length[:], gvisor.Checksum(dst[:], gvisor.Checksum(src[:], 0)))
	return ^gvisor.Checksum(p.packet[s.HeaderLen:s.TotalLen], sum)
}

func random(n int) []byte {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}
