package policy

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"sttwall/inspect"
	"sttwall/reason"
)

// The model is a policy as plain data with a slow and obvious meaning. It is
// written out as rules text, loaded, and both must say the same of every frame.

type modelRule struct {
	name                string
	accept, log         bool
	source, destination []modelAddress // nil: left out
	services            []modelService // nil: left out
}

type modelAddress struct {
	negated bool
	any     bool
	lo, hi  netip.Addr
	cidr    string // as it is written, if not as lo-hi
	group   string // as a reference, with lo..hi being the group's only range
}

type modelService struct {
	text  string
	match func(f *inspect.Frame) bool
}

type modelClaim struct{ lo, hi uint64 }

type modelTenant struct {
	name          string
	claims        []modelClaim
	defaultAction string // "": left out
	rules         []modelRule
}

type model struct {
	defaultAction string
	tenants       []modelTenant
	groups        []modelAddress
}

// conflicts says whether two claims anywhere are equal or cross.
func (m *model) conflicts() bool {
	var all []modelClaim
	for _, t := range m.tenants {
		all = append(all, t.claims...)
	}
	for i, a := range all {
		for _, b := range all[i+1:] {
			apart := a.hi < b.lo || b.hi < a.lo
			aInB := b.lo <= a.lo && a.hi <= b.hi
			bInA := a.lo <= b.lo && b.hi <= a.hi
			if !apart && aInB == bInA {
				return true
			}
		}
	}
	return false
}

func (a modelAddress) contains(x netip.Addr) bool {
	return x.BitLen() == a.lo.BitLen() && a.lo.Compare(x) <= 0 && x.Compare(a.hi) <= 0
}

func listMatches(list []modelAddress, x netip.Addr) bool {
	positives, positive, restricts := 0, false, false
	for _, a := range list {
		restricts = restricts || a.negated
		if a.negated && a.contains(x) {
			return false
		}
		if !a.negated {
			positives++
			positive = positive || a.any || a.contains(x)
		}
	}
	if !x.IsValid() {
		// A frame without addresses is only in a list that takes everything.
		anyThere := false
		for _, a := range list {
			anyThere = anyThere || a.any
		}
		return !restricts && (anyThere || len(list) == 0)
	}
	return positives == 0 || positive
}

func (m *model) evaluate(id uint64, f *inspect.Frame) (want Decision) {
	want.TenantIndex, want.RuleIndex = -1, -1
	decide := func(action string, why reason.Reason) Decision {
		if action == "accept" {
			want.Action = Accept
		} else {
			want.Action, want.Reason = Drop, why
		}
		return want
	}
	// The most specific claim is the one with the fewest IDs.
	size := ^uint64(0)
	for i, t := range m.tenants {
		for _, c := range t.claims {
			if c.lo <= id && id <= c.hi && (want.TenantIndex < 0 || c.hi-c.lo < size) {
				size, want.TenantIndex, want.Tenant = c.hi-c.lo, int32(i), t.name
			}
		}
	}
	if want.TenantIndex < 0 {
		return decide(m.defaultAction, reason.ContextUnknown)
	}
	index := int32(0)
	for _, t := range m.tenants[:want.TenantIndex] {
		index += int32(len(t.rules))
	}
	t := m.tenants[want.TenantIndex]
	for i, r := range t.rules {
		matches := f.IP != 0
		if r.services != nil {
			matches = false
			for _, s := range r.services {
				matches = matches || s.match(f)
			}
		}
		if !matches || !listMatches(r.source, f.Src) || !listMatches(r.destination, f.Dst) {
			continue
		}
		want.RuleIndex, want.Rule, want.Log = index+int32(i), t.name+"/"+r.name, r.log
		if r.accept {
			return decide("accept", 0)
		}
		return decide("drop", reason.RuleDrop)
	}
	if t.defaultAction != "" {
		return decide(t.defaultAction, reason.TenantDefault)
	}
	return decide(m.defaultAction, reason.TenantDefault)
}

// Random models.

func randomAddress(r *rand.Rand) netip.Addr {
	v4 := netip.AddrFrom4([4]byte{10, 0, 0, byte(r.IntN(16))})
	switch r.IntN(12) {
	case 0:
		return netip.AddrFrom16(v4.As16()) // IPv4-mapped, which is IPv6
	case 1, 2, 3:
		b := netip.MustParseAddr("2001:db8::").As16()
		b[15] = byte(r.IntN(16))
		return netip.AddrFrom16(b)
	case 4:
		return netip.MustParseAddr([]string{"0.0.0.0", "255.255.255.255", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}[r.IntN(4)])
	}
	return v4
}

func randomRange(r *rand.Rand) modelAddress {
	a := randomAddress(r)
	switch r.IntN(3) {
	case 0:
		return modelAddress{lo: a, hi: a}
	case 1:
		bits := a.BitLen() - r.IntN(6)
		if r.IntN(4) == 0 {
			bits = r.IntN(a.BitLen() + 1)
		}
		p, err := a.Prefix(bits)
		if err != nil {
			panic(err)
		}
		hi := p.Addr().AsSlice()
		for i := bits; i < 8*len(hi); i++ {
			hi[i/8] |= 1 << (7 - i%8)
		}
		last, _ := netip.AddrFromSlice(hi)
		return modelAddress{lo: p.Addr(), hi: last, cidr: p.String()}
	}
	b := randomAddress(r)
	for b.BitLen() != a.BitLen() {
		b = randomAddress(r)
	}
	if b.Less(a) {
		a, b = b, a
	}
	return modelAddress{lo: a, hi: b}
}

func randomList(r *rand.Rand, groups []modelAddress) []modelAddress {
	if r.IntN(3) == 0 {
		return nil
	}
	list := make([]modelAddress, 0, 5)
	for range 1 + r.IntN(4) {
		switch k := r.IntN(10); {
		case k == 0:
			list = append(list, modelAddress{any: true})
		case k < 4 && len(groups) > 0:
			g := groups[r.IntN(len(groups))]
			g.negated = r.IntN(3) == 0
			list = append(list, g)
		default:
			a := randomRange(r)
			a.negated = r.IntN(3) == 0
			list = append(list, a)
		}
	}
	return list
}

func randomService(r *rand.Rand) modelService {
	protocols := []struct {
		name   string
		number uint8
	}{{"tcp", 6}, {"udp", 17}, {"sctp", 132}}
	icmps := []struct {
		name   string
		number uint8
	}{{"icmp", 1}, {"icmpv6", 58}}
	switch r.IntN(9) {
	case 0:
		return modelService{"any", func(f *inspect.Frame) bool { return f.IP != 0 }}
	case 1:
		return modelService{"arp", func(f *inspect.Frame) bool { return f.IP == 0 && f.EtherType == 0x0806 }}
	case 2:
		return modelService{"nd", func(f *inspect.Frame) bool {
			return f.IP != 0 && f.Protocol == 58 && f.HasICMP && 133 <= f.ICMPType && f.ICMPType <= 137
		}}
	case 3:
		n := r.IntN(256)
		return modelService{fmt.Sprintf("protocol/%d", n), func(f *inspect.Frame) bool { return f.IP != 0 && int(f.Protocol) == n }}
	case 4:
		p := icmps[r.IntN(2)]
		n := r.IntN(20)
		return modelService{fmt.Sprintf("%s/%d", p.name, n), func(f *inspect.Frame) bool {
			return f.IP != 0 && f.Protocol == p.number && f.HasICMP && int(f.ICMPType) == n
		}}
	case 5:
		p := icmps[r.IntN(2)]
		n, c := r.IntN(6), r.IntN(3)
		return modelService{fmt.Sprintf("%s/%d/%d", p.name, n, c), func(f *inspect.Frame) bool {
			return f.IP != 0 && f.Protocol == p.number && f.HasICMP && int(f.ICMPType) == n && int(f.ICMPCode) == c
		}}
	case 6:
		p := protocols[r.IntN(3)]
		return modelService{p.name, func(f *inspect.Frame) bool { return f.IP != 0 && f.Protocol == p.number }}
	}
	p := protocols[r.IntN(3)]
	lo := r.IntN(12)
	hi := lo + r.IntN(5)
	text := fmt.Sprintf("%s/%d-%d", p.name, lo, hi)
	if lo == hi {
		text = fmt.Sprintf("%s/%d", p.name, lo)
	}
	return modelService{text, func(f *inspect.Frame) bool {
		return f.IP != 0 && f.Protocol == p.number && f.HasPorts && lo <= int(f.DstPort) && int(f.DstPort) <= hi
	}}
}

// randomClaim cuts the 64 bits, or a few IDs at either end, by halves, so that
// claims often nest and sometimes meet.
func randomClaim(r *rand.Rand) modelClaim {
	if r.IntN(3) > 0 {
		base := []uint64{0, 1000, ^uint64(0) - 40}[r.IntN(3)]
		lo := base + uint64(r.IntN(40))
		return modelClaim{lo, lo + uint64(r.IntN(int(40-(lo-base))))}
	}
	n := r.IntN(65)
	free := uint64(0)
	if n < 64 {
		free = ^uint64(0) >> n
	}
	lo := r.Uint64() & []uint64{0, ^uint64(0)}[r.IntN(2)] &^ free
	return modelClaim{lo, lo | free}
}

func randomModel(r *rand.Rand) *model {
	m := &model{defaultAction: []string{"accept", "drop"}[r.IntN(2)]}
	for i := range r.IntN(3) {
		g := randomRange(r)
		g.group = fmt.Sprintf("g%d", i)
		m.groups = append(m.groups, g)
	}
	for i := range 1 + r.IntN(5) {
		t := modelTenant{name: fmt.Sprintf("t%d", i), defaultAction: []string{"", "accept", "drop"}[r.IntN(3)]}
		for range 1 + r.IntN(3) {
			t.claims = append(t.claims, randomClaim(r))
		}
		for j := range r.IntN(7) {
			rule := modelRule{
				name:   fmt.Sprintf("r%d", j),
				accept: r.IntN(2) == 0, log: r.IntN(2) == 0,
				source: randomList(r, m.groups), destination: randomList(r, m.groups),
			}
			for range r.IntN(4) {
				rule.services = append(rule.services, randomService(r))
			}
			t.rules = append(t.rules, rule)
		}
		m.tenants = append(m.tenants, t)
	}
	return m
}

func (a modelAddress) text() string {
	not := map[bool]string{true: "!"}[a.negated]
	switch {
	case a.group != "":
		return not + "address_group." + a.group
	case a.any:
		return `"any"`
	case a.cidr != "":
		return fmt.Sprintf("%q", not+a.cidr)
	case a.lo == a.hi:
		return fmt.Sprintf("%q", not+a.lo.String())
	}
	return fmt.Sprintf("%q", not+a.lo.String()+"-"+a.hi.String())
}

func (m *model) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "settings {\n endpoints = [\"any\"]\n default_action = %q\n}\n", m.defaultAction)
	for _, g := range m.groups {
		fmt.Fprintf(&b, "address_group %q {\n addresses = [\"%s-%s\"]\n}\n", g.group, g.lo, g.hi)
	}
	for _, t := range m.tenants {
		fmt.Fprintf(&b, "tenant %q {\n", t.name)
		if t.defaultAction != "" {
			fmt.Fprintf(&b, " default_action = %q\n", t.defaultAction)
		}
		b.WriteString(" context_ids = [")
		for i, c := range t.claims {
			switch {
			case c.lo == c.hi:
				fmt.Fprintf(&b, "%d, ", c.lo)
			case i%2 == 0:
				fmt.Fprintf(&b, "\"0x%x-%d\", ", c.lo, c.hi)
			default:
				fmt.Fprintf(&b, "\"%d-0x%X\", ", c.lo, c.hi)
			}
		}
		b.WriteString("]\n")
		for _, r := range t.rules {
			fmt.Fprintf(&b, " rule %q {\n  action = %q\n  log = %t\n", r.name, Action(map[bool]Action{true: Accept}[r.accept]), r.log)
			for name, list := range map[string][]modelAddress{"source": r.source, "destination": r.destination} {
				if list == nil {
					continue
				}
				texts := make([]string, len(list))
				for i, a := range list {
					texts[i] = a.text()
				}
				fmt.Fprintf(&b, "  %s = [%s]\n", name, strings.Join(texts, ", "))
			}
			if r.services != nil {
				texts := make([]string, len(r.services))
				for i, s := range r.services {
					texts[i] = fmt.Sprintf("%q", s.text)
				}
				fmt.Fprintf(&b, "  services = [%s]\n", strings.Join(texts, ", "))
			}
			b.WriteString(" }\n")
		}
		b.WriteString("}\n")
	}
	return b.String()
}

// randomFrame makes a frame as inspect could decode it.
func randomFrame(r *rand.Rand) *inspect.Frame {
	f := &inspect.Frame{L4Offset: -1}
	switch r.IntN(12) {
	case 0: // neither IP nor ARP
		f.EtherType = []uint16{0x88cc, 0x8035, 0x0600}[r.IntN(3)]
		return f
	case 1:
		f.EtherType = inspect.EtherTypeARP
		f.Src = netip.AddrFrom4([4]byte{10, 0, 0, byte(r.IntN(16))})
		f.Dst = netip.AddrFrom4([4]byte{10, 0, 0, byte(r.IntN(16))})
		return f
	}
	f.IP, f.EtherType = 4, inspect.EtherTypeIPv4
	f.Src, f.Dst = randomAddress(r), randomAddress(r)
	for f.Dst.BitLen() != f.Src.BitLen() {
		f.Dst = randomAddress(r)
	}
	if f.Src.Is6() {
		f.IP, f.EtherType = 6, inspect.EtherTypeIPv6
	}
	f.Protocol = []uint8{1, 6, 6, 17, 58, 132, uint8(r.IntN(256))}[r.IntN(7)]
	if r.IntN(6) == 0 { // a later fragment
		f.Fragmented = true
		return f
	}
	f.L4Offset = 34
	switch f.Protocol {
	case 6, 17, 132:
		f.HasPorts = true
		f.SrcPort, f.DstPort = uint16(r.IntN(16)), uint16(r.IntN(16))
	case 1, 58:
		f.HasICMP = true
		f.ICMPType, f.ICMPCode = uint8(r.IntN(20)), uint8(r.IntN(3))
		if r.IntN(3) == 0 {
			f.ICMPType = uint8(125 + r.IntN(16))
		}
	}
	return f
}

func randomContext(r *rand.Rand, m *model) uint64 {
	if r.IntN(8) == 0 {
		return r.Uint64()
	}
	t := m.tenants[r.IntN(len(m.tenants))]
	c := t.claims[r.IntN(len(t.claims))]
	return []uint64{c.lo, c.hi, c.lo - 1, c.hi + 1, c.lo + (c.hi-c.lo)/2}[r.IntN(5)]
}

func TestEvaluateSaysWhatThePlainReadingOfTheRulesSays(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	loaded, refused, byRule := 0, 0, 0
	for loaded < 750 {
		m := randomModel(r)
		text := m.text()
		p, diags := Load("random.hcl", []byte(text))
		if m.conflicts() != diags.HasErrors() {
			t.Fatalf("conflicting claims: %t, but diagnostics are %v for\n%s", m.conflicts(), diags, text)
		}
		if p == nil {
			refused++
			continue
		}
		loaded++
		for range 400 {
			f, id := randomFrame(r), randomContext(r, m)
			got, want := p.Evaluate(id, f), m.evaluate(id, f)
			if got != want {
				t.Fatalf("context %#x, frame %+v:\n got %+v\nwant %+v\n%s", id, f, got, want, text)
			}
			if got.RuleIndex >= 0 {
				byRule++
			}
		}
	}
	t.Logf("%d policies loaded, %d refused for conflicting claims; %d frames decided by a rule", loaded, refused, byRule)
	if byRule < 400*loaded/10 {
		t.Errorf("only %d of %d frames met a rule: the random policies test too little", byRule, 400*loaded)
	}
}
