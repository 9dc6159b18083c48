package remedy

import (
	"net/netip"
	"testing"

	"sttwall/describe"
	"sttwall/reason"
)

// Whatever is asked, there is an answer that says why, and what it says it has tried
// out stands in the rules language.
func FuzzFind(f *testing.F) {
	p := load(f, rules)
	for _, text := range []string{
		"tcp 10.0.0.1:40000 > 10.0.0.2:23 syn", "tcp [2001:db8::1]:1 > [2001:db8::2]:2 ack vlan 7", "udp 10.0.0.2:53 > 10.0.0.1:40000",
		"icmpv6 2001:db8::1 > 2001:db8::2 echo-reply", "arp request 10.0.0.1 > 10.0.0.2", "udp 10.0.0.1:1 > 10.0.0.2:2 frag later",
	} {
		d, err := describe.Parse(text)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint64(100), uint16(0), d.Data, len(d.Data), uint8(reason.TenantDefault))
	}
	f.Fuzz(func(t *testing.T, id uint64, tci uint16, data []byte, length int, why uint8) {
		r := Request{ContextID: id, TCI: tci, Data: data, Length: length, Reason: reason.Reason(why) % reason.Count, Now: noon}
		for _, from := range []string{"10.47.1.1", "192.0.2.1"} {
			r.From = netip.MustParseAddr(from)
			out := Find(p, r)
			if out.Why == "" {
				t.Errorf("no word: %+v", out)
			}
			if out.Text != "" && out.Place == "" {
				t.Errorf("no place: %+v", out)
			}
		}
	})
}
