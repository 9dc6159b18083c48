package control

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"testing"

	"sttwall/describe"
	"sttwall/firewall"
	"sttwall/policy"
	"sttwall/reason"
	"sttwall/stt"
)

// What is said of a frame by its bytes is what a worker does with it then.
func TestAFrameIsDecidedAsItsBytesWereExplained(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	core, recent := dropsOf(t)
	s := serve(t, Config{Firewall: core, Recent: recent})
	var event firewall.FrameEvent
	core.also = func(e *firewall.FrameEvent) {
		if e.FrameID == core.frames { // and not a fragment that has waited
			event = *e
		}
	}
	texts := []string{
		"tcp 10.0.0.1:40000 > 10.0.0.2:443 syn", "tcp 10.0.0.1:40000 > 10.0.0.2:22 syn len 40", "tcp 10.0.0.1:40000 > 10.0.0.2:23 syn vlan 7",
		"udp [2001:db8::1]:1 > [2001:db8::2]:53 len 9", "arp request 10.0.0.1 > 10.0.0.2", "icmp 10.0.0.1 > 10.0.0.2 echo-request",
		"udp 10.0.0.1:1 > 10.0.0.2:2 frag first len 64",
	}
	seen := map[reason.Reason]int{}
	for range 3000 {
		d, err := describe.Parse(texts[random.IntN(len(texts))])
		if err != nil {
			t.Fatal(err)
		}
		inner := bytes.Clone(d.Data)
		for range random.IntN(3) {
			inner[random.IntN(len(inner))] = byte(random.Uint32())
		}
		h := stt.FrameHeader{ContextID: []uint64{100, 100, 200, 9}[random.IntN(4)], Flags: stt.FlagChecksumVerified}
		switch random.IntN(4) {
		case 0:
			h.Flags, h.L4Offset = stt.FlagChecksumPartial|stt.FlagIPv4|stt.FlagTCP, []uint8{0, 34, 54}[random.IntN(3)]
		case 1:
			h.TCI = uint16(random.Uint32())
		}
		header := stt.AppendFrameHeader(nil, &h)
		body, err := json.Marshal(ExplainRequest{Frame: inner, Header: header, From: endpointA.String(), To: endpointB.String()})
		if err != nil {
			t.Fatal(err)
		}
		q, structural, err := readQuestion(bytes.NewReader(body), policy.DefaultMSSFloor)
		if err != nil {
			t.Fatal(err)
		}
		x := s.explained(&q, structural)

		core.frames++
		frame := append(header, inner...)
		path := stt.Path{Src: endpointA, Dst: endpointB, SrcPort: 40000, DstPort: stt.Port, TTL: 63}
		packet := stt.AppendSegment(nil, &path, &stt.Piece{FrameID: core.frames, FrameLength: len(frame), Payload: frame})
		core.process(&firewall.Packet{ID: 1, Data: packet, Length: len(packet)})
		if event.FrameID != core.frames {
			continue // a later fragment, which waits
		}
		seen[event.Reason]++
		said := x.Reason
		if said == "" {
			said = reason.None.String()
		}
		if said != event.Reason.String() || x.Rule != event.Decision.Rule || x.Audit != event.Decision.Audit {
			t.Fatalf("%x %x\nsaid to be %s by %q, and is %s by %q", header, inner, said, x.Rule, event.Reason, event.Decision.Rule)
		}
	}
	if len(seen) < 8 {
		t.Errorf("only %v were met", seen)
	}
}
