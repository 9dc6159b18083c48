package lab

import (
	"testing"

	"sttwall/firewall"
	"sttwall/internal/evasion"
	"sttwall/stt"
)

// A packet that was asked for whole is not decided when its first try is: markers wait
// until it is.
func TestMarkersWaitForWhatComesAgain(t *testing.T) {
	s := &evasion.Script{Way: evasion.OnCopied}
	for _, k := range evasion.Cases() {
		if k.Name == "denied after a frame" {
			k.Send(s)
		}
	}
	core, err := evasion.NewCore(s)
	if err != nil {
		t.Fatal(err)
	}
	c := &rigCore{}
	c.load(core.Firewalls()[0])
	path := stt.Path{Src: markerFrom, Dst: markerTo, DstPort: stt.Port, TTL: 64}
	marker := stt.AppendSegment(nil, &path, &stt.Piece{FrameID: 1, FrameLength: 1, Payload: []byte{0}})
	whole := s.Sent[0].Packet
	for _, step := range []struct {
		packets []firewall.Packet
		want    []firewall.Action
		ids     []uint64
	}{
		{[]firewall.Packet{
			{ID: 1, Data: marker, Length: len(marker)},
			{ID: 2, Data: whole[:evasion.CopyRange], Length: len(whole), More: true},
			{ID: 3, Data: marker, Length: len(marker)},
		}, []firewall.Action{firewall.Accept, firewall.Again}, []uint64{1, 2}},
		{[]firewall.Packet{{ID: 4, Data: marker, Length: len(marker)}}, nil, nil},
		{[]firewall.Packet{{ID: 5, Data: whole, Length: len(whole)}}, []firewall.Action{firewall.Accept, firewall.Accept, firewall.Accept}, []uint64{5, 3, 4}},
	} {
		var out firewall.Verdicts
		c.ProcessBatch(rigClock, step.packets, &out)
		if len(out.List) != len(step.ids) {
			t.Fatalf("got %+v, want verdicts of %d", out.List, step.ids)
		}
		for i, v := range out.List {
			if v.ID != step.ids[i] || v.Action != step.want[i] {
				t.Errorf("got %+v, want %v of packet %d", v, step.want[i], step.ids[i])
			}
		}
	}
	if got := c.marked.Load(); got != 3 {
		t.Errorf("%d markers have passed, want 3", got)
	}
}
