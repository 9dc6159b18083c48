package lab

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"sttwall/firewall"
	"sttwall/nfq"
	"sttwall/reason"
	"sttwall/stt"
)

// largePayload is the size of a datagram that needs six segments.
const largePayload = 8000

// fullSegment is what a full segment carries at the underlay's MTU.
const fullSegment = underlayMTU - 20 - stt.SegmentHeaderLen

func craftedSteps() []step {
	return []step{
		deliveredStep("crafted frame in one GSO packet", func(s *scenario, c *crafted) error {
			c.mtu, c.partial = 0, true
			packets, err := c.packets()
			if err != nil {
				return err
			}
			return s.lab.Inject(EndpointA, packets[0], Offload{Partial: true, SegmentSize: fullSegment})
		}),
		deliveredStep("crafted frame cut into MTU segments", func(s *scenario, c *crafted) error { return s.sendAll(c) }),
		deliveredStep("the segments in reverse order", func(s *scenario, c *crafted) error {
			packets, err := c.packets()
			if err != nil {
				return err
			}
			for i := len(packets) - 1; i >= 0 && err == nil; i-- {
				err = s.lab.Inject(EndpointA, packets[i], Offload{})
			}
			return err
		}),
		deliveredStep("a first segment of 30 bytes, then full ones", func(s *scenario, c *crafted) error {
			packets := [][]byte{c.piece(0, 30)}
			for at, end := 30, len(c.frame()); at < end; at += fullSegment {
				packets = append(packets, c.piece(at, min(at+fullSegment, end)))
			}
			return s.inject(packets)
		}),
		{What: "the segments over outer IPv6", Tenant: "acme", Expected: "arrive whole", run: arrivesOverIPv6},
		stoppedStep("unknown Context ID 300", reason.ContextUnknown, small(func(c *crafted) { c.header.ContextID = 300 })),
		stoppedStep("an overlapping segment", reason.SegmentOverlap, large(func(c *crafted, end int) [][]byte {
			return [][]byte{c.piece(0, fullSegment), c.piece(1000, 1000+fullSegment), c.piece(fullSegment, end)}
		})),
		stoppedStep("a segment twice", reason.SegmentDuplicate, large(func(c *crafted, end int) [][]byte {
			return [][]byte{c.piece(0, fullSegment), c.piece(0, fullSegment), c.piece(fullSegment, end)}
		})),
		stoppedStep("segments that name two frame lengths", reason.FrameLengthChanged, large(func(c *crafted, end int) [][]byte {
			return [][]byte{c.piece(0, fullSegment), alter(c.piece(fullSegment, end), func(_, tcp []byte) {
				binary.BigEndian.PutUint16(tcp[4:], uint16(end+100))
			})}
		})),
		stoppedStep("segments of 30 bytes, headers split", reason.SegmentTooSmall, func(s *scenario, payload []byte) (*crafted, [][]byte, error) {
			return small(func(c *crafted) { c.mtu = 20 + stt.SegmentHeaderLen + 30 })(s, payload)
		}),
		stoppedStep("an L4 offset that lies", reason.L4OffsetMismatch, tcpFrame(func(c *crafted) { c.header.L4Offset = 54 })),
		stoppedStep("an inner TCP data offset past the end", reason.InnerTCPOffset, tcpFrame(func(c *crafted) {
			const dataOffset = etherHeaderLen + 20 + 12
			c.inner = c.inner[:etherHeaderLen+20+20+30] // no room for the 40 bytes of options that it claims
			c.inner[dataOffset] = 15 << 4
			ip := c.inner[etherHeaderLen : etherHeaderLen+20]
			binary.BigEndian.PutUint16(ip[2:], uint16(len(c.inner)-etherHeaderLen))
			binary.BigEndian.PutUint16(ip[10:], 0)
			binary.BigEndian.PutUint16(ip[10:], stt.Checksum(ip))
			partialTCP(c.inner, InnerA, InnerB)
		})),
		stoppedStep("STT version 1", reason.FrameVersion, small(func(c *crafted) { c.header.Version = 1 })),
		stoppedStep("a segment with the SYN flag", reason.SegmentFlags, altered(func(_, tcp []byte) { tcp[13] = stt.FlagSYN })),
		stoppedStep("a segment with a wrong checksum", reason.SegmentChecksum, func(s *scenario, payload []byte) (*crafted, [][]byte, error) {
			c, packets, err := altered(func(_, _ []byte) {})(s, payload)
			if err == nil {
				packets[0][20+16] ^= 0x40
			}
			return c, packets, err
		}),
		tableStep("a first fragment of an outer packet", tableDrop{
			counter: reason.OuterFragment.String(),
			pick:    func(c nfq.TableCounters) uint64 { return c.OuterFragment },
			send:    injected(altered(func(ip, _ []byte) { binary.BigEndian.PutUint16(ip[6:], 0x2000) })),
		}),
		tableStep("a spoofed outer source, 10.47.1.66", tableDrop{
			counter: reason.EndpointUnknown.String(),
			pick:    func(c nfq.TableCounters) uint64 { return c.EndpointUnknown },
			send:    injected(small(func(c *crafted) { c.path.Src = netip.MustParseAddr("10.47.1.66") })),
		}),
		tableStep("VXLAN between the endpoints, around us", tableDrop{
			counter: "other_tunnel",
			pick:    func(c nfq.TableCounters) uint64 { return c.OtherTunnel },
			send: func(ctx context.Context, s *scenario, payload []byte) (uint16, error) {
				return craftedPort, s.lab.sendUDP(ctx, flow{place: EndpointA, to: netip.AddrPortFrom(OuterB, 4789)}, payload[:1000])
			},
		}),
		{What: "a frame that never completes", Tenant: "acme", Expected: "stopped: frame_timeout", run: neverCompletes},
	}
}

// maker makes the packets of an attempt around a payload.
type maker func(s *scenario, payload []byte) (*crafted, [][]byte, error)

// small makes one packet of a frame that f has changed.
func small(f func(*crafted)) maker {
	return func(s *scenario, payload []byte) (*crafted, [][]byte, error) {
		c := s.craft(portSink, payload[:500])
		f(c)
		packets, err := c.packets()
		return c, packets, err
	}
}

// altered makes one packet and changes its outer headers.
func altered(f func(ip, tcp []byte)) maker {
	return func(s *scenario, payload []byte) (*crafted, [][]byte, error) {
		c, packets, err := small(func(*crafted) {})(s, payload)
		if err == nil {
			packets[0] = alter(packets[0], f)
		}
		return c, packets, err
	}
}

// large makes packets of a frame of 2,500 bytes; f gets its length.
func large(f func(c *crafted, end int) [][]byte) maker {
	return func(s *scenario, payload []byte) (*crafted, [][]byte, error) {
		c := s.craft(portSink, payload[:2500])
		return c, f(c, len(c.frame())), nil
	}
}

// tcpFrame makes one packet of a frame with inner TCP to the web port whose
// checksum is partial, with truthful flags and L4 offset, and then changes it.
func tcpFrame(f func(*crafted)) maker {
	return func(s *scenario, payload []byte) (*crafted, [][]byte, error) {
		inner := innerTCP(netip.AddrPortFrom(InnerA, 7999), netip.AddrPortFrom(InnerB, portWeb), payload[:500])
		partialTCP(inner, InnerA, InnerB)
		c := s.craftFrame(inner)
		c.header.Flags = stt.FlagChecksumPartial | stt.FlagIPv4 | stt.FlagTCP
		c.header.L4Offset = etherHeaderLen + 20
		f(c)
		packets, err := c.packets()
		return c, packets, err
	}
}

// deliveredStep sends a datagram of 8,000 bytes in the way of send and wants
// it to come out of a socket at the other end.
func deliveredStep(what string, send func(*scenario, *crafted) error) step {
	return step{What: what, Tenant: "acme", Expected: "delivered whole", run: func(ctx context.Context, s *scenario) (string, error) {
		payload, _ := s.mark(largePayload)
		c := s.craft(portSink, payload)
		if err := send(s, c); err != nil {
			return "", err
		}
		return s.delivered(ctx, c, payload)
	}}
}

func stoppedStep(what string, why reason.Reason, make maker) step {
	name := "acme"
	if why == reason.ContextUnknown {
		name = "-"
	}
	return step{What: what, Tenant: name, Expected: "stopped: " + why.String(), run: func(ctx context.Context, s *scenario) (string, error) {
		payload, marker := s.mark(largePayload)
		c, packets, err := make(s, payload)
		if err != nil {
			return "", err
		}
		return s.stopped(ctx, attempt{
			send:   func(context.Context) error { return s.inject(packets) },
			event:  c.isEvent,
			seen:   func(p Captured) bool { return marked(marker).seen(p) || c.isSegment(p) },
			reason: why,
		})
	}}
}

// tableDrop is what the nftables table stops, before the queue.
type tableDrop struct {
	counter string // its name, and pick finds it
	pick    func(nfq.TableCounters) uint64
	// send returns the source port of what it sent.
	send func(ctx context.Context, s *scenario, payload []byte) (uint16, error)
}

// tableStep wants the table's counter to move by one, and nothing to come.
func tableStep(what string, d tableDrop) step {
	return step{What: what, Tenant: "-", Expected: "stopped: " + d.counter, run: func(ctx context.Context, s *scenario) (string, error) {
		payload, marker := s.mark(largePayload)
		before, err := s.lab.TableCounters()
		if err != nil {
			return "", err
		}
		port, err := d.send(ctx, s, payload)
		if err != nil {
			return "", err
		}
		// The fence is behind the packet on the same link, so that the
		// counter is right once it has arrived.
		if err := s.nothingCame(ctx, port, marked(marker).seen); err != nil {
			return "", err
		}
		after, err := s.lab.TableCounters()
		if err != nil {
			return "", err
		}
		if n := d.pick(after) - d.pick(before); n != 1 {
			return "", fmt.Errorf("nothing came, but the table counted %d as %s", n, d.counter)
		}
		return "dropped by the nftables table: " + d.counter + "; no byte of it at the far side", nil
	}}
}

// injected sends what make makes from endpoint A.
func injected(make maker) func(context.Context, *scenario, []byte) (uint16, error) {
	return func(_ context.Context, s *scenario, payload []byte) (uint16, error) {
		c, packets, err := make(s, payload)
		if err != nil {
			return 0, err
		}
		return c.path.SrcPort, s.inject(packets)
	}
}

// neverCompletes leaves the last segment out until the frame is given up, and
// then sends it: it must not begin a new life.
func neverCompletes(ctx context.Context, s *scenario) (string, error) {
	payload, marker := s.mark(largePayload)
	c := s.craft(portSink, payload)
	packets, err := c.packets()
	if err != nil {
		return "", err
	}
	last := len(packets) - 1
	happened, err := s.stopped(ctx, attempt{
		send:   func(context.Context) error { return s.inject(packets[:last]) },
		event:  c.isEvent,
		seen:   marked(marker).seen,
		reason: reason.FrameTimeout,
	})
	if err != nil {
		return "", err
	}
	late := s.lab.Totals().LatePackets
	if err := s.inject(packets[last:]); err != nil {
		return "", err
	}
	if err := s.lab.WaitTotals(ctx, "the late segment", func(t firewall.Totals) bool { return t.LatePackets > late }); err != nil {
		return "", err
	}
	if err := s.nothingCame(ctx, c.path.SrcPort, marked(marker).seen); err != nil {
		return "", errors.Join(errors.New("the late segment"), err)
	}
	return happened + ", nor of its late segment", nil
}

// arrivesOverIPv6 sends a frame between the endpoints' IPv6 addresses, where
// no endpoint listens, and puts it together from the far side's capture.
func arrivesOverIPv6(ctx context.Context, s *scenario) (string, error) {
	payload, _ := s.mark(largePayload)
	c := s.craft(portSink, payload)
	c.path.Src, c.path.Dst = OuterA6, OuterB6
	// Another flow: one that is known does not come from other endpoints.
	const otherPort = 41006
	binary.BigEndian.PutUint16(c.inner[etherHeaderLen+20:], otherPort)
	binary.BigEndian.PutUint16(c.inner[etherHeaderLen+20+6:], 0)
	if err := s.sendAll(c); err != nil {
		return "", err
	}
	e, err := s.lab.WaitEvent(ctx, "the frame", c.isEvent)
	if err != nil {
		return "", err
	}
	if e.Verdict != firewall.Accept {
		return "", fmt.Errorf("the firewall says %s", verdictOf(&e))
	}
	want := c.frame()
	got, have := make([]byte, len(want)), 0
	if _, err := s.far.Wait(ctx, "all of the frame", func(p Captured) bool {
		var segment stt.Segment
		packet := p.Data[min(etherHeaderLen, len(p.Data)):]
		if segment.Decode(packet, len(packet), []uint16{stt.Port}) == reason.None && segment.FrameID == c.id && segment.Src == OuterA6 {
			have += copy(got[min(int(segment.Offset), len(got)):], segment.Payload)
		}
		return have == len(want)
	}); err != nil {
		return "", err
	}
	if !bytes.Equal(got, want) {
		return "", errors.New("another frame arrived")
	}
	return fmt.Sprintf("arrived, %d bytes from %s, %s", len(payload), plural(e.Segments, "packet"), verdictOf(&e)), nil
}
