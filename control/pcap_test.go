package control

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"sttwall/capture"
)

func TestAFrameInACapture(t *testing.T) {
	id := ContextID(0x64)
	f := Frame{
		Verdict: "drop", State: "new", FrameID: 7, SrcPort: 40000, Segments: 2,
		Header: append([]byte{0, 1, 0, 0, 0, 0, 0x10, 0x0a}, make([]byte, 10)...),
		Data:   append(make([]byte, 12), 0x08, 0x00, 0x45), InnerBytes: 60,
		Event: Event{
			Type: EventDrop, Time: time.Unix(1, 2000), Tenant: "acme", Rule: "acme/no", Reason: "rule_drop", Context: &id,
			From: netip.MustParseAddr("10.47.1.1"), To: netip.MustParseAddr("10.47.2.1"),
		},
	}
	var r capture.Record
	if !f.Record(&r) || r.Link != capture.LinkEthernet || r.Time != 1_000_002_000 || r.Missing != 45 {
		t.Errorf("got %+v", r)
	}
	if got, want := append(bytes.Clone(r.Header), r.Packet...), append(make([]byte, 12), 0x81, 0x00, 0x00, 0x0a, 0x08, 0x00, 0x45); !bytes.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
	const tunnel = "context=0x64 state=new from=10.47.1.1 to=10.47.2.1 "
	if got, want := r.Comment, "verdict=drop reason=rule_drop tenant=acme rule=acme/no "+tunnel+"segments=2 frame_id=0x00000007 outer_src_port=40000"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}

	f.Outer = &OuterPacket{Index: 1, Bytes: 1500, Time: time.Unix(2, 0)}
	if !f.Record(&r) || r.Link != capture.LinkRaw || r.Time != 2_000_000_000 || len(r.Header) != 0 || r.Missing != 1500-15 {
		t.Errorf("got %+v", r)
	}
	if got, want := r.Comment, "verdict=drop reason=rule_drop tenant=acme rule=acme/no "+tunnel+"segment=2/2 frame_id=0x00000007 outer_src_port=40000"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	alone := Frame{Verdict: "drop", Outer: &OuterPacket{Alone: true}}
	if got := alone.Comment(); got != "verdict=drop alone" {
		t.Errorf("got %s", got)
	}
	if alone.Record(&r) || new(Frame).Record(&r) {
		t.Error("a packet without bytes is captured")
	}
}
