package policy

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sttwall/describe"
	"sttwall/inspect"
	"sttwall/reason"
)

func macOf(n uint64) (m [6]byte) {
	for i := range m {
		m[i] = byte(n >> (40 - 8*i))
	}
	return m
}

const spoofRules = `settings {
  endpoints = ["any"]
}
address_group "servers" {
  addresses = ["10.1.16.0/24", "10.1.99.9"]
}
tenant "t" {
  context_ids    = [1]
  default_action = "accept"
  anti_spoof {
    learn       = ["address", "mac"]
    within      = ["10.1.0.0/16", "!10.1.0.1", !address_group.servers]
    shared_macs = ["0a:00:00:00:00:00/24"]
    expiry      = "1h"
    binding "db1" {
      endpoints = ["10.47.1.1"]
      addresses = ["10.1.16.5"]
      macs      = ["02:00:00:00:00:05"]
    }
    binding "db" {
      endpoints = ["10.47.1.2", "10.47.2.0/24"]
      addresses = ["10.1.16.5-10.1.16.6"]
    }
  }
}
tenant "plain" {
  context_ids = [2]
  default_action = "accept"
}
`

func TestWhatOfAPacketIsLearned(t *testing.T) {
	p := mustLoad(t, spoofRules)
	for _, tt := range []struct{ packet, want string }{
		{"udp 10.1.2.3:1 > 10.1.2.4:2", "02:00:00:00:00:01, 10.1.2.3"},
		{"udp 10.1.0.1:1 > 10.1.2.4:2", "02:00:00:00:00:01"},
		{"udp 10.1.99.9:1 > 10.1.2.4:2", "02:00:00:00:00:01"},
		{"udp 10.2.0.1:1 > 10.1.2.4:2", "02:00:00:00:00:01"},
		{"udp [2001:db8::1]:1 > [2001:db8::2]:2", "02:00:00:00:00:01"},
		{"udp 10.1.2.3:1 > 10.1.2.4:2 mac 0a:00:00:ff:ff:ff > 02:00:00:00:00:02", "10.1.2.3"},
		{"udp 10.1.2.3:1 > 10.1.2.4:2 mac 02:00:00:00:00:05 > 02:00:00:00:00:02 from 10.47.1.1", "10.1.2.3"}, // what is declared is not learned
	} {
		d, err := describe.Parse(tt.packet)
		if err != nil {
			t.Fatal(err)
		}
		k := &Packet{ContextID: 1, Frame: &d.Frame, From: d.From}
		if got := p.Evaluate(k); got.Reason != reason.None {
			t.Errorf("%s: %v", tt.packet, got.Reason)
		}
		var learned []string
		for i, c := range k.Origins.Claims.All() {
			if k.Origins.Learned&(1<<i) != 0 {
				learned = append(learned, c.String())
			}
		}
		if got := strings.Join(learned, ", "); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.packet, got, tt.want)
		}
	}
	if a := p.Tenant(0).AntiSpoof; a.Expiry != time.Hour || a.MoveAfter != time.Second || !a.Learns() || p.Tenant(1).AntiSpoof != nil {
		t.Errorf("%+v", a)
	}
}

func TestExplainShowsWhatIsDeclared(t *testing.T) {
	p := mustLoad(t, spoofRules)
	for _, tt := range []struct {
		packet  string
		context uint64
		want    []string
		action  string
	}{
		{"udp 10.1.16.5:1 > 10.1.2.4:2 from 10.47.2.9", 1, []string{
			"inner address 10.1.16.5 is declared for 10.47.1.1, 10.47.1.2, 10.47.2.0/24 (binding db1, db), and comes from there"}, "accept none"},
		{"udp 10.1.16.6:1 > 10.1.2.4:2 mac 02:00:00:00:00:05 > 02:00:00:00:00:02 from 10.47.1.1", 1, []string{
			"inner MAC 02:00:00:00:00:05 is declared for 10.47.1.1 (binding db1), and comes from there",
			"inner address 10.1.16.6 is declared for 10.47.1.2, 10.47.2.0/24 (binding db), but the packet comes from 10.47.1.1: binding_declared"}, "drop binding_declared"},
		{"udp 10.1.16.6:1 > 10.1.2.4:2", 1, []string{
			"inner address 10.1.16.6 is declared for 10.47.1.2, 10.47.2.0/24 (binding db), but the packet says from nowhere (from ADDRESS): binding_declared"}, "drop binding_declared"},
		{"udp 10.1.2.3:1 > 10.1.2.4:2", 1, nil, "accept none"},
		{"udp 10.1.16.5:1 > 10.1.2.4:2", 2, nil, "accept none"},
	} {
		d, err := describe.Parse(tt.packet)
		if err != nil {
			t.Fatal(err)
		}
		x := p.Explain(&Packet{ContextID: tt.context, Frame: &d.Frame, From: d.From})
		if diff := cmp.Diff(tt.want, x.Bindings); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.packet, diff)
		}
		if got := x.Decision.Action.String() + " " + x.Decision.Reason.String(); got != tt.action || x.Default == "" {
			t.Errorf("%s: %s, default %q", tt.packet, got, x.Default)
		}
	}
}

func TestDeclarationsAreThoseOfOthers(t *testing.T) {
	p := mustLoad(t, spoofRules)
	for _, tt := range []struct {
		packet  string
		context uint64
		want    string
	}{
		{"udp 10.1.16.6:1 > 10.1.2.4:2 from 10.47.1.1", 1, "inner address 10.1.16.6: [db]"},
		{"udp 10.1.16.6:1 > 10.1.2.4:2 from 10.47.1.2", 1, ": []"},
		{"udp 10.1.16.5:1 > 10.1.2.4:2 from 10.47.9.9", 1, "inner address 10.1.16.5: [db1 db]"},
		{"udp 10.1.16.5:1 > 10.1.2.4:2 from 10.47.9.9", 2, ": []"},
		{"udp 10.1.16.5:1 > 10.1.2.4:2 from 10.47.9.9", 999, ": []"},
	} {
		d, err := describe.Parse(tt.packet)
		if err != nil {
			t.Fatal(err)
		}
		bindings, claim := p.Declarations(&Packet{ContextID: tt.context, Frame: &d.Frame, From: d.From})
		if got := fmt.Sprintf("%s: %v", claim, bindings); got != tt.want {
			t.Errorf("%s in %d: got %s, want %s", tt.packet, tt.context, got, tt.want)
		}
	}
}

// A test block that names no endpoint is sent from one for which its claims are.
func TestATestComesFromWhereItsAddressIsDeclared(t *testing.T) {
	p := mustLoad(t, strings.Replace(spoofRules, `"10.47.1.2", "10.47.2.0/24"`, `"2001:db8:47::1"`, 1))
	for _, tt := range []struct{ packet, from, to string }{
		{"udp 10.1.16.5:1 > 10.1.2.4:2", "10.47.1.1", "192.0.2.1"},
		{"udp 10.1.16.6:1 > 10.1.2.4:2", "2001:db8:47::1", "2001:db8:47::1"},
		{"udp 10.1.2.3:1 > 10.1.2.4:2", "192.0.2.1", "192.0.2.1"},
		{"udp 10.1.16.5:1 > 10.1.2.4:2 from 10.47.9.9", "10.47.9.9", "192.0.2.1"},
	} {
		d, err := describe.Parse(tt.packet)
		if err != nil {
			t.Fatal(err)
		}
		from, to := p.OuterEndpoints(&Step{ContextID: 1, Packet: d})
		if from.String() != tt.from || to.String() != tt.to {
			t.Errorf("%s: from %v to %v", tt.packet, from, to)
		}
	}
}

func declaredRules(n int) string {
	var b strings.Builder
	b.WriteString("settings {\n endpoints = [\"any\"]\n}\ntenant \"t\" {\n context_ids = [1]\n default_action = \"accept\"\n anti_spoof {\n learn = []\n")
	for i := range n {
		fmt.Fprintf(&b, "binding \"b%d\" {\n endpoints = [\"10.47.%d.%d\"]\n addresses = [\"10.1.%d.%d\", \"2001:db8::%x\"]\n macs = [\"02:00:00:00:%02x:%02x\"]\n }\n",
			i, i/256, i%256, i/256, i%256, i, i/256, i%256)
	}
	return b.String() + "}\n}\n"
}

func BenchmarkDeclared(b *testing.B) {
	for _, n := range []int{10, 10000} {
		b.Run(fmt.Sprintf("bindings=%d", n), func(b *testing.B) {
			p := mustLoad(b, declaredRules(n))
			f := ip("10.1.0.1", "10.9.9.9", inspect.ProtocolUDP)
			k := &Packet{ContextID: 1, Frame: f}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i = (i + 7919) % n
				f.Src, f.EthSrc = netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), macOf(0x020000000000|uint64(i))
				k.From = netip.AddrFrom4([4]byte{10, 47, byte(i >> 8), byte(i)})
				d, _ := p.Find(1)
				if !p.Admit(k, &d) {
					b.Fatal(d.Reason)
				}
			}
		})
	}
}

func TestDeclaredBindingsAllocateNothing(t *testing.T) {
	p := mustLoad(t, declaredRules(1000))
	f := ip("10.1.0.1", "10.9.9.9", inspect.ProtocolUDP)
	k := &Packet{ContextID: 1, Frame: f, From: netip.MustParseAddr("10.47.0.1")}
	if n := testing.AllocsPerRun(100, func() {
		if d := p.Evaluate(k); d.Action != Accept {
			t.Fatal(d.Reason)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
