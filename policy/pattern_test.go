package policy

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sttwall/describe"
	"sttwall/inspect"
)

// patternRules has all that patterns can name.
const patternRules = `
settings {
  endpoints = ["any"]
}
address_group "web" {
  addresses = ["10.0.0.3-10.0.0.6", "2001:db8::4/126"]
}
address_group "six" {
  addresses = ["2001:db8::/64"]
}
tenant "acme" {
  context_ids        = [1, 2]
  neighbor_discovery = "rules"
  default_action     = "accept"
}
tenant "globex" {
  context_ids        = [3]
  neighbor_discovery = "rules"
}
tenant "ovn" {
  context_layout = "ovn"
  datapaths      = [7]
}
`

// packetView is a packet as a pattern sees it.
type packetView struct {
	*inspect.Frame
	context  uint64
	from, to netip.Addr
}

func (v packetView) tenant() string {
	return map[uint64]string{1: "acme", 2: "acme", 3: "globex"}[v.context]
}

// clause is a piece of a pattern and its plain meaning. The meaning of what has a
// direction is told which side to look at.
type clause struct {
	text  string
	means func(v packetView) bool
}

func always(packetView) bool { return true }

// side is SRC or DST of a pattern.
type side struct {
	text    string
	address func(a netip.Addr) bool // also asked of frames without one
	ports   func(f *inspect.Frame, port uint16) bool
}

func randomSide(r *rand.Rand, family int, ports bool) side {
	var s side
	low := func() int { return r.IntN(16) }
	text := func(n int) string {
		if family == 4 {
			return fmt.Sprintf("10.0.0.%d", n)
		}
		return fmt.Sprintf("2001:db8::%x", n)
	}
	between := func(lo, hi string) func(netip.Addr) bool {
		a, b := netip.MustParseAddr(lo), netip.MustParseAddr(hi)
		return func(x netip.Addr) bool {
			return x.BitLen() == a.BitLen() && a.Compare(x) <= 0 && x.Compare(b) <= 0
		}
	}
	switch k := r.IntN(8) - 2; {
	case k <= 0 || family == 0:
		s.text, s.address = "any", func(netip.Addr) bool { return true }
	case k == 1:
		n := low()
		s.text, s.address = text(n), between(text(n), text(n))
	case k == 2:
		n := low() &^ 3
		s.text, s.address = fmt.Sprintf("%s/%d", text(n), map[int]int{4: 30, 6: 126}[family]), between(text(n), text(n+3))
	case k == 3:
		lo, hi := low(), low()
		lo, hi = min(lo, hi), max(lo, hi)
		s.text, s.address = text(lo)+"-"+text(hi), between(text(lo), text(hi))
	default:
		four, six := between("10.0.0.3", "10.0.0.6"), between("2001:db8::4", "2001:db8::7")
		s.text = []string{"web", "address_group.web"}[r.IntN(2)]
		s.address = func(a netip.Addr) bool { return four(a) || six(a) }
	}
	s.ports = func(*inspect.Frame, uint16) bool { return true }
	if ports && r.IntN(2) == 0 {
		lo, hi := r.IntN(16), r.IntN(16)
		lo, hi = min(lo, hi), max(lo, hi)
		port := fmt.Sprintf("%d-%d", lo, hi)
		if lo == hi {
			port = fmt.Sprint(lo)
		}
		if strings.Contains(s.text, "::") {
			s.text = "[" + s.text + "]"
		}
		s.text += ":" + port
		s.ports = func(f *inspect.Frame, p uint16) bool { return f.HasPorts && lo <= int(p) && int(p) <= hi }
	}
	return s
}

// randomPattern returns a pattern and whether a packet is in it, by the words of
// docs/packets.md.
func randomPattern(r *rand.Rand) (string, func(packetView) bool) {
	var scope, what clause
	scope.means = always
	switch r.IntN(4) {
	case 0:
		name := []string{"acme", "globex"}[r.IntN(2)]
		scope = clause{"tenant:" + name, func(v packetView) bool { return v.tenant() == name }}
	case 1:
		id := uint64(1 + r.IntN(3))
		scope = clause{fmt.Sprintf([]string{"context:%d", "context:0x%x"}[r.IntN(2)], id), func(v packetView) bool { return v.context == id }}
	}
	family := []int{4, 4, 6}[r.IntN(3)]
	protocol := func(text string, n uint8) clause {
		return clause{text, func(v packetView) bool { return v.IP != 0 && v.Protocol == n }}
	}
	ports, message := false, uint8(0)
	isIP := func(v packetView) bool { return v.IP != 0 }
	switch r.IntN(9) {
	case 0:
		what.means = isIP
	case 1:
		what = clause{"any", isIP}
	case 2:
		what, ports = protocol("tcp", 6), true
	case 3:
		what, ports = protocol("udp", 17), true
	case 4:
		what, ports = protocol("sctp", 132), true
	case 5:
		if what, message = protocol("icmp", 1), 1; family == 6 {
			what, message = protocol("icmpv6", 58), 58
		}
	case 6:
		n := uint8(r.IntN(256))
		what = protocol(fmt.Sprintf("protocol %d", n), n)
	case 7:
		operation := r.IntN(3)
		what = clause{[]string{"arp", "arp request", "arp reply"}[operation], func(v packetView) bool {
			return v.IP == 0 && v.EtherType == inspect.EtherTypeARP && (operation == 0 || int(v.ARPOperation) == operation)
		}}
		family = 4
	default:
		what = clause{"ethertype 0x88cc", func(v packetView) bool { return v.IP == 0 && v.EtherType == 0x88cc }}
		family = 0
	}
	source, destination := randomSide(r, family, ports), randomSide(r, family, ports)
	arrow := []string{" > ", "<>"}[r.IntN(2)]
	parts := []string{scope.text, what.text, source.text + arrow + destination.text}
	// What follows may hang on the direction too.
	type directed func(v packetView, back bool) bool
	rest := []directed{func(v packetView, back bool) bool {
		a, b, p, q := v.Src, v.Dst, v.SrcPort, v.DstPort
		if back {
			a, b, p, q = b, a, q, p
		}
		return source.address(a) && destination.address(b) && source.ports(v.Frame, p) && destination.ports(v.Frame, q)
	}}
	add := func(text string, means directed) { parts, rest = append(parts, text), append(rest, means) }
	if what.text == "tcp" && r.IntN(3) == 0 {
		add("syn,!ack", func(v packetView, _ bool) bool {
			return v.HasTCP && v.TCPFlags&(inspect.SYN|inspect.ACK) == inspect.SYN
		})
	}
	if message != 0 && r.IntN(2) == 0 {
		n, c := r.IntN(3), r.IntN(4)
		text := fmt.Sprintf("%d/%d", n, c)
		if c == 3 {
			text = fmt.Sprint(n)
		}
		add(text, func(v packetView, _ bool) bool {
			return v.HasICMP && int(v.ICMPType) == n && (c == 3 || int(v.ICMPCode) == c)
		})
	}
	if r.IntN(6) == 0 {
		lo := 1 + r.IntN(5)
		add(fmt.Sprintf("vlan %d-%d", lo, lo+1), func(v packetView, _ bool) bool {
			id := int(v.Tags[0] & 0xfff)
			return v.TagCount > 0 && lo <= id && id <= lo+1
		})
	} else if r.IntN(6) == 0 {
		add("vlan none", func(v packetView, _ bool) bool { return v.TagCount == 0 || v.Tags[0]&0xfff == 0 })
	}
	later := func(v packetView, _ bool) bool { return v.Fragmented && v.Fragment.Offset > 0 }
	if family != 0 && !strings.HasPrefix(what.text, "arp") && !ports && message == 0 && r.IntN(4) == 0 {
		add("frag later", later)
	} else {
		rest = append(rest, func(v packetView, _ bool) bool { return !later(v, false) }) // they follow their first one
	}
	if r.IntN(6) == 0 {
		add("mac 02:00:00:00:00:01 > any", func(v packetView, back bool) bool {
			return back && v.EthDst[5] == 1 || !back && v.EthSrc[5] == 1
		})
	}
	if r.IntN(6) == 0 {
		add("from 10.47.0.0/31 to 10.47.0.2", func(v packetView, back bool) bool {
			from, to := v.from.As4()[3], v.to.As4()[3]
			if back {
				from, to = to, from
			}
			return from <= 1 && to == 2
		})
	}
	text := strings.Join(parts, " ")
	return text, func(v packetView) bool {
		holds := func(back bool) bool {
			for _, m := range rest {
				if !m(v, back) {
					return false
				}
			}
			return true
		}
		return scope.means(v) && what.means(v) && (holds(false) || arrow == "<>" && holds(true))
	}
}

// randomView makes a frame as inspect could decode it.
func randomView(r *rand.Rand) packetView {
	f := &inspect.Frame{EthSrc: [6]byte{2, 0, 0, 0, 0, byte(r.IntN(3))}, EthDst: [6]byte{2, 0, 0, 0, 0, byte(r.IntN(3))}}
	endpoint := func() netip.Addr { return netip.AddrFrom4([4]byte{10, 47, 0, byte(r.IntN(4))}) }
	v := packetView{Frame: f, context: uint64(1 + r.IntN(3)), from: endpoint(), to: endpoint()}
	if f.TagCount = uint8(r.IntN(3)); f.TagCount > 0 {
		f.Tags[0] = uint16(r.IntN(8))<<13 | uint16(r.IntN(7))
	}
	four := func() netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, byte(r.IntN(16))}) }
	six := func() netip.Addr {
		return netip.AddrFrom16([16]byte{0: 0x20, 1: 1, 2: 0x0d, 3: 0xb8, 15: byte(r.IntN(16))})
	}
	switch r.IntN(12) {
	case 0:
		f.EtherType = []uint16{0x88cc, 0x8035}[r.IntN(2)]
		return v
	case 1:
		f.EtherType, f.ARPOperation = inspect.EtherTypeARP, uint16(1+r.IntN(2))
		f.Src, f.Dst = four(), four()
		return v
	case 2, 3, 4:
		f.IP, f.EtherType, f.Src, f.Dst = 6, inspect.EtherTypeIPv6, six(), six()
	case 5:
		f.IP, f.EtherType = 6, inspect.EtherTypeIPv6
		f.Src, f.Dst = netip.AddrFrom16(four().As16()), netip.AddrFrom16(four().As16()) // IPv4-mapped, which is IPv6
	default:
		f.IP, f.EtherType, f.Src, f.Dst = 4, inspect.EtherTypeIPv4, four(), four()
	}
	f.Protocol = []uint8{1, 6, 6, 17, 58, 132, uint8(r.IntN(256))}[r.IntN(7)]
	switch r.IntN(6) {
	case 0:
		f.Fragmented, f.Fragment.Offset = true, 1480
		return v
	case 1:
		f.Fragmented = true
	}
	switch f.Protocol {
	case 6, 17, 132:
		f.HasPorts, f.SrcPort, f.DstPort = true, uint16(r.IntN(16)), uint16(r.IntN(16))
		if f.Protocol == 6 {
			f.HasTCP, f.TCPFlags = true, uint16(r.IntN(32))
		}
	case 1, 58:
		f.HasICMP, f.ICMPType, f.ICMPCode = true, uint8(r.IntN(4)), uint8(r.IntN(3))
	}
	return v
}

// A pattern matches exactly the packets that its words say; and so does the rule
// that it is written as, in a rules file.
func TestAPatternMatchesWhatItSays(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	p := mustLoad(t, patternRules)
	in, patterns := 0, 0
	for range 2000 {
		text, means := randomPattern(r)
		q, errs := p.WithTemporary([]Temporary{{Name: "x", Pattern: text, Expires: 100}})
		if errs[0] != nil {
			t.Fatalf("seed %d: %s: %v", seed, text, errs[0])
		}
		pattern, err := describe.ParsePattern(text)
		if err != nil {
			t.Fatal(err)
		}
		rules := patternRule("there", Drop, pattern)
		if pattern.BothWays {
			rules += patternRule("back", Drop, pattern.Reverse())
		}
		var services strings.Builder // they stand outside
		for strings.Contains(rules, "service \"") {
			start := strings.Index(rules, "service \"")
			end := start + strings.Index(rules[start:], "}\n") + 2
			services.WriteString(rules[start:end])
			rules = rules[:start] + rules[end:]
		}
		file := mustLoad(t, patternRules+services.String()+"before_tenants {\n"+rules+"}\n")
		patterns++
		for range 100 {
			v := randomView(r)
			k := &Packet{ContextID: v.context, Frame: v.Frame, From: v.from, To: v.to, Wall: 99}
			d := q.Evaluate(k)
			if got, want := d.Rule == "temporary/x", means(v); got != want {
				t.Fatalf("seed %d: %s: got %t, want %t for %+v, context %d from %s to %s", seed, text, got, want, v.Frame, v.context, v.from, v.to)
			}
			if d.Rule != "" {
				in++
			}
			if !pattern.HasContext && pattern.Tenant == "" {
				if got, want := strings.HasPrefix(file.Evaluate(k).Rule, "before_tenants/"), means(v); got != want {
					t.Fatalf("seed %d: %s in a file: got %t, want %t for %+v in\n%s", seed, text, got, want, v.Frame, rules)
				}
			}
		}
	}
	t.Logf("%d packets in %d patterns", in, patterns)
	if in < 2000 {
		t.Errorf("only %d packets in %d patterns: the test tells too little", in, patterns)
	}
}

func TestAPatternThatMeansNothingHereIsRefused(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.txt")
	if err := os.WriteFile(empty, []byte("# nobody yet\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := mustLoad(t, patternRules+fmt.Sprintf("address_group \"nobody\" {\n addresses_from = %q\n}\n", empty))
	for _, tt := range []struct{ pattern, want string }{
		{"tenant:acmee any > any", `column 1: expected a tenant of the rules file; there is no "acmee". Did you mean "acme"?`},
		{"tenant:before_tenants any > any", `column 1: expected a tenant of the rules file`},
		{"context:9 any > any", "column 1: expected a context ID of some tenant; none has 0x9"},
		{"context:0x8000000000000007 any > any", "column 1: expected a context ID of some tenant"},
		{"any > wbe", `column 7: expected any, addresses, or an address_group of the rules file; there is no "wbe". Did you mean "web"?`},
		{"tcp ayn > any:443", `column 5: expected any, addresses, or an address_group of the rules file; there is no "ayn". Did you mean "any"?`},
		{"10.0.0.1 > six", "column 1: expected addresses that a packet can have together"},
		{"any > nobody", "column 1: expected addresses that a packet can have together: one side is empty"},
		{"tpc any > any", "column 1: expected any, tcp"},
	} {
		q, errs := p.WithTemporary([]Temporary{{Name: "x", Pattern: tt.pattern, Expires: 100}})
		if e, ok := errors.AsType[*describe.Error](errs[0]); !ok || !strings.HasPrefix(e.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", tt.pattern, errs[0], tt.want)
		}
		if n := len(q.Rules()); n != 0 {
			t.Errorf("%s: %d rules", tt.pattern, n)
		}
	}
}

// FuzzPattern: any text is a rule that can be in force and be written down, or a
// mistake with a place.
func FuzzPattern(f *testing.F) {
	for _, s := range []string{"tenant:acme tcp web:1 <> any:443 syn,!ack", "context:3 arp request any > 10.0.0.1", "ethertype 0x88cc vlan 3-4",
		"icmpv6 any > six 3/4", "protocol 255 any > any mac 02:00:00:00:00:01 > any", "udp [2001:db8::/64]:53 > any from fd47::/64"} {
		f.Add(s)
	}
	p, diags := Load("fuzz.hcl", []byte(patternRules))
	if p == nil {
		f.Fatal(diags)
	}
	f.Fuzz(func(t *testing.T, text string) {
		q, errs := p.WithTemporary([]Temporary{{Name: "x", Pattern: text, Expires: 100, Action: Reject}})
		if err := errs[0]; err != nil {
			if e, ok := errors.AsType[*describe.Error](err); !ok || e.Column < 1 || e.Column > len(text)+1 || strings.Contains(e.Message, "makes no rule") {
				t.Fatalf("%q: %#v", text, err)
			}
			return
		}
		r := rand.New(rand.NewPCG(1, 2))
		for range 10 {
			v := randomView(r)
			q.Explain(&Packet{ContextID: v.context, Frame: v.Frame, From: v.from, To: v.to})
		}
		for i := range q.rules {
			if rule, _, _ := q.RuleText(int32(i)); !strings.HasPrefix(rule, "rule \"x\" {") {
				t.Fatalf("%q is written as %q", text, rule)
			}
		}
	})
}
