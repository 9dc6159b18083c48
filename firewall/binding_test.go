package firewall

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sttwall/binding"
	"sttwall/conntrack"
	"sttwall/describe"
	"sttwall/policy"
	"sttwall/reason"
	"sttwall/stt"
)

const spoofRules = `
settings {
  endpoints = ["192.0.2.0/24", "2001:db8:47::/64"]
}
tenant "soft" {
  context_ids = ["100-199"]
  anti_spoof {
    learn  = ["address", "mac"]
    within = ["10.0.0.0/8", "!10.0.0.254", "2001:db8:1::/48", "fe80::/10"]
    shared_macs = ["0a:00:00:00:00:00/24"]
  }
  rule "web" {
    action   = "accept"
    services = ["tcp/80", "udp/53", "icmp/echo-request", "icmpv6/echo-request", "ethertype/0x8035"]
  }
}
tenant "hard" {
  context_ids = [200]
  anti_spoof {
    learn = []
    binding "db1" {
      endpoints = ["192.0.2.1", "2001:db8:47::1"]
      addresses = ["10.0.0.5", "2001:db8:1::5"]
      macs      = ["02:00:00:00:00:05"]
    }
    binding "db2" {
      endpoints = ["192.0.2.2"]
      addresses = ["10.0.0.5-10.0.0.6"]
    }
  }
  rule "all" {
    action   = "accept"
    services = ["any", "arp"]
  }
}
tenant "trial" {
  context_ids = [300]
  endpoints   = ["192.0.2.1", "192.0.2.2"]
  mode        = "audit"
  anti_spoof {
    binding "db1" {
      endpoints = ["192.0.2.1"]
      addresses = ["10.0.0.5"]
      macs      = ["02:00:00:00:00:05"]
    }
  }
}
tenant "ovn" {
  context_layout = "ovn"
  datapaths      = [7, 8]
  anti_spoof {
    learn                = ["address", "mac", "ingress_port"]
    shared_ingress_ports = [1]
    binding "db1" {
      endpoints     = ["192.0.2.1"]
      ingress_ports = ["3-4"]
      datapaths     = [7]
    }
  }
  rule "all" {
    action   = "accept"
    services = ["any"]
  }
}
tenant "none" {
  context_ids = [400]
  rule "all" {
    action = "accept"
  }
}
`

// Endpoints, as packet descriptions have them.
const (
	atA  = " from 192.0.2.1 to 192.0.2.9"
	atB  = " from 192.0.2.2 to 192.0.2.9"
	atA6 = " from 2001:db8:47::1 to 2001:db8:47::9"
	atB6 = " from 2001:db8:47::2 to 2001:db8:47::9"
)

func spoofBench(t testing.TB) *bench {
	t.Helper()
	return newBench(t, benchConfig{rules: spoofRules})
}

// frames are sent one after the other; each says what becomes of it.
type frames []struct {
	after   time.Duration
	text    string
	want    reason.Reason
	moves   string // what moved, and from where
	context uint64 // 0: that of the one before
}

func (b *bench) run(list frames) {
	b.t.Helper()
	context := uint64(100)
	for i, s := range list {
		b.now += int64(s.after)
		if s.context != 0 {
			context = s.context
		}
		e := b.meet(context, s.text)
		var moves []string
		for _, m := range e.Moves {
			moves = append(moves, fmt.Sprintf("%v %v from %v", m.Claim.Kind(), m.Claim, m.From))
		}
		if e.FlowMovedFrom.IsValid() {
			moves = append(moves, "flow from "+e.FlowMovedFrom.String())
		}
		if got := strings.Join(moves, ", "); e.Reason != s.want || got != s.moves {
			b.t.Errorf("frame %d, %s:\n got %v, moved %q\nwant %v, moved %q", i, s.text, e.Reason, got, s.want, s.moves)
		}
	}
}

const (
	aWeb   = "udp 10.0.0.1:1 > 10.0.0.2:53"
	macOf1 = " mac 02:00:00:00:00:01 > 02:00:00:00:00:02"
	macOf2 = " mac 02:00:00:00:00:22 > 02:00:00:00:00:02"
)

func TestALearnedAddressComesFromWhereItLives(t *testing.T) {
	for _, tt := range []struct {
		name string
		list frames
	}{
		{"an impostor is dropped while the real one speaks", frames{
			{0, aWeb + atA, reason.None, "", 0},
			{time.Millisecond, "udp 10.0.0.1:7 > 10.0.0.2:53" + macOf2 + atB, reason.BindingLearned, "", 0},
			{time.Second - time.Millisecond - 1, "udp 10.0.0.1:8 > 10.0.0.2:53" + macOf2 + atB, reason.BindingLearned, "", 0},
		}},
		{"so is its MAC", frames{
			{0, aWeb + atA, reason.None, "", 0},
			{1, "udp 10.0.0.77:7 > 10.0.0.2:53" + macOf1 + atB, reason.BindingLearned, "", 0},
		}},
		{"and ARP in its name", frames{
			{0, aWeb + atA, reason.None, "", 0},
			{1, "arp reply 10.0.0.1 > 10.0.0.3" + macOf2 + atB, reason.BindingLearned, "", 0},
		}},
		{"where it has been silent, the binding moves", frames{
			{0, aWeb + atA, reason.None, "", 0},
			{time.Second, "udp 10.0.0.1:7 > 10.0.0.2:53" + macOf2 + atB, reason.None, "address 10.0.0.1 from 192.0.2.1", 0},
			{1, "udp 10.0.0.1:9 > 10.0.0.2:53" + macOf1 + atA, reason.BindingLearned, "", 0},
		}},
		{"where it announces itself, at once", frames{
			{0, aWeb + atA, reason.None, "", 0},
			{1, "arp request 10.0.0.1 > 10.0.0.1" + atB, reason.None, "mac 02:00:00:00:00:01 from 192.0.2.1, address 10.0.0.1 from 192.0.2.1", 0},
			{1, aWeb + atA, reason.BindingLearned, "", 0},
			{1, "arp request 10.0.0.1 > 10.0.0.1" + atA, reason.None, "mac 02:00:00:00:00:01 from 192.0.2.2, address 10.0.0.1 from 192.0.2.2", 0},
		}},
		{"a RARP frame announces a MAC, not an address", frames{
			{0, aWeb + atA, reason.None, "", 0},
			{1, "ethertype 0x8035 len 46" + atB, reason.None, "mac 02:00:00:00:00:01 from 192.0.2.1", 0},
			{1, "udp 10.0.0.1:7 > 10.0.0.2:53" + atB, reason.BindingLearned, "", 0},
		}},
		{"a frame that is denied teaches nothing", frames{
			{0, "tcp 10.0.0.1:1 > 10.0.0.2:22 syn" + atB, reason.TenantDefault, "", 0},
			{1, aWeb + atA, reason.None, "", 0},
			{time.Second / 2, "tcp 10.0.0.1:1 > 10.0.0.2:22 syn" + atA, reason.TenantDefault, "", 0}, // does not keep it alive
			{time.Second / 2, "tcp 10.0.0.1:1 > 10.0.0.2:22 syn" + atB, reason.TenantDefault, "", 0}, // does not move it
			{1, "udp 10.0.0.1:7 > 10.0.0.2:53" + atA, reason.None, "", 0},
			{1, "tcp 10.0.0.1:5 > 10.0.0.2:80 ack" + atA, reason.StateInvalid, "", 0},
		}},
		{"what is not within is not bound", frames{
			{0, "udp 198.51.100.1:1 > 10.0.0.2:53 mac 0a:00:00:00:00:01 > 02:00:00:00:00:02" + atA, reason.None, "", 0},
			{1, "udp 198.51.100.1:2 > 10.0.0.2:53 mac 0a:00:00:00:00:01 > 02:00:00:00:00:02" + atB, reason.None, "", 0},
			{1, "arp request 10.0.0.254 > 10.0.0.2 mac 0a:00:00:00:00:01 > ff:ff:ff:ff:ff:ff" + atA, reason.None, "", 0},
			{1, "arp request 10.0.0.254 > 10.0.0.2 mac 0a:00:00:00:00:01 > ff:ff:ff:ff:ff:ff" + atB, reason.None, "", 0},
		}},
		{"another context ID is another network, a priority tag is not", frames{
			{0, aWeb + atA, reason.None, "", 100},
			{1, aWeb + atB, reason.None, "", 101},
			{1, "udp 10.0.0.1:7 > 10.0.0.2:53 vlan 0" + atB, reason.BindingLearned, "", 100},
			{1, "udp 10.0.0.1:7 > 10.0.0.2:53 vlan 9" + atB, reason.None, "", 100},
		}},
		{"later fragments are checked too", frames{
			{0, aWeb + atA, reason.None, "", 0},
			{1, "udp 10.0.0.1:1 > 10.0.0.2:53 frag later" + macOf2 + atB, reason.BindingLearned, "", 0},
		}},
		{"IPv6: an advertisement for another's address", frames{
			{0, "udp [2001:db8:1::1]:1 > [2001:db8:1::2]:53" + atA6, reason.None, "", 0},
			{1, "icmpv6 fe80::2 > fe80::9 nd-neighbor-advert solicited target 2001:db8:1::1" + macOf2 + atB6, reason.BindingLearned, "", 0},
			{1, "icmpv6 fe80::2 > ff02::1 nd-neighbor-advert target 2001:db8:1::1" + macOf2 + atB6, reason.None, "address 2001:db8:1::1 from 2001:db8:47::1", 0},
			{1, "udp [2001:db8:1::1]:7 > [2001:db8:1::2]:53" + macOf2 + atB6, reason.None, "", 0},
			{1, "udp [2001:db8:1::1]:7 > [2001:db8:1::2]:53" + macOf1 + atA6, reason.BindingLearned, "", 0},
		}},
		{"a forgotten binding is learned anew, without a move", frames{
			{0, aWeb + atA, reason.None, "", 0},
			{10 * time.Minute, "udp 10.0.0.1:7 > 10.0.0.2:53" + atB, reason.None, "", 0},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) { spoofBench(t).run(tt.list) })
	}
}

func TestADeclaredAddressComesFromItsEndpointsAlone(t *testing.T) {
	for _, tt := range []struct {
		text string
		want reason.Reason
	}{
		{"udp 10.0.0.5:1 > 10.0.0.2:2" + atA, reason.None},
		{"udp 10.0.0.5:2 > 10.0.0.2:2" + atB, reason.None}, // either binding
		{"udp 10.0.0.6:1 > 10.0.0.2:2" + atB, reason.None},
		{"udp 10.0.0.6:1 > 10.0.0.2:2" + atA, reason.BindingDeclared},
		{"udp 10.0.0.7:1 > 10.0.0.2:2" + atA, reason.None}, // nobody's
		{"udp 10.0.0.7:1 > 10.0.0.2:2 mac 02:00:00:00:00:05 > 02:00:00:00:00:02" + atB, reason.BindingDeclared},
		{"udp 10.0.0.7:1 > 10.0.0.2:3 mac 02:00:00:00:00:05 > 02:00:00:00:00:02" + atA, reason.None},
		{"arp request 10.0.0.6 > 10.0.0.6" + atA, reason.BindingDeclared}, // announcing is of no use
		{"udp [2001:db8:1::5]:1 > [2001:db8:1::2]:2" + atA6, reason.None},
		{"udp [2001:db8:1::5]:1 > [2001:db8:1::2]:2" + atB6, reason.BindingDeclared},
		{"icmpv6 2001:db8:1::9 > ff02::1 nd-neighbor-advert target 2001:db8:1::5" + atB6, reason.BindingDeclared},
	} {
		b := spoofBench(t)
		e := b.meet(200, tt.text)
		if e.Reason != tt.want {
			t.Errorf("%s: got %v, want %v", tt.text, e.Reason, tt.want)
		}
		if n := b.shared.Bindings().Stats().Bindings; n != 0 {
			t.Errorf("%s: %d bindings learned", tt.text, n)
		}
	}
}

func TestOVNPortsAreBoundByDatapath(t *testing.T) {
	port := func(port, datapath uint64) uint64 { return port<<40 | 9<<24 | datapath }
	udp := func(n int) string {
		return fmt.Sprintf("udp 10.0.0.%d:1 > 10.0.0.200:2 mac 02:00:00:00:00:%02x > 02:00:00:00:00:02", n, n)
	}
	spoofBench(t).run(frames{
		{0, udp(1) + atA, reason.None, "", port(5, 7)},
		{1, udp(2) + atB, reason.BindingLearned, "", port(5, 7)}, // another guest's port
		{1, udp(3) + atB, reason.None, "", port(5, 8)},           // the port of that number of another datapath
		{1, udp(4) + atA, reason.None, "", port(1, 7)},           // a router's, which is everywhere
		{1, udp(5) + atB, reason.None, "", port(1, 7)},
		{1, udp(6) + atA, reason.None, "", port(3, 7)}, // declared
		{1, udp(7) + atB, reason.BindingDeclared, "", port(4, 7)},
		{1, udp(8) + atB, reason.None, "", port(4, 8)},
		// A routed address is the same in all datapaths, a MAC is not.
		{1, "udp 10.0.0.1:5 > 10.0.0.200:2 mac 02:00:00:00:00:aa > 02:00:00:00:00:02" + atB, reason.BindingLearned, "", port(1, 8)},
		{1, "udp 10.0.0.99:5 > 10.0.0.200:2 mac 02:00:00:00:00:01 > 02:00:00:00:00:02" + atB, reason.None, "", port(1, 8)},
		{1, "arp request 10.0.0.1 > 10.0.0.1 mac 02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff" + atB, reason.None,
			"mac 02:00:00:00:00:01 from 192.0.2.1, address 10.0.0.1 from 192.0.2.1, ingress_port port 5 of datapath 7 from 192.0.2.1", port(5, 7)},
	})
}

// A guest moves to another hypervisor in the middle of a TCP connection.
func TestAFlowFollowsItsGuest(t *testing.T) {
	shake := frames{
		{0, "tcp 10.0.0.1:1000 > 10.0.0.2:80 syn seq 100 from 192.0.2.1 to 192.0.2.3", reason.None, "", 0},
		{1, "tcp 10.0.0.2:80 > 10.0.0.1:1000 syn,ack seq 500 ack-number 101 mac 02:00:00:00:00:02 > 02:00:00:00:00:01 from 192.0.2.3 to 192.0.2.1", reason.None, "", 0},
		{1, "tcp 10.0.0.1:1000 > 10.0.0.2:80 ack seq 101 ack-number 501 from 192.0.2.1 to 192.0.2.3", reason.None, "", 0},
	}
	// Behind the move.
	impostor := frames{
		{1, "tcp 10.0.0.1:1000 > 10.0.0.2:80 ack seq 111 ack-number 501 len 10 from 192.0.2.1 to 192.0.2.3", reason.BindingLearned, "", 0},
		{1, "tcp 10.0.0.2:80 > 10.0.0.1:1000 ack seq 501 ack-number 111 len 5 mac 02:00:00:00:00:02 > 02:00:00:00:00:01 from 192.0.2.3 to 192.0.2.2", reason.None, "", 0},
		{1, "tcp 10.0.0.1:1000 > 10.0.0.2:80 ack seq 111 ack-number 506 len 10 from 192.0.2.2 to 192.0.2.3", reason.None, "", 0},
		{1, "tcp 10.0.0.2:80 > 10.0.0.1:1000 ack seq 506 ack-number 121 len 5 mac 02:00:00:00:00:02 > 02:00:00:00:00:01 from 192.0.2.2 to 192.0.2.2", reason.BindingLearned, "", 0},
	}
	for _, tt := range []struct {
		name string
		list frames
	}{
		{"that announces itself", frames{
			{1, "arp request 10.0.0.1 > 10.0.0.1 from 192.0.2.2 to 192.0.2.3", reason.None, "mac 02:00:00:00:00:01 from 192.0.2.1, address 10.0.0.1 from 192.0.2.1", 0},
			{1, "tcp 10.0.0.1:1000 > 10.0.0.2:80 ack seq 101 ack-number 501 len 10 from 192.0.2.2 to 192.0.2.3", reason.None, "flow from 192.0.2.1", 0},
		}},
		{"that was silent for a second", frames{
			{time.Second / 2, "tcp 10.0.0.1:1000 > 10.0.0.2:80 ack seq 101 ack-number 501 len 10 from 192.0.2.2 to 192.0.2.3", reason.BindingLearned, "", 0},
			// A blind guess moves neither the flow nor the binding.
			{time.Second / 2, "tcp 10.0.0.1:1000 > 10.0.0.2:80 rst seq 9999999 from 192.0.2.4 to 192.0.2.3", reason.TCPReset, "", 0},
			{1, "tcp 10.0.0.1:1000 > 10.0.0.2:80 ack seq 101 ack-number 501 len 10 from 192.0.2.2 to 192.0.2.3", reason.None,
				"mac 02:00:00:00:00:01 from 192.0.2.1, address 10.0.0.1 from 192.0.2.1, flow from 192.0.2.1", 0},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := spoofBench(t)
			b.run(append(append(append(frames{}, shake...), tt.list...), impostor...))
			if n := b.fw.Counters().FlowsMoved.Load(); n != 1 {
				t.Errorf("%d flows have moved", n)
			}
			if n := b.fw.Counters().BindingsMoved.Load(); n != 2 {
				t.Errorf("%d bindings have moved", n)
			}
		})
	}
	t.Run("whose address is declared for both", func(t *testing.T) {
		b := spoofBench(t)
		b.run(frames{
			{0, "udp 10.0.0.5:1 > 10.0.0.9:2 from 192.0.2.1 to 192.0.2.3", reason.None, "", 200},
			{1, "udp 10.0.0.5:1 > 10.0.0.9:2 from 192.0.2.2 to 192.0.2.3", reason.None, "flow from 192.0.2.1", 0},
			{1, "udp 10.0.0.5:1 > 10.0.0.9:2 from 192.0.2.3 to 192.0.2.3", reason.BindingDeclared, "", 0},
		})
	})
	t.Run("without anti_spoof flows stay where they are", func(t *testing.T) {
		b := spoofBench(t)
		b.run(frames{
			{0, "udp 10.0.0.5:1 > 10.0.0.9:2 from 192.0.2.1 to 192.0.2.3", reason.None, "", 400},
			{time.Second, "udp 10.0.0.5:1 > 10.0.0.9:2 from 192.0.2.2 to 192.0.2.3", reason.FlowEndpoint, "", 0},
		})
	})
	t.Run("an address that is not learned moves none", func(t *testing.T) {
		b := spoofBench(t)
		b.run(frames{
			{0, "udp 198.51.100.1:1 > 10.0.0.9:53 from 192.0.2.1 to 192.0.2.3", reason.None, "", 100},
			{time.Second, "udp 198.51.100.1:1 > 10.0.0.9:53 mac 02:00:00:00:00:07 > 02:00:00:00:00:02 from 192.0.2.2 to 192.0.2.3", reason.FlowEndpoint, "", 0},
		})
	})
}

func TestAuditModeLetsImpostorsPassAndSaysSo(t *testing.T) {
	b := spoofBench(t)
	would := func(text string, want reason.Reason, claim string) {
		t.Helper()
		e := b.meet(300, text)
		if e.Verdict != Accept || !e.Decision.Audit || e.Decision.Would != want {
			t.Errorf("%s: %v %+v", text, e.Reason, e.Decision)
		}
		if got := e.Spoofed.String(); claim != "" && got != claim {
			t.Errorf("%s: spoofed %s", text, got)
		}
		b.now++
	}
	would("udp 10.0.0.5:1 > 10.0.0.2:2"+atB, reason.BindingDeclared, "10.0.0.5")
	would("udp 10.0.0.1:1 > 10.0.0.2:2"+atA, reason.TenantDefault, "") // would be dropped for its rules: it is accepted, and learned
	would("udp 10.0.0.1:2 > 10.0.0.2:2"+atB, reason.BindingLearned, "10.0.0.1")
	if e := b.events[0]; e.SpoofedAt != netip.MustParseAddr("192.0.2.1") {
		t.Errorf("bound at %v", e.SpoofedAt)
	}
	// What came from where the tenant may not be teaches nothing.
	would("udp 10.0.0.3:1 > 10.0.0.2:2 from 192.0.2.3", reason.TenantEndpoint, "")
	would("udp 10.0.0.3:2 > 10.0.0.2:2"+atA, reason.TenantDefault, "")
	// Nor does a flow follow what would be dropped.
	b.now += int64(time.Second)
	would("udp 10.0.0.3:2 > 10.0.0.2:2 mac 02:00:00:00:00:05 > 02:00:00:00:00:02"+atB, reason.BindingDeclared, "02:00:00:00:00:05")
	if e := b.events[0]; e.FlowMovedFrom.IsValid() {
		t.Errorf("the flow has moved from %v", e.FlowMovedFrom)
	}
	// What its flow would be dropped for does not hide it.
	would("udp 10.0.0.8:1 > 10.0.0.2:2"+atB, reason.TenantDefault, "")
	would("udp 10.0.0.8:1 > 10.0.0.2:2 mac 02:00:00:00:00:05 > 02:00:00:00:00:02"+atB, reason.BindingDeclared, "02:00:00:00:00:05")
	if s := b.shared.Bindings().Stats(); s.Learned != 3 || s.Moved != 0 {
		t.Errorf("%+v", s)
	}
}

// Whoever asks is told where an address lives, and what the packet does to that.
func TestExplainSaysWhereLearnedClaimsLive(t *testing.T) {
	b := spoofBench(t)
	b.run(frames{{0, aWeb + macOf1 + atA, reason.None, "", 0}})
	const address, mac = "inner address 10.0.0.1 lives behind 192.0.2.1 (learned)", "inner MAC 02:00:00:00:00:01 lives behind 192.0.2.1 (learned)"
	for _, tt := range []struct {
		after time.Duration
		text  string
		want  []string
	}{
		{0, aWeb + macOf1, []string{mac, address}},
		{0, aWeb + macOf1 + atA, []string{mac + ", and comes from there", address + ", and comes from there"}},
		{0, aWeb + macOf2 + atB, []string{address + ", but the packet comes from 192.0.2.2: binding_learned"}},
		{0, "arp request 10.0.0.1 > 10.0.0.1" + macOf2 + atB, []string{address + ", and moves to 192.0.2.2 with such a packet"}},
		{time.Second, aWeb + macOf2 + atB, []string{address + ", and moves to 192.0.2.2 with such a packet"}},
		{0, "udp 10.0.0.3:1 > 10.0.0.2:53" + macOf2 + atB, nil},
	} {
		b.now += int64(tt.after)
		d, err := describe.Parse(tt.text)
		if err != nil {
			t.Fatal(err)
		}
		x := b.shared.Explain(b.now, &Question{ContextID: 100, Frame: &d.Frame, Data: d.Data, From: d.From, To: d.To})
		got := x.Rules.Bindings
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s:\n got %q\nwant %q", tt.text, got, tt.want)
		}
	}
}

func TestAMoveSaysHowOftenThereWasOne(t *testing.T) {
	b := spoofBench(t)
	b.meet(100, aWeb+atA)
	for i, from := range []string{atB, atA, atB} {
		b.now += int64(time.Second) / 10
		e := b.meet(100, "arp request 10.0.0.1 > 10.0.0.1"+from)
		if len(e.Moves) != 2 || e.Moves[1].Moves != uint32(i+1) || e.Moves[1].Stayed != int64(time.Second)/10 {
			t.Errorf("move %d: %+v", i, e.Moves)
		}
	}
}

func TestAReloadKeepsWhatWasLearnedAndEndsWhatIsNotDeclaredSo(t *testing.T) {
	b := spoofBench(t)
	b.run(frames{
		{0, aWeb + atA, reason.None, "", 100},
		{0, "udp 10.0.0.9:1 > 10.0.0.2:53 mac 02:00:00:00:00:09 > 02:00:00:00:00:02" + atB, reason.None, "", 100},
	})
	reload := func(more string) int {
		b.t.Helper()
		// The tenant stands elsewhere in the file.
		text := "tenant \"first\" {\n context_ids = [1]\n}\n" + strings.Replace(spoofRules, `learn  = ["address", "mac"]`, `learn  = ["address", "mac"]`+more, 1)
		b.shared.SetPolicy(compile(t, text))
		return b.shared.Rejudge(b.now)
	}
	if n := reload(""); n != 0 {
		t.Errorf("%d flows have ended", n)
	}
	b.run(frames{{1, "udp 10.0.0.1:7 > 10.0.0.2:53" + macOf2 + atB, reason.BindingLearned, "", 100}})
	if n := reload("\n binding \"b\" {\n endpoints = [\"192.0.2.1\"]\n addresses = [\"10.0.0.9\"]\n }\n"); n != 1 {
		t.Errorf("%d flows have ended, want that from the wrong endpoint", n)
	}
	b.run(frames{
		{1, "udp 10.0.0.9:1 > 10.0.0.2:53 mac 02:00:00:00:00:09 > 02:00:00:00:00:02" + atB, reason.BindingDeclared, "", 100},
		{1, aWeb + atA, reason.None, "", 100},
	})
	if e := b.events[0]; e.State != conntrack.StateOriginal || e.Begins {
		t.Errorf("the other flow has ended: %v", e.State)
	}
	// The next packet of a flow is judged in the same way.
	reload("\n binding \"b\" {\n endpoints = [\"192.0.2.2\"]\n addresses = [\"10.0.0.1\"]\n }\n")
	b.run(frames{{1, "udp 10.0.0.2:53 > 10.0.0.1:1 mac 02:00:00:00:00:02 > 02:00:00:00:00:01 from 192.0.2.9 to 192.0.2.1", reason.TenantDefault, "", 100}})
}

// A frame that the rules accept and that cannot leave has not been accepted.
func TestAFrameThatCannotLeaveTeachesNothing(t *testing.T) {
	b := spoofBench(t)
	d, err := describe.Parse(aWeb + " len 200")
	if err != nil {
		t.Fatal(err)
	}
	p := path()
	frame := sttFrame(stt.FrameHeader{ContextID: 100, Flags: stt.FlagChecksumVerified}, d.Data)
	var packets []Packet
	for i, piece := range [][2]int{{0, 20}, {20, len(frame)}} {
		data := stt.AppendSegment(nil, &p, &stt.Piece{FrameID: 5, FrameLength: len(frame), Offset: piece[0], Payload: frame[piece[0]:piece[1]], Checksum: stt.ChecksumPartial})
		packets = append(packets, Packet{ID: uint64(i), Data: data, Length: len(data), GSO: true, Checksum: ChecksumPartial})
	}
	b.sendAll(packets...)
	if e := b.events[0]; e.Reason != reason.SegmentTooSmall {
		t.Fatal(e.Reason)
	}
	if s := b.shared.Bindings().Stats(); s.Learned != 0 {
		t.Errorf("%+v", s)
	}
}

func TestBindingsAllocateNothing(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		context    uint64
	}{
		{"learned", aWeb + atA, 100},
		{"an impostor", "udp 10.0.0.1:7 > 10.0.0.2:53" + atB, 100},
		{"declared", "udp 10.0.0.5:1 > 10.0.0.2:2" + atA, 200},
		{"for others", "udp 10.0.0.6:1 > 10.0.0.2:2" + atA, 200},
		{"a port", "udp 10.0.0.1:1 > 10.0.0.2:2" + atA, 5<<40 | 7},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := spoofBench(t)
			b.meet(tt.context, aWeb+atA)
			d, err := describe.Parse(tt.text)
			if err != nil {
				t.Fatal(err)
			}
			b.fw.observer = func(*FrameEvent) {}
			p := path()
			p.Src, p.Dst = d.From, d.To
			data := cut(p, 5, sttFrame(stt.FrameHeader{ContextID: tt.context}, d.Data), 0)[0]
			packet := Packet{ID: 1, Data: data, Length: len(data)}
			if n := testing.AllocsPerRun(200, func() {
				b.now += int64(time.Millisecond)
				b.out.Reset()
				b.fw.Process(b.now, &packet, &b.out)
			}); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}

// Workers on which the frames of a guest and of its impostor meet decide as one:
// the impostor never gets through while the guest speaks, and the policy may change
// meanwhile.
func TestWorkersShareBindings(t *testing.T) {
	policies := []*policy.Policy{compile(t, spoofRules), compile(t, "tenant \"first\" {\n context_ids = [1]\n}\n"+spoofRules)}
	shared, err := NewShared(policies[0], newFilter(t, FrameIDConfig{Bits: 20}))
	if err != nil {
		t.Fatal(err)
	}
	start := int64(time.Hour)
	packet := func(text string) *Packet {
		d, err := describe.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		p := path()
		p.Src, p.Dst = d.From, d.To
		data := cut(p, 5, sttFrame(stt.FrameHeader{ContextID: 100}, d.Data), 0)[0]
		return &Packet{ID: 1, Data: data, Length: len(data)}
	}
	work := func(seed uint64, send []*Packet, wrong func(*FrameEvent) bool) func() {
		bad := 0
		fw, err := New(Config{Shared: shared, Random: rand.NewPCG(seed, 2), Observer: func(e *FrameEvent) {
			if wrong(e) {
				bad++
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		return func() {
			var out Verdicts
			for n := range 3000 {
				fw.Process(start+int64(n)*int64(time.Microsecond), send[n%len(send)], &out)
				out.Reset()
			}
			if bad > 0 {
				t.Errorf("%d frames were decided wrong", bad)
			}
		}
	}
	guest := []*Packet{packet(aWeb + atA), packet("udp 10.0.0.1:2 > 10.0.0.2:53" + atA)}
	impostor := []*Packet{packet(aWeb + atB), packet("udp 10.0.0.1:3 > 10.0.0.2:53" + macOf2 + atB)}
	dropped := func(e *FrameEvent) bool { return e.Verdict != Accept }
	work(0, guest, dropped)() // it was there first
	var workers sync.WaitGroup
	workers.Go(work(1, guest, dropped))
	workers.Go(work(2, guest, dropped))
	workers.Go(work(3, impostor, func(e *FrameEvent) bool { return e.Reason != reason.BindingLearned || e.SpoofedAt != endpointA }))
	workers.Go(func() {
		for i := range 200 {
			shared.SetPolicy(policies[i%2])
			shared.Rejudge(start)
			shared.SweepBindings(start, func(tenant string, b *binding.Binding) {
				if tenant != "soft" || b.Endpoint != endpointA {
					t.Errorf("%s: %+v", tenant, b)
				}
			})
		}
	})
	workers.Wait()
}

// What the documentation says of learned bindings, on whole frames: random ones, of
// which rules accept some, against plain maps.
func TestRandomFramesAgreeWithThePlainReading(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	type home struct {
		at   string
		last int64
	}
	const expiry, moveAfter = int64(8 * time.Second), int64(2 * time.Second)
	outcomes := map[string]int{}
	for range 20 {
		b := newBench(t, benchConfig{rules: `settings {
  endpoints = ["192.0.2.0/24"]
}
tenant "t" {
  context_ids = ["100-101"]
  neighbor_discovery = "rules"
  anti_spoof {
    learn      = ["address", "mac"]
    within     = ["10.0.0.0/29", "2001:db8:1::/126"]
    expiry     = "8s"
    move_after = "2s"
  }
  rule "some" {
    action     = "accept"
    services   = ["any", "arp"]
    vlan       = ["none", 7]
    state      = "stateless"
  }
}`})
		homes := map[string]*home{}
		for n := range 1500 {
			if r.IntN(3) == 0 {
				b.now += r.Int64N(int64(1500 * time.Millisecond))
			}
			context, vlan := 100+r.IntN(2), []string{"", " vlan 0", " vlan 7", " vlan 9"}[r.IntN(4)]
			from := fmt.Sprintf("192.0.2.%d", 1+r.IntN(3))
			mac := fmt.Sprintf("02:00:00:00:00:0%d", r.IntN(4))
			host, v6 := r.IntN(10), r.IntN(2) == 0
			address, network := fmt.Sprintf("10.0.0.%d", 1+host), fmt.Sprint(context, strings.TrimSuffix(vlan, " vlan 0"))
			bound := host < 7
			if v6 {
				address, bound = fmt.Sprintf("2001:db8:1::%x", 1+host), host < 3
			}
			text, announces := fmt.Sprintf("udp %s:1 > 10.9.9.9:2", address), r.IntN(6) == 0
			switch {
			case v6 && announces:
				text = fmt.Sprintf("icmpv6 fe80::9 > ff02::1 nd-neighbor-advert target %s", address)
			case v6:
				text = fmt.Sprintf("udp [%s]:1 > [2001:db8::9]:2", address)
			case announces:
				text = fmt.Sprintf("arp request %s > %s", address, address)
			}
			claims := []string{"mac " + mac + " " + network}
			if bound {
				claims = append(claims, "address "+address+" "+network)
			}
			want := reason.None
			for _, c := range claims {
				h := homes[c]
				if h != nil && b.now-h.last >= expiry {
					h = nil
				}
				if h != nil && h.at != from && !announces && b.now-h.last < moveAfter {
					want = reason.BindingLearned
				}
			}
			accepted := want == reason.None && vlan != " vlan 9"
			if want == reason.None && !accepted {
				want = reason.TenantDefault
			}
			moved := 0
			for _, c := range claims {
				h := homes[c]
				if !accepted {
					continue
				}
				if h != nil && b.now-h.last < expiry && h.at != from {
					moved++
				}
				homes[c] = &home{from, b.now}
			}
			packet := fmt.Sprintf("%s%s mac %s > 02:00:00:00:00:ff from %s to 192.0.2.9", text, vlan, mac, from)
			e := b.meet(uint64(context), packet)
			if e.Reason != want || len(e.Moves) != moved {
				t.Fatalf("frame %d, %s in %d: got %v and %d moves, want %v and %d", n, packet, context, e.Reason, len(e.Moves), want, moved)
			}
			outcomes[fmt.Sprint(want, min(moved, 1))]++
		}
	}
	if len(outcomes) != 4 {
		t.Errorf("%v: the test says nothing", outcomes)
	}
}

func BenchmarkAntiSpoof(b *testing.B) {
	var many bytes.Buffer
	for i := range 4000 {
		fmt.Fprintf(&many, "binding \"b%d\" {\n endpoints = [\"192.0.2.%d\"]\n addresses = [\"10.1.%d.%d\"]\n macs = [\"02:01:00:00:%02x:%02x\"]\n }\n", i, i%250, i/256, i%256, i/256, i%256)
	}
	for _, bm := range []struct{ name, block string }{
		{"none", ""},
		{"learned", "anti_spoof {\n learn = [\"address\", \"mac\"]\n}"},
		{"declared=1", "anti_spoof {\n learn = []\n binding \"x\" {\n endpoints = [\"192.0.2.1\"]\n addresses = [\"10.0.0.1\"]\n macs = [\"02:00:00:00:00:01\"]\n }\n}"},
		{"declared=4000", "anti_spoof {\n learn = []\n binding \"x\" {\n endpoints = [\"192.0.2.1\"]\n addresses = [\"10.0.0.1\"]\n macs = [\"02:00:00:00:00:01\"]\n }\n" + many.String() + "}"},
	} {
		b.Run(bm.name, func(b *testing.B) {
			bench := newBench(b, benchConfig{rules: "settings {\n endpoints = [\"192.0.2.0/24\"]\n}\ntenant \"x\" {\n context_ids = [100]\n rule \"all\" {\n action = \"accept\"\n }\n" + bm.block + "\n}"})
			bench.fw.observer = func(*FrameEvent) {}
			data := cut(path(), 5, sttFrame(stt.FrameHeader{ContextID: 100}, innerUDP(b, 100)), 0)[0]
			p := Packet{ID: 1, Data: data, Length: len(data), Checksum: ChecksumGood}
			b.ReportAllocs()
			for b.Loop() {
				bench.now++
				bench.out.Reset()
				bench.fw.Process(bench.now, &p, &bench.out)
			}
			if bench.fw.Counters().FramesDropped.Load() > 0 {
				b.Fatal("dropped")
			}
		})
	}
}
