// Command mutate puts small faults into the rules engine, one at a time, in a
// copy of the repository, and runs the tests that must notice each of them:
//
//	go run ./scripts/mutate
//
// It prints the faults that no test noticed; the exit status is 1 if there are
// any.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// fault replaces old, which stands once in the file, by new.
type fault struct{ file, old, new string }

var faults = []fault{
	{"policy/evaluate.go", "p.try(c, &p.first, d) || p.try(c, &p.before, d)", "p.try(c, &p.first, d)"},
	{"policy/evaluate.go", "p.try(c, &t.rules, d) || p.try(c, &p.after, d)", "p.try(c, &p.after, d) || p.try(c, &t.rules, d)"},
	{"policy/evaluate.go", "from = i + 1", "from = i + 2"},
	{"policy/evaluate.go", "contextID>>ovnBits != 0", "contextID>>(ovnBits+1) != 0"},
	{"policy/evaluate.go", "if index < 0 || wide {", "if index < 0 {"},
	{"policy/evaluate.go", "k.SrcPort, k.DstPort = uint32(f.SrcPort), uint32(f.DstPort)", "k.SrcPort, k.DstPort = uint32(f.DstPort), uint32(f.SrcPort)"},
	{"policy/evaluate.go", "k.Src, k.Dst = halves(f.Src), halves(f.Dst)", "k.Src, k.Dst = halves(f.Dst), halves(f.Src)"},
	{"policy/evaluate.go", "k.DstPort = uint32(f.ICMPType)<<8 | uint32(f.ICMPCode)", "k.DstPort = uint32(f.ICMPType) << 8"},
	{"policy/evaluate.go", "ndFirst <= f.ICMPType", "ndFirst < f.ICMPType"},
	{"policy/rule.go", "if v <= s[i].hi {", "if v < s[i].hi {"},
	{"policy/rule.go", "return s[i].lo <= v\n", "return s[i].lo < v\n"},
	{"policy/rule.go", "f.TCPFlags&m.flagMask == m.flagIs) ||", "f.TCPFlags&m.flagMask != m.flagIs) ||"},
	{"policy/rule.go", "m.fragments&fragmentOf(f) == 0", "m.fragments&fragmentOf(f) != 0"},
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
	{"policy/classify/classify.go", "best = min(best, t.lowest(leaves[i&(maxTrees-1)],", "best = min(best, t.lowest(leaves[i&1],"},
	{"policy/classify/tree.go", "+ (uint64(n.cuts[6])-x)>>63)", ")"},
	{"policy/classify/tree.go", "(uint64(b.dstSpan) - uint64(dst-b.dstLo))", "(uint64(b.dstSpan) - uint64(dst-b.dstLo) - 1)"},
	{"policy/classify/tree.go", "if rule >= s.best {", "if rule > s.best {"},
	{"policy/classify/tree.go", "g[0]&cutShort != 0 && last < s.from", "false"},
	{"policy/classify/region.go", "part.lo[dimension] = cuts[i-1] + 1", "part.lo[dimension] = cuts[i-1] + 2"},
	{"policy/classify/grow.go", "rules = rules[:i+1]", "rules = rules[:i]"},
	{"policy/classify/grow.go", "around.DstHi = min(around.DstLo, s.DstLo), max(around.DstHi, s.DstHi)", "around.DstHi = min(around.DstLo, s.DstLo), around.DstHi"},
	{"policy/macs.go", "spans{{n, n | free}}", "spans{{n, n}}"},
	{"limit/bucket.go", "if next-now > b.depth {", "if next-now >= b.depth {"},
}

// tests must notice every fault.
var tests = []string{"./policy", "./policy/classify", "./ruletest", "./limit"}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

func run() error {
	dir, err := os.MkdirTemp("", "sttwall-mutate-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.CopyFS(dir, os.DirFS(".")); err != nil {
		return err
	}
	if out, passed := test(dir); !passed {
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

// try puts a fault in, runs the tests and takes it out again.
func try(dir string, f fault) (noticed bool, err error) {
	path := filepath.Join(dir, f.file)
	text, err := os.ReadFile(path)
	if err != nil {
		return false, err
	}
	if n := strings.Count(string(text), f.old); n != 1 {
		return false, fmt.Errorf("%s: %q stands there %d times, want once", f.file, f.old, n)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), f.old, f.new, 1)), 0o644); err != nil {
		return false, err
	}
	_, passed := test(dir)
	return !passed, os.WriteFile(path, text, 0o644)
}

func test(dir string) (output string, passed bool) {
	c := exec.Command("go", append([]string{"test", "-short", "-failfast"}, tests...)...)
	c.Dir = dir
	out, err := c.CombinedOutput()
	return string(out), err == nil
}
