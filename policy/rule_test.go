package policy

import (
	"fmt"
	"testing"

	"sttwall/inspect"
	"sttwall/policy/space"
	"sttwall/reason"
)

// A tag with VLAN ID 0 puts a frame into no VLAN, be it in the tunnel header, with
// the V bit or not, or in the frame; what it says of the priority counts.
func TestAPriorityTagIsNoVLAN(t *testing.T) {
	frames := []struct {
		name string
		tci  uint16 // of the tunnel header
		tag  []byte // in the frame
		vlan string // "none" or an ID
		pcp  int    // -1: none
	}{
		{"untagged", 0, nil, "none", -1},
		{"V alone", 0x1000, nil, "none", 0},
		{"a priority without V", 0x2000, nil, "none", 1},
		{"a priority with V", 0x3000, nil, "none", 1},
		{"a tag of zeros in the frame", 0, []byte{0x81, 0, 0, 0}, "none", 0},
		{"a priority in the frame", 0, []byte{0x81, 0, 0x20, 0}, "none", 1},
		{"a service tag with a priority", 0, []byte{0x88, 0xa8, 0x30, 0}, "none", 1},
		{"the first VLAN", 0x1001, nil, "1", 0},
		{"a VLAN without V", 0x202a, nil, "42", 1},
		{"the last VLAN, in the frame", 0, []byte{0x81, 0, 0x2f, 0xff}, "4095", 1},
	}
	rules := []struct {
		conditions string
		holds      func(vlan string, pcp int) bool
	}{
		{`vlan = ["none"]`, func(vlan string, _ int) bool { return vlan == "none" }},
		{`vlan = ["!none"]`, func(vlan string, _ int) bool { return vlan != "none" }},
		{`vlan = ["1-4095"]`, func(vlan string, _ int) bool { return vlan != "none" }},
		{`vlan = ["!1-4095"]`, func(vlan string, _ int) bool { return vlan == "none" }},
		{`vlan = [1]`, func(vlan string, _ int) bool { return vlan == "1" }},
		{`vlan = ["!42"]`, func(vlan string, _ int) bool { return vlan != "42" }},
		{`vlan = ["none", 42]`, func(vlan string, _ int) bool { return vlan == "none" || vlan == "42" }},
		{"vlan = [\"none\"]\n pcp = [1]", func(vlan string, pcp int) bool { return vlan == "none" && pcp == 1 }},
		{"vlan = [\"none\"]\n pcp = [\"!1\"]", func(vlan string, pcp int) bool { return vlan == "none" && pcp != 1 }},
		{`pcp = [1]`, func(_ string, pcp int) bool { return pcp == 1 }},
		{`pcp = ["0-7"]`, func(_ string, pcp int) bool { return pcp >= 0 }},
	}
	for _, r := range rules {
		p := mustLoad(t, "tenant \"t\" {\n context_ids = [1]\n rule \"r\" {\n action = \"accept\"\n ethertype = [\"0x88cc\"]\n "+r.conditions+"\n }\n}\n")
		for _, f := range frames {
			t.Run(fmt.Sprint(r.conditions, "/", f.name), func(t *testing.T) {
				data := append([]byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1}, f.tag...)
				data = append(data, 0x88, 0xcc, 0, 0)
				var frame inspect.Frame
				if why := frame.Decode(data, len(data), f.tci, inspect.Tagged(f.tci != 0)); why != reason.None {
					t.Fatal(why)
				}
				k := &Packet{ContextID: 1, Frame: &frame, Peek: true}
				want := r.holds(f.vlan, f.pcp)
				if got := p.Evaluate(k).Action == Accept; got != want {
					t.Errorf("accepted: %v", got)
				}
				if x := p.Explain(k); len(x.Rules) != 1 || x.Rules[0].Matched != want {
					t.Errorf("explained: %+v", x)
				}
				x := pointOf(1, &frame, k.From, k.To)
				if got := firstOf(p, inParts, 0, x) != ""; got != want {
					t.Errorf("analysed: %v", got)
				}
				if n := holding(x); n != 1 {
					t.Errorf("%d kinds of packets have %v", n, x)
				}
			})
		}
	}
}

// holding counts the products of the possible packets that a packet is in.
func holding(x *space.Point) (n int) {
	for _, p := range space.Universe() {
		if p.Contains(x) {
			n++
		}
	}
	return n
}
