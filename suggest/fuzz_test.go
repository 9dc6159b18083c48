package suggest_test

import (
	"encoding/binary"
	"strings"
	"testing"

	"sttwall/conntrack"
	"sttwall/describe"
	"sttwall/inspect"
	"sttwall/policy"
	"sttwall/reason"
	. "sttwall/suggest"
)

// Whatever is in the frames, the text is rules, and no flow is lost or made up.
func FuzzSuggest(f *testing.F) {
	var all []byte
	for _, text := range []string{
		"tcp 10.0.0.1:40000 > 10.0.0.2:443 syn", "udp [2001:db8::1]:53 > [2001:db8::2]:40000", "icmp 10.0.0.1 > 10.0.0.2 13", "icmpv6 fe80::1 > ff02::16 143",
		"arp reply 10.0.0.1 > 10.0.0.2", "ethertype 0x88cc", "sctp 10.0.0.1:1 > 10.0.0.2:2",
		"tcp [::ffff:10.0.0.1]:1 > [::ffff:10.0.0.2]:2 syn", "udp 0.0.0.0:68 > 255.255.255.255:67", "udp 10.0.0.1:1 > 10.0.0.2:2 frag first", "protocol 0 10.0.0.1 > 10.0.0.2",
	} {
		p, err := describe.Parse(text)
		if err != nil {
			f.Fatalf("%s: %v", text, err)
		}
		if p.Frame.Protocol == inspect.ProtocolICMP {
			p.Data[23] = inspect.ProtocolICMPv6 // in IPv4
		}
		frame := append(binary.BigEndian.AppendUint16([]byte{0, 100, 2}, uint16(len(p.Data))), p.Data...)
		f.Add(frame, false)
		all = append(all, frame...)
	}
	f.Add(all, true)
	none, diags := policy.Load("none", nil)
	if diags.HasErrors() {
		f.Fatal(diags)
	}
	f.Fuzz(func(t *testing.T, data []byte, ovn bool) {
		p := none.Auditing(ovn)
		c := NewCollector(1000)
		var s Sighting
		// Each frame has its context ID, its state and its length in front.
		for len(data) >= 5 {
			id, state, n := uint64(binary.BigEndian.Uint16(data)), data[2], int(binary.BigEndian.Uint16(data[3:]))
			n = min(n, len(data)-5)
			s.ContextID, s.Reverse, s.State, s.Begins = id, id, conntrack.State(state%7), state&8 != 0
			if s.Frame.Decode(data[5:5+n], n, 0, inspect.NoTag) == reason.None {
				c.Add(p, &s)
			}
			data = data[5+n:]
		}
		flows := c.Flows()
		o := Options{Exact: ovn}
		found := Suggest(flows, o)
		var b strings.Builder
		if err := found.WriteHCL(&b); err != nil {
			t.Fatal(err)
		}
		rules, diags := policy.Load("suggested.hcl", []byte(b.String()))
		if diags.HasErrors() {
			t.Fatalf("%v\n%s", diags, b.String())
		}
		// With these rules there is nothing left to suggest.
		if left := Suggest(flows, Options{Policy: rules}); left.Rules != 0 || found.Apart+left.Covered < len(flows) {
			t.Fatalf("%d rules more, %d flows of %d are covered and %d were set apart:\n%s", left.Rules, left.Covered, len(flows), found.Apart, b.String())
		}
	})
}
