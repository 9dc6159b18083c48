// Command mutate puts small faults into the rules engine and the flow table, one at
// a time, in a copy of the repository, and runs the tests that must notice each of
// them:
//
//	go run ./scripts/mutate
//	go run ./scripts/mutate conntrack/   # only the faults of which file or code holds that
//
//	go run ./scripts/mutate checks       # instead, switches the safety checks off (checks.go)
//	go run ./scripts/mutate checks nft:  # only those whose name or test this expression matches
//	go run ./scripts/mutate checks important  # only the thirty most important
//
// It prints the faults that no test noticed; the exit status is 1 if there are
// any.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// fault replaces old, which stands once in the file, by new.
type fault struct{ file, old, new string }

var ruleFaults = []fault{
	{"policy/evaluate.go", "p.try(c, &p.first, d) || p.before.any() && p.try(c, &p.before, d)", "p.try(c, &p.first, d)"},
	{"policy/evaluate.go", "t.rules.any() && p.try(c, &t.rules, d) || p.after.any() && p.try(c, &p.after, d)", "p.after.any() && p.try(c, &p.after, d) || t.rules.any() && p.try(c, &t.rules, d)"},
	{"policy/evaluate.go", "from = i + 1", "from = i + 2"},
	{"policy/evaluate.go", "contextID>>ovnBits != 0", "contextID>>(ovnBits+1) != 0"},
	{"policy/evaluate.go", "if index < 0 || wide {", "if index < 0 {"},
	{"policy/evaluate.go", "k.SrcPort, k.DstPort = uint32(f.SrcPort), uint32(f.DstPort)", "k.SrcPort, k.DstPort = uint32(f.DstPort), uint32(f.SrcPort)"},
	{"policy/evaluate.go", "fillHalves(&k.Dst, &f.Dst)", "fillHalves(&k.Dst, &f.Src)"},
	{"policy/evaluate.go", "k.DstPort = uint32(f.ICMPType)<<8 | uint32(f.ICMPCode)", "k.DstPort = uint32(f.ICMPType) << 8"},
	{"policy/evaluate.go", "ndFirst <= f.ICMPType", "ndFirst < f.ICMPType"},
	{"policy/rule.go", "if v <= s[i].hi {", "if v < s[i].hi {"},
	{"policy/rule.go", "return s[i].lo <= v\n", "return s[i].lo < v\n"},
	{"policy/rule.go", "f.TCPFlags&m.flagMask == m.flagIs) ||", "f.TCPFlags&m.flagMask != m.flagIs) ||"},
	{"policy/rule.go", "m.fragments&fragmentOf(f) == 0", "m.fragments&fragmentOf(f) != 0"},
	{"policy/rule.go", "r.more.fragments&fragmentLater != 0", "r.more.fragments&fragmentFirst != 0"},
	{"policy/evaluate.go", "case fragmentOf(k.Frame) == fragmentLater:", "case fragmentOf(k.Frame) == fragmentFirst:"},
	{"policy/rule.go", "m.sourceMAC != nil && !m.sourceMAC.contains(macNumber(f.EthSrc))", "m.sourceMAC != nil && !m.sourceMAC.contains(macNumber(f.EthDst))"},
	{"policy/rule.go", "!m.vlan.contains(vlan) || !m.pcp.contains(pcp)", "!m.vlan.contains(vlan)"},
	{"policy/rule.go", "m.from != nil && !contains(m.from, c.packet.From)", "m.from != nil && !contains(m.from, c.packet.To)"},
	{"policy/rule.go", "!m.ingress.contains(uint64(OVNIngress(id)))", "!m.ingress.contains(uint64(OVNEgress(id)))"},
	{"policy/rule.go", "return uint64(f.Tags[0] & 0x0fff), uint64(f.Tags[0] >> 13)", "return uint64(f.Tags[0] & 0x07ff), uint64(f.Tags[0] >> 13)"},
	{"policy/rule.go", "out = append(out, span{lo, x.lo - 1})", "out = append(out, span{lo, x.lo})"},
	{"policy/addresses.go", "out.V4 = append(out.V4, classify.Range4{Lo: lo, Hi: x.Lo - 1})", "out.V4 = append(out.V4, classify.Range4{Lo: lo, Hi: x.Lo})"},
	{"policy/addresses.go", "lo = next(x.Hi)", "lo = x.Hi"},
	{"policy/times.go", "w.from <= minute && minute < w.to", "w.from <= minute && minute <= w.to"},
	{"policy/times.go", "minute < w.to && w.on((weekday+6)%7, day-1)", "minute < w.to && w.on(weekday, day)"},
	{"policy/times.go", "w.notBefore <= day && day <= w.notAfter", "day <= w.notAfter"},
	{"policy/contextindex.go", "if at == nil || id > at.hi {", "if at == nil || id >= at.hi {"},
	{"policy/contextindex.go", "_, borrow := bits.Sub64(id, key, 0)", "_, borrow := bits.Sub64(id, key, 1)"},
	{"policy/contextindex.go", "if owner != 0 || l.over == 0 {", "if owner != 0 || l.over <= 1 {"},
	{"policy/loadtenant.go", "if i < 0 || d > m.hi[i] {", "if i < 0 || d >= m.hi[i] {"},
	{"policy/services.go", "s.box.DstLo, s.box.DstHi = uint32(lo)<<8, uint32(hi)<<8|0xff", "s.box.DstLo, s.box.DstHi = uint32(lo)<<8, uint32(hi)<<8|0x7f"},
	{"policy/classify/classify.go", "s.DstLo <= k.DstPort && k.DstPort <= s.DstHi", "s.DstLo <= k.DstPort && k.DstPort < s.DstHi"},
	{"policy/classify/tree.go", "best = min(best, t.lowest(leaves[i&(maxTrees-1)],", "best = min(best, t.lowest(leaves[i&1],"},
	{"policy/classify/tree.go", "+ (uint64(n.cuts[6])-x)>>63)", ")"},
	{"policy/classify/tree.go", "(uint64(b.dstSpan) - uint64(dst-b.dstLo))", "(uint64(b.dstSpan) - uint64(dst-b.dstLo) - 1)"},
	{"policy/classify/tree.go", "last >= s.best {", "last >= s.best+8 {"},
	{"policy/classify/tree.go", "g[0]&cutShort != 0 && last < s.from", "false"},
	{"policy/classify/region.go", "part.lo[dimension] = cuts[i-1] + 1", "part.lo[dimension] = cuts[i-1] + 2"},
	{"policy/classify/tree.go", "if best > t.roots[i].lowest {", "if best > t.roots[i].lowest+64<<askBits {"},
	{"policy/classify/jump.go", "slot <= r.slot(hi)", "slot < r.slot(hi)"},
	{"policy/quick.go", "a.SrcRange = hcl.RangeBetween(at, a.Expr.Range())", "a.SrcRange = at"},
	{"policy/split.go", "return out, !inside", "return out, true"},
	{"policy/classify/grow.go", "rules = rules[:i+1]", "rules = rules[:i]"},
	{"policy/classify/flat.go", "min(s.DstLo, o.DstLo), max(s.DstHi, o.DstHi)", "min(s.DstLo, o.DstLo), s.DstHi"},
	{"policy/classify/flat.go", "(uint64(r.srcSpan) - uint64(src-r.srcLo))", "(uint64(r.srcSpan) - uint64(src-r.srcLo) - 1)"},
	{"policy/classify/flat.go", "min(s.DstHi, Absent)), anySrc", "min(s.DstHi, Absent)), true"},
	{"policy/classify/flat.go", "carried(last, Absent), anyDst && anySrc", "carried(last, Absent), anySrc"},
	{"policy/classify/flat.go", "if all.family == 6 && (rule.Dst != nil || rule.Src != nil) {", "if all.family == 6 && rule.Dst != nil {"},
	{"policy/classify/flat.go", "if n > perFlat || n*len(services) > perFlat {\n\t\t\tdstFirst, dstEnd, srcFirst, srcEnd = whole, 0, whole, 0\n\t\t\torder |= askRule", "if n > perFlat || n*len(services) > perFlat {\n\t\t\tdstFirst, dstEnd, srcFirst, srcEnd = whole, 0, whole, 0"},
	{"policy/classify/flat.go", "i := bits.TrailingZeros64(in)\n\treturn blocks", "i := bits.Len64(in) - 1\n\treturn blocks"},
	{"policy/classify/flat.go", "order != noRule && rule >= from", "order != noRule"},
	{"policy/classify/flat_amd64.s", "\tADDL $16, CX", "\tADDL $8, CX"},
	{"policy/quickly.go", "if f.Fragmented && f.Fragment.Offset != 0 {", "if false {"},
	{"policy/quickly.go", "if i == classify.None && p.before.any() {", "if p.before.any() {"},
	{"policy/quickly.go", "if i == classify.None && p.after.any() {", "if i < 0 && p.after.any() {"},
	{"policy/quickly.go", "return false, i == classify.None", "return false, true"},
	{"policy/quickly.go", "if r.bucket >= 0 {", "if r.bucket > 0 {"},
	{"policy/evaluate.go", "has = t.endpoint.Lo <= v && v <= t.endpoint.Hi", "has = t.endpoint.Lo <= v && v < t.endpoint.Hi"},
	{"policy/macs.go", "spans{{n, n | free}}", "spans{{n, n}}"},
	{"policy/evaluate.go", "has = contains(t.endpoints, k.From)", "has = contains(t.endpoints, k.To)"},
	{"policy/evaluate.go", "\tif !d.Audit {\n", "\tif true {\n"},
	{"policy/evaluate.go", "\t\td.Audit, d.WouldBe, d.Would = false, Drop, reason.None\n", "\t\td.WouldBe, d.Would = Drop, reason.None\n"},
	{"policy/evaluate.go", "d.Refuse(Drop, reason.RateLimit, r.audits(c.tenant))", "d.Refuse(Drop, reason.RateLimit, c.tenant.Audit)"},
	{"policy/evaluate.go", "if !r.overDrops {", "if r.overDrops {"},
	{"policy/evaluate.go", "countsFlows := r.action == Accept && !r.stateless", "countsFlows := !r.stateless"},
	{"policy/evaluate.go", "return f.IP == 6 && f.HasICMP && !f.Fragmented &&", "return f.IP == 6 && f.HasICMP &&"},
	{"policy/evaluate.go", "\tk.Family, k.Kind = 4, otherKind|inspect.EtherTypeARP", "\tk.Family, k.Kind = 6, otherKind|inspect.EtherTypeARP"},
	{"policy/evaluate.go", "d.Log, d.Stateless = r.log, r.stateless", "d.Log, d.Stateless = r.log, false"},
	{"policy/rule.go", "r.mode == modeAudit || r.mode == modeInherit && t.Audit", "r.mode == modeAudit || t.Audit"},
	{"policy/rule.go", "if !c.tenant.OVN || !m.datapath", "if !m.datapath"},
	{"policy/rule.go", "!m.egress.contains(uint64(OVNEgress(id)))", "!m.egress.contains(uint64(OVNEgress(id) & 0x7fff))"},
	{"policy/rule.go", "m.destinationMAC != nil && !m.destinationMAC.contains(macNumber(f.EthDst))", "m.destinationMAC != nil && m.sourceMAC == nil && !m.destinationMAC.contains(macNumber(f.EthDst))"},
	{"policy/rule.go", "return noVLAN, untaggedPCP", "return noVLAN, 0"},
	{"policy/loadrule.go", "{\"none\": {noVLAN, noVLAN}}", "{\"none\": {4096, 4096}}"},
	{"policy/loadrule.go", "least: noVLAN + 1, limit: 4095", "least: noVLAN, limit: 4095"},
	{"policy/space/universe.go", "tagged[PCP] = PCP.Between(0, NoPriority-1)", "tagged[VLAN], tagged[PCP] = VLAN.Between(1, 4095), PCP.Between(0, NoPriority-1)"},
	{"policy/rule.go", "b.SrcLo <= k.SrcPort && k.SrcPort <= b.SrcHi &&\n", "b.SrcLo <= k.SrcPort &&\n"},
	{"policy/rule.go", "m.times != nil && !m.times.contains(c.packet.Wall)", "m.times != nil && !m.times.contains(c.packet.Wall+60)"},
	{"policy/times.go", "\tif w.from < w.to {\n", "\tif w.from <= w.to {\n"},
	{"policy/times.go", "_, offset := t.Zone()", "offset := 0"},
	{"policy/times.go", "for d := from; ; d = (d + 1) % 7 {", "for d := from; ; d = (d + 2) % 7 {"},
	{"policy/times.go", "if c.windows[i].contains(wall) {", "if i == 0 && c.windows[i].contains(wall) {"},
	{"policy/contexts.go", "c.hi-c.lo >= wideClaim", "c.hi-c.lo > wideClaim"},
	{"policy/contexts.go", "\t\t\t\tm.add(next, c.lo-1, &top)", "\t\t\t\tm.add(next, c.lo, &top)"},
	{"policy/loadtenant.go", `t.OVN = l.choice(a, []string{"plain", "ovn"}, nil) == 1`, `t.OVN = l.choice(a, []string{"plain", "ovn"}, nil) == 0`},
	{"policy/addresslist.go", "\t\t\t\taddSet(&excluded, set)", "\t\t\t\taddSet(&own, set)"},
	{"policy/addresslist.go", "\t\t\tif text == \"any\" {", "\t\t\tif text == \"any\" && !restricts {"},
	{"policy/addresslist.go", "\t\tb[i/8] |= 0x80 >> (i % 8)", "\t\tb[i/8] |= 0x40 >> (i % 8)"},
	{"policy/groups.go", "set != nil && l.holdsRanges(v.at, own, set) {\n\t\t\taddSet(own, set)", "set != nil && l.holdsRanges(v.at, own, set) && len(own.V4) == 0 {\n\t\t\taddSet(own, set)"},
	{"policy/quantities.go", "\t\t\tout = append(out, x)\n", "\t\t\tin = append(in, x)\n"},
	{"policy/macs.go", "first < 256; first += 2", "first < 128; first += 2"},
	{"policy/services.go", "o.box.SrcLo, o.box.SrcHi = uint32(r.lo), uint32(r.hi)", "o.box.DstLo, o.box.DstHi = uint32(r.lo), uint32(r.hi)"},
	{"policy/services.go", "\t\ts.box.DstHi = s.box.DstLo\n", "\t\ts.box.DstHi = s.box.DstLo + 1\n"},
	{"policy/serviceforms.go", "udp(546, 547), udp(547, 546), udp(547, 547),", "udp(546, 547), udp(547, 546),"},
	{"policy/loadrule.go", "\t\t\tif !negated {\n\t\t\t\tis |= bit", "\t\t\tif negated {\n\t\t\t\tis |= bit"},
	{"policy/loadrule.go", "r.set.HasDSCP, r.set.DSCP = true, l.dscp(a)", "r.set.HasDSCP, r.set.DSCP = false, l.dscp(a)"},
	{"policy/loadrule.go", `b.Body.Attributes["burst"] != nil`, `b.Body.Attributes["burst"] == nil`},
	{"policy/loadrule.go", "m.noServices = m.etherTypes != nil || m.arpOperations != nil", "m.noServices = false"},
	{"policy/explain.go", "return s == nil || c.tenant.OVN && s.contains(v)", "return s == nil || s.contains(v)"},
	{"policy/bounds.go", "values: add(1, multiply(length, each.values)),", "values: add(1, length),"},
	{"policy/quantities.go", "return span{}, didYouMean(s, names(n.words)), false", "return span{}, didYouMean(s, names(n.words)), true"},
	{"policy/policy.go", "state ^= 0x9e3779b97f4a7c15 * uint64(i+1)", "state ^= 0x9e3779b97f4a7c15"},
	{"policy/bounds.go", "return len(v.AsString())", "return len(v.AsString()) / 2"},
	{"policy/temporary.go", "case c.packet.Wall >= t.Expires:", "case c.packet.Wall > t.Expires:"},
	{"policy/temporary.go", "t.tenant != nil && t.tenant != c.tenant", "t.tenant != nil && c.tenant == nil"},
	{"policy/temporary.go", "if pattern.BothWays {", "if pattern.HasContext {"},
	{"policy/pattern.go", "if t.ICMPCode >= 0 {", "if t.ICMPCode > 0 {"},
	{"policy/policy.go", "slices.BinarySearch(p.expiries, wall+1)", "slices.BinarySearch(p.expiries, wall)"},
	{"policy/antispoof.go", "case contains(owner.endpoints, k.From):", "case !contains(owner.endpoints, k.From):"},
	{"policy/antispoof.go", "return a.within == nil || contains(a.within, c.Address())", "return a.within == nil || !contains(a.within, c.Address())"},
	{"policy/valueranges.go", "if n.lo[at] <= v && v <= n.hi[at] {", "if n.lo[at] <= v && v < n.hi[at] {"},
	{"policy/valueranges.go", "return less(x.hi, cut)", "return !less(cut, x.hi)"},
	{"policy/loadantispoof.go", "for _, i := range bindings {\n\t\t\t\taddSet(", "for _, i := range bindings[1:] {\n\t\t\t\taddSet("},
	{"limit/bucket.go", "if next-now > b.depth {", "if next-now >= b.depth {"},
}

var (
	ruleTests = []string{"./policy", "./policy/classify", "./ruletest", "./limit"}
	flowTests = []string{"./conntrack"}
	coreTests = []string{"./firewall"}
)

// tests are those that must notice the fault.
func (f *fault) tests() []string {
	switch folder, _, _ := strings.Cut(f.file, "/"); folder {
	case "conntrack":
		return flowTests
	case "firewall":
		return coreTests
	}
	return ruleTests
}

func main() {
	do, words := run, os.Args[1:]
	if len(words) > 0 && words[0] == "checks" {
		do, words = runChecks, words[1:]
	}
	if err := do(strings.Join(words, " ")); err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

// run tries the faults that hold the text only.
func run(only string) error {
	faults := slices.DeleteFunc(slices.Concat(ruleFaults, flowFaults, quickFaults), func(f fault) bool {
		return !strings.Contains(f.file+" "+f.new, only)
	})
	if len(faults) == 0 {
		return fmt.Errorf("no fault has %q", only)
	}
	for _, f := range faults {
		if err := f.stands("."); err != nil {
			return err
		}
	}
	dir, remove, err := copied()
	if err != nil {
		return err
	}
	defer remove()
	if out, passed := test(dir, slices.Concat(ruleTests, flowTests, coreTests)); !passed {
		return fmt.Errorf("the tests fail without a fault:\n%s", out)
	}
	missed := 0
	for i, f := range faults {
		noticed, err := try(dir, f)
		if err != nil {
			return err
		}
		word := "noticed"
		if !noticed {
			word = "MISSED"
			missed++
		}
		fmt.Printf("%2d %-8s %s: %s\n", i+1, word, f.file, strings.TrimSpace(f.new))
	}
	if missed > 0 {
		return fmt.Errorf("%d of %d faults went unnoticed", missed, len(faults))
	}
	fmt.Printf("all %d faults were noticed\n", len(faults))
	return nil
}

// stands says what keeps a fault from being put in below dir.
func (f fault) stands(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, f.file))
	if err != nil {
		return err
	}
	if n := strings.Count(string(text), f.old); n != 1 {
		return fmt.Errorf("%s: %q stands there %d times, want once", f.file, f.old, n)
	}
	return nil
}

// try puts a fault in, runs the tests and takes it out again.
func try(dir string, f fault) (noticed bool, err error) {
	path := filepath.Join(dir, f.file)
	text, err := os.ReadFile(path)
	if err != nil {
		return false, err
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), f.old, f.new, 1)), 0o644); err != nil {
		return false, err
	}
	_, passed := test(dir, f.tests())
	return !passed, os.WriteFile(path, text, 0o644)
}

func test(dir string, packages []string) (output string, passed bool) {
	c := exec.Command("go", append([]string{"test", "-short", "-failfast", "-timeout=5m"}, packages...)...)
	c.Dir = dir
	out, err := c.CombinedOutput()
	return string(out), err == nil
}
