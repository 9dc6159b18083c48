package main

import (
	"encoding/binary"

	"github.com/google/gopacket"
	gplayers "github.com/google/gopacket/layers"
	"tailscale.com/net/packet"

	"sttwall/inspect"
	"sttwall/reason"
)

// innerFrames are the frames that are parsed, and where their IP header is.
var innerFrames = map[string]struct {
	data []byte
	ipAt int
}{
	"tcp/ipv4":      {tcpFrame4.bytes(1400), 14},
	"udp/ipv4":      {udpFrame4.bytes(1400), 14},
	"tcp/ipv6":      {tcpFrame6.bytes(1400), 14},
	"tcp/ipv4/vlan": {vlanFrame4.bytes(1400), 18},
	"icmp/ipv4":     {icmpFrame4.bytes(98), 14},
}

// parseContests: an inner frame, from its Ethernet header to its ports. tailscale's
// parser knows no Ethernet: alone it gets the IP packet, and has less to read; with
// the plainest Ethernet header in front of it, it reads what a firewall of frames has
// to. Neither looks whether the lengths in the packet agree.
func parseContests(*place) ([]*contest, error) {
	var out []*contest
	for _, job := range sortedKeys(innerFrames) {
		f := innerFrames[job]
		out = append(out, &contest{job: job, units: 1, contestants: []contestant{
			{variant: ours, run: func(n int) error {
				var frame inspect.Frame
				for range n {
					if frame.Decode(f.data, len(f.data), 0, inspect.NoTag) != reason.None {
						return errRefused
					}
				}
				return nil
			}},
			{variant: "gopacket_array", run: newInnerParser(gopacket.DecodingLayerArray(nil)).runner(f.data)},
			{variant: "gopacket_sparse", run: newInnerParser(gopacket.DecodingLayerSparse(nil)).runner(f.data)},
			{variant: "tailscale", run: func(n int) error {
				var p packet.Parsed
				for range n {
					if p.Decode(f.data[f.ipAt:]); p.IPProto == 0 {
						return errRefused
					}
				}
				return nil
			}},
			{variant: "tailscale_ethernet", run: func(n int) error {
				var p taggedParser
				for range n {
					if !p.decode(f.data) {
						return errRefused
					}
				}
				return nil
			}},
		}})
	}
	return out, nil
}

// innerParser is gopacket's parser that allocates nothing.
type innerParser struct {
	ethernet gplayers.Ethernet
	tag      gplayers.Dot1Q
	ip4      gplayers.IPv4
	ip6      gplayers.IPv6
	tcp      gplayers.TCP
	udp      gplayers.UDP
	icmp     gplayers.ICMPv4
	payload  gopacket.Payload

	parser  *gopacket.DecodingLayerParser
	decoded []gopacket.LayerType
}

func newInnerParser(container gopacket.DecodingLayerContainer) *innerParser {
	p := new(innerParser)
	p.parser = gopacket.NewDecodingLayerParser(gplayers.LayerTypeEthernet)
	p.parser.SetDecodingLayerContainer(container)
	p.parser.IgnoreUnsupported = true
	for _, l := range []gopacket.DecodingLayer{&p.ethernet, &p.tag, &p.ip4, &p.ip6, &p.tcp, &p.udp, &p.icmp, &p.payload} {
		p.parser.AddDecodingLayer(l)
	}
	return p
}

func (p *innerParser) runner(frame []byte) func(int) error {
	return func(n int) error {
		for range n {
			if err := p.parser.DecodeLayers(frame, &p.decoded); err != nil {
				return err
			}
		}
		return nil
	}
}

// taggedParser is tailscale's parser behind an Ethernet header with up to two tags.
type taggedParser struct {
	dst, src [6]byte
	tags     [2]uint16
	tagCount int
	packet.Parsed
}

func (p *taggedParser) decode(frame []byte) bool {
	if len(frame) < 14 {
		return false
	}
	p.dst, p.src = [6]byte(frame), [6]byte(frame[6:])
	etherType, rest := binary.BigEndian.Uint16(frame[12:]), frame[14:]
	for p.tagCount = 0; etherType == inspect.EtherTypeVLAN || etherType == inspect.EtherTypeQinQ; p.tagCount++ {
		if p.tagCount == len(p.tags) || len(rest) < 4 {
			return false
		}
		p.tags[p.tagCount] = binary.BigEndian.Uint16(rest)
		etherType, rest = binary.BigEndian.Uint16(rest[2:]), rest[4:]
	}
	if etherType != inspect.EtherTypeIPv4 && etherType != inspect.EtherTypeIPv6 {
		return false
	}
	p.Decode(rest)
	return p.IPProto != 0
}
