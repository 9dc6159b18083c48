package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"

	"sttwall/capture"
	"sttwall/firewall"
	"sttwall/reason"
	"sttwall/stt"
)

// Replay sends the STT packets of a capture file through the lab's real
// NFQUEUE, those of 10.47.1.1 from endpoint A and the others from endpoint B,
// and returns what the firewall said of each frame, in that order. Packets
// longer than a link takes go as GSO packets, and those whose checksum an
// offload had yet to finish go with an unfinished one. What is not STT over IP
// is left out. Each packet is sent when the one before it has been looked at, so
// that frames end in the order of the capture. The lab should be without
// [Endpoints], which would talk meanwhile.
func (l *Lab) Replay(ctx context.Context, file string) ([]firewall.FrameEvent, error) {
	r, err := capture.Open(file, nil)
	if err != nil {
		return nil, fmt.Errorf("lab: replay: %w", err)
	}
	defer r.Close()
	before := len(l.Events())
	for {
		var p capture.Packet
		if err := r.Next(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("lab: replay: %w", err)
		}
		var segment stt.Segment
		packet := p.IPPacket()
		if !p.IP || segment.Decode(packet, p.IPLength(), []uint16{stt.Port}) == reason.NotSTT {
			continue
		}
		if err := l.replayPacket(ctx, packet, &segment); err != nil {
			return nil, fmt.Errorf("lab: replay %s: packet %d: %w", file, p.Number, err)
		}
	}
	return slices.Clone(l.Events()[before:]), l.Failure()
}

func (l *Lab) replayPacket(ctx context.Context, packet []byte, s *stt.Segment) error {
	from := EndpointB
	if in := netip.PrefixFrom(OuterA, 24).Masked(); in.Contains(s.Src) || s.Src == OuterA6 {
		from = EndpointA
	}
	packet = packet[:min(len(packet), s.TotalLen)] // without the link's padding
	o := Offload{Partial: s.ChecksumIsPseudo()}
	if len(packet) > underlayMTU {
		o = Offload{Partial: true, SegmentSize: underlayMTU - s.HeaderLen - stt.SegmentHeaderLen}
	}
	before := l.seen.Load()
	if err := l.Inject(from, packet, o); err != nil {
		return err
	}
	return l.waitMoved(ctx, "the packet", func() bool { return l.seen.Load() > before })
}
