package filter

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// web is a flow of tenant acme that audit mode lets pass.
func web() Record {
	return Record{
		Verdict: "audit", Tenant: "acme", Rule: "acme/web in", Reason: "tenant_default", State: "established",
		Protocol: 6, EtherType: 0x800, VLANs: []uint16{10, 20},
		Src: netip.MustParseAddr("10.1.0.7"), Dst: netip.MustParseAddr("10.2.0.9"), SrcPort: 40000, DstPort: 443,
		From: netip.MustParseAddr("192.0.2.10"), To: netip.MustParseAddr("2001:db8::1"),
		Contexts: [2]uint64{0x64, 0xab00000000000001}, HasContext: [2]bool{true, true},
		Bytes: 15_000_000, Packets: 900, Age: 90 * time.Second,
	}
}

// arp is a drop in which little applies.
func arp() Record {
	return Record{Event: "drop", Verdict: "drop", Reason: "context_unknown", Protocol: -1, EtherType: 0x806, SrcPort: -1, DstPort: -1, Contexts: [2]uint64{7}, HasContext: [2]bool{true}}
}

func TestWhatAFilterSelects(t *testing.T) {
	for _, tt := range []struct {
		text     string
		web, arp bool
	}{
		{"", true, true},
		{" \t", true, true},
		{"tenant:acme", true, false},
		{"tenant:Acme", false, false},
		{"tenant:acm", false, false},
		{"tenant:acme,globex", true, false},
		{"tenant:a*e", true, false},
		{"tenant:a*c*m*e", true, false},
		{"tenant:*acme*", true, false},
		{"tenant:acme*acme", false, false},
		{"tenant:*", true, false},
		{`tenant:"*"`, false, false},
		{"not tenant:*", false, true},
		{`rule:"acme/web in"`, true, false},
		{`rule:acme/*`, true, false},
		{"verdict:audit", true, false},
		{"VERDICT:DROP", false, true},
		{"drop", false, true},
		{"Audit", true, false},
		{"tcp", true, false},
		{"not tcp", false, true},
		{"!tcp", false, true},
		{"!!tcp", true, false},
		{"! ( tcp )", false, true},
		{"reason:context_unknown", false, true},
		{"reason:context_*", false, true},
		{"state:established", true, false},
		{"event:drop", false, true},
		{"proto:6", true, false},
		{"proto:tcp,udp", true, false},
		{"proto:0", false, false},
		{"src:10.1.0.7", true, false},
		{"src:10.1.0.0/24", true, false},
		{"src:10.1.0.7/24", true, false}, // is its network
		{"src:10.1.0.0/30", false, false},
		{"src:10.1.0.5-10.1.0.7", true, false},
		{"src:10.1.0.8-10.1.0.9", false, false},
		{"src:0.0.0.0/0", true, false},
		{"src:::/0", false, false},
		{"dst:10.1.0.0/24", false, false},
		{"host:10.2.0.0/16", true, false},
		{"10.2.0.9", true, false},
		{"10.2.0.0/16", true, false},
		{"2001:db8::1", false, false}, // an inner address
		{"to:2001:db8::/32", true, false},
		{"to:2001:db8::-2001:db8::f", true, false},
		{"to:::ffff:1.2.3.4", false, false},
		{"endpoint:192.0.2.0/24", true, false},
		{"from:192.0.2.10", true, false},
		{"sport:40000", true, false},
		{"dport:443", true, false},
		{"dport:80,443", true, false},
		{"dport:400-500", true, false},
		{"dport:0x1bb", true, false},
		{"port:0-65535", true, false},
		{"not port:0-65535", false, true},
		{"port:40000", true, false},
		{"sport:>39999 dport:<=443", true, false},
		{"sport:>=40001", false, false},
		{"context:100", true, false},
		{"context:0x64", true, false},
		{"context:0xab00000000000000/8", true, false},
		{"context:0/0", true, true},
		{"context:0", false, false}, // the second of ARP is not there
		{"context:5-9", false, true},
		{"vlan:20", true, false},
		{"vlan:>20", false, false},
		{"ethertype:0x0806", false, true},
		{"bytes:>10M", true, false},
		{"bytes:15M", true, false},
		{"bytes:>15M", false, false},
		{"bytes:>=15M", true, false},
		{"bytes:<1k", false, true},
		{"bytes:<=0", false, true},
		{"packets:100-1k", true, false},
		{"age:>1m", true, false},
		{"age:<1m", false, true},
		{"age:1m-2m", true, false},
		{"text:WEB", true, false},
		{"text:unknown", false, true},
		{"text:webb", false, false},
		// Terms that follow one another are joined by and, which binds more than or.
		{"tcp udp", false, false},
		{"tcp and dport:443", true, false},
		{"tcp && dport:443", true, false},
		{"tcp or drop", true, true},
		{"tcp || drop", true, true},
		{"drop or tcp dport:443", true, true},
		{"drop or udp dport:443", false, true},
		{"tcp dport:80 or drop", false, true},
		{"tcp (dport:80 or drop)", false, false},
		{"not udp dport:443", true, false},
		{"not (udp or drop)", true, false},
		{"NOT(udp OR drop)AND tcp", true, false},
		{"((tcp))", true, false},
		{"tcp or tcp or tcp and udp", true, false},
	} {
		t.Run(tt.text, func(t *testing.T) {
			f, err := Parse(tt.text)
			if err != nil {
				t.Fatal(err)
			}
			w, a := web(), arp()
			if got := f.Match(&w); got != tt.web {
				t.Errorf("the flow: got %t, want %t", got, tt.web)
			}
			if got := f.Match(&a); got != tt.arp {
				t.Errorf("the ARP request: got %t, want %t", got, tt.arp)
			}
			if f.String() != tt.text || f.All() != (strings.TrimSpace(tt.text) == "") {
				t.Errorf("it says %q, all: %t", f, f.All())
			}
			if n := testing.AllocsPerRun(5, func() { f.Match(&w) }); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}

func TestAWrongFilterSaysWhere(t *testing.T) {
	for _, tt := range []struct {
		text   string
		column int
		want   string
	}{
		{"tenant", 7, "expected a colon and a value, such as tenant:acme"},
		{"tenant:", 8, `tenant: expected a name; * stands for anything; in double quotes if it has spaces or one of (),:" behind the colon, such as tenant:acme`},
		{"tenant:a,,b", 10, `tenant: expected a name; * stands for anything; in double quotes if it has spaces or one of (),:" behind the colon, such as tenant:acme`},
		{`tenant:"a`, 8, `there is no second " that ends this`},
		{`tenant:a"b"`, 8, "tenant: expected quotes around all of the value"},
		{`tenant:"a"b`, 8, "tenant: expected quotes around all of the value"},
		{"tennant:a", 1, `there is no field "tennant"; did you mean tenant?`},
		{"tcp quux:a", 5, `there is no field "quux"`},
		{"drpo", 1, `"drpo" is no verdict, protocol or address; did you mean drop?; text:drpo looks for it in names`},
		{"443", 1, "expected a field before a number: port:443, context:443"},
		{"verdict:deny", 9, `verdict: expected one of accept, audit, drop, reject; this is "deny"`},
		{"reason:tenant_defualt", 8, `reason: expected one that there is; this is "tenant_defualt"; did you mean tenant_default?`},
		{"dport:70000", 7, `dport: expected a port, FIRST-LAST, or >, >=, <, <= and a port; this is "70000"`},
		{"dport:>65535", 7, `dport: expected a port, FIRST-LAST, or >, >=, <, <= and a port; this is ">65535"`},
		{"dport:9-1", 7, `dport: expected a port, FIRST-LAST, or >, >=, <, <= and a port; this is "9-1"`},
		{"dport:80,http", 10, `dport: expected a port, FIRST-LAST, or >, >=, <, <= and a port; this is "http"`},
		{"proto:256", 7, `proto: expected tcp, udp, sctp, icmp, icmpv6 or a number; this is "256"`},
		{"src:10.1.0", 5, `src: expected an address, a CIDR or FIRST-LAST; this is "10.1.0"`},
		{"10.1.0.0/33", 1, `expected an address, a CIDR or FIRST-LAST; this is "10.1.0.0/33"`},
		{"src:10.1.0.9-10.1.0.1", 5, `src: expected an address, a CIDR or FIRST-LAST; this is "10.1.0.9-10.1.0.1"`},
		{"src:10.1.0.9-::1", 5, `src: expected an address, a CIDR or FIRST-LAST; this is "10.1.0.9-::1"`},
		{"src:fe80::1%eth0", 5, `src: expected an address, a CIDR or FIRST-LAST; this is "fe80::1%eth0"`},
		{"context:0xab/8", 9, `context: expected a context ID such as 100 or 0x64, FIRST-LAST, or a prefix such as 0xab00000000000000/8; this is "0xab/8"`},
		{"context:0/65", 9, `context: expected a context ID such as 100 or 0x64, FIRST-LAST, or a prefix such as 0xab00000000000000/8; this is "0/65"`},
		{"vlan:<0", 6, `vlan: expected a number, FIRST-LAST, or >, >=, <, <= and a number; this is "<0"`},
		{"bytes:>18446744073709551615", 7, `bytes: expected a number with k, M or G, FIRST-LAST, or >, >=, <, <= and one; this is ">18446744073709551615"`},
		{"bytes:20000000T", 7, `bytes: expected a number with k, M or G, FIRST-LAST, or >, >=, <, <= and one; this is "20000000T"`},
		{"age:5", 5, `age: expected a time such as 90s or 5m, or >, >=, <, <= and one; this is "5"`},
		{`tcp text:""`, 10, `text: expected letters that stand somewhere in it; this is ""`},
		{`text:web,""`, 10, `text: expected letters that stand somewhere in it; this is ""`},
		{"and tcp", 1, `expected a field and a value, such as tenant:acme, before "and"`},
		{"tcp or", 7, "expected a field and a value, such as tenant:acme, behind this"},
		{"tcp or or udp", 8, `expected a field and a value, such as tenant:acme, before "or"`},
		{"not", 4, "expected a field and a value, such as tenant:acme, behind this"},
		{"(tcp", 1, "there is no ) that closes this ("},
		{"tcp)", 4, "there is no ( that this ) could close"},
		{"tcp ()", 6, "expected a field and a value, such as tenant:acme, before this )"},
		{"tenant:é drpo", 10, `"drpo" is no verdict, protocol or address; did you mean drop?; text:drpo looks for it in names`},
		{strings.Repeat("(", 70), 65, "expected at most 64 ( and not inside one another"},
		{strings.Repeat("!", 70) + "tcp", 65, "expected at most 64 ( and not inside one another"},
		{strings.Repeat("tcp ", 1025), 4097, "expected at most 4096 bytes"},
	} {
		t.Run(tt.text[:min(len(tt.text), 30)], func(t *testing.T) {
			f, err := Parse(tt.text)
			var e *Error
			if f != nil || !errors.As(err, &e) {
				t.Fatalf("got %v, %v", f, err)
			}
			if e.Column != tt.column || e.Problem != tt.want {
				t.Errorf("got column %d: %s\nwant column %d: %s", e.Column, e.Problem, tt.column, tt.want)
			}
		})
	}
}

func TestAnErrorPointsAtItsColumn(t *testing.T) {
	_, err := Parse("tenant:\x1b[2Jé drpo")
	var e *Error
	if !errors.As(err, &e) {
		t.Fatal(err)
	}
	if got, want := e.Pointed(), "tenant:?[2Jé drpo\n             ^"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestEveryFieldHasAnExampleThatParses(t *testing.T) {
	for _, f := range Fields() {
		if _, err := Parse(f.Name + ":" + f.Example); err != nil {
			t.Errorf("%s:%s: %v", f.Name, f.Example, err)
		}
		if f.Meaning == "" || f.Form() == "" {
			t.Errorf("%s: no meaning or form", f.Name)
		}
	}
}

func TestWhatCouldBeTyped(t *testing.T) {
	known := func(f *Field) []string {
		if f.Name == "tenant" {
			return []string{"globex", "acme", "ac me"}
		}
		return nil
	}
	for _, tt := range []struct {
		text string
		from int
		want []string
	}{
		{"te", 0, []string{"tenant:", "text:"}},
		{"tcp te", 4, []string{"tenant:", "text:"}},
		{"(te", 1, []string{"tenant:", "text:"}},
		{"!te", 1, []string{"tenant:", "text:"}},
		{"dr", 0, []string{"drop"}},
		{"tenant:", 7, []string{`"ac me"`, "acme", "globex"}},
		{"tenant:ac", 7, []string{`"ac me"`, "acme"}},
		{`tenant:"ac`, 7, []string{`"ac me"`, "acme"}},
		{"tenant:globex,ac", 14, []string{`"ac me"`, "acme"}},
		{"verdict:", 8, verdictWords},
		{"proto:t", 6, []string{"tcp"}},
		{"reason:tenant_d", 7, []string{"tenant_default"}},
		{"dport:", 6, nil},
		{"quux:", 5, nil},
	} {
		t.Run(tt.text, func(t *testing.T) {
			c := Complete(tt.text, known)
			var got []string
			for _, candidate := range c.Candidates {
				got = append(got, candidate.Text)
			}
			if c.From != tt.from || !slices.Equal(got, tt.want) {
				t.Errorf("got %d %q, want %d %q", c.From, got, tt.from, tt.want)
			}
		})
	}
	if c := Complete("tcp ", nil); c.From != 4 || len(c.Candidates) < len(fields) {
		t.Errorf("behind a space: %+v", c)
	}
	if c := Complete("dport:", nil); c.Form != "a port, FIRST-LAST, or >, >=, <, <= and a port" {
		t.Errorf("got form %q", c.Form)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"tenant:acme dst:10.1.0.0/24 dport:443 not drop", `(rule:"a \" b",x or !tcp) age:>5m`, "2001:db8::1", "context:0xab00000000000000/8", "((((", `a:"`} {
		f.Add(seed)
	}
	f.Add("rule:" + strings.Repeat("a", MaxLen-11)) // as long as may be in parentheses, and too long behind tenant:
	records := []Record{web(), arp(), {}}
	f.Fuzz(func(t *testing.T, text string) {
		c := Complete(text, func(*Field) []string { return []string{"acme", `"`} })
		if c.From < 0 || c.From > len(text) {
			t.Fatalf("completion from %d of %d", c.From, len(text))
		}
		filter, err := Parse(text)
		var e *Error
		if err != nil {
			if !errors.As(err, &e) || e.Column < 1 || e.Column > utf8.RuneCountInString(text)+1 {
				t.Fatalf("%q: %v", text, err)
			}
			e.Pointed()
			return
		}
		negated, err := Parse("not (" + text + ")")
		if err != nil { // one deeper, longer, or nothing to negate
			return
		}
		named := "tenant:" + Quote(text)
		if len(named) > MaxLen { // the text alone is not
			return
		}
		quoted, err := Parse(named)
		if text != "" && err != nil {
			t.Fatalf("quoted %q: %v", text, err)
		}
		for i := range records {
			if filter.Match(&records[i]) == negated.Match(&records[i]) {
				t.Errorf("record %d is selected by %q and its negation, or by neither", i, text)
			}
		}
		if text != "" && !quoted.Match(&Record{Tenant: text}) {
			t.Errorf("%q does not match itself", text)
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	f, err := Parse("tenant:acme dst:10.1.0.0/16,10.2.0.0/16 dport:80,443 not drop")
	if err != nil {
		b.Fatal(err)
	}
	r := web()
	r.Verdict = "accept"
	b.ReportAllocs()
	for b.Loop() {
		if !f.Match(&r) {
			b.Fatal("no match")
		}
	}
}

func TestFieldsThatAreNotThereAreNamedWithTheirColumn(t *testing.T) {
	for _, tt := range []struct {
		text string
		want string
	}{
		{"", ""},
		{"tenant:acme or not (rule:acme/web text:x)", ""},
		{"tenant:acme dport:443 sport:1", "column 13: rules have no dport: expected one of tenant, rule, text"},
		{"not (text:é or !tcp)", "column 17: rules have no proto: expected one of tenant, rule, text"},
		{"10.0.0.1", "column 1: rules have no host: expected one of tenant, rule, text"},
	} {
		f, err := Parse(tt.text)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if err := f.Only("rules", "tenant", "rule", "text"); err != nil {
			var wrong *Error
			if !errors.As(err, &wrong) || !strings.HasSuffix(wrong.Pointed(), "\n"+strings.Repeat(" ", wrong.Column-1)+"^") {
				t.Errorf("%s: %v", tt.text, err)
			}
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.text, got, tt.want)
		}
	}
}

func TestStepsBoundAMatch(t *testing.T) {
	for text, want := range map[string]int{
		"": 0, "drop": 1, "tenant:a,b not (dport:80 or src:10.0.0.0/8)": 4, "tenant:a*b*c": 3, "text:web": 4, "text:a,b": 8,
		"text:" + strings.Repeat("z,", MaxSteps/4-1) + "z": MaxSteps,
	} {
		f, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := f.Steps(); got != want {
			t.Errorf("%.40q has %d steps, want %d", text, got, want)
		}
	}
}

func TestValuesAreBounded(t *testing.T) {
	for name, most := range map[string]string{
		"numbers": "port:" + strings.Repeat("1,", MaxSteps-1) + "1", "text": "text:" + strings.Repeat("z,", MaxSteps/4-1) + "z", "parts": "rule:" + strings.Repeat("*", MaxSteps-1),
		"bare words": strings.Repeat("tcp or ", MaxSteps-1) + "tcp", "many terms": strings.Repeat("sport:1,2 ", MaxSteps/2),
	} {
		if _, err := Parse(most); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var wrong *Error
		if _, err := Parse(most + " and udp"); !errors.As(err, &wrong) || wrong.Column != len(most)+len(" and ")+1 || !strings.Contains(wrong.Problem, "256") {
			t.Errorf("%s, and one more: %v", name, err)
		}
	}
}
