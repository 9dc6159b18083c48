package policy

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/hashicorp/hcl/v2"

	"sttwall/describe"
)

// settingsWith is the defaults with a change.
func settingsWith(change func(*Settings)) Settings {
	s := defaultSettings()
	change(&s)
	return s
}

func TestSettings(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       Settings
	}{
		{"defaults without a settings block", ``,
			defaultSettings()},
		{"defaults in an empty block", `settings {}`,
			defaultSettings()},
		{"any endpoint by name", `settings { endpoints = ["any"] }`,
			defaultSettings()},
		{"everything", "settings {\n stt_ports = [7472, 7471]\n endpoints = [\"10.47.0.0/16\", \"2001:db8::1\"]\n receivers = \"linux\"\n default_action = \"accept\"\n}",
			settingsWith(func(s *Settings) {
				s.STTPorts = []uint16{7472, 7471}
				s.Endpoints = []netip.Prefix{netip.MustParsePrefix("10.47.0.0/16"), netip.MustParsePrefix("2001:db8::1/128")}
				s.Receivers, s.DefaultAction = ReceiversLinux, Accept
			})},
		{"receivers any", `settings { receivers = "any" }`,
			defaultSettings()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := mustLoad(t, tt.text).Settings()
			if diff := cmp.Diff(tt.want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestWarningsComeWithAPolicy(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"an empty file lets nothing through", "",
			[]string{"f.hcl:1,1-1: Any host may send STT", "f.hcl:1,1-1: No tenants"}},
		{"settings without endpoints", "settings {}\ntenant \"a\" {\n context_ids = [1]\n}",
			[]string{"f.hcl:1,1-9: Any host may send STT"}},
		{"a tenant whose IDs are all others'", "settings {\n endpoints = [\"any\"]\n}\ntenant \"a\" {\n context_ids = [\"1-4\"]\n}\ntenant \"b\" {\n context_ids = [\"1-2\", \"3-4\"]\n}",
			[]string{"f.hcl:4,1-11: Tenant never reached"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, diags := Load("f.hcl", []byte(tt.text))
			if p == nil {
				t.Fatalf("no policy: %v", diags)
			}
			var got []string
			for _, d := range diags {
				got = append(got, d.Subject.String()+": "+d.Summary)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestLoadFileReportsAFileThatCannotBeRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing.hcl")
	p, diags, _ := LoadFile(path)
	if p != nil || !diags.HasErrors() || diags[0].Subject == nil || diags[0].Subject.Filename != path {
		t.Fatalf("got %v, %v", p, diags)
	}
	if got, want := diags[0].Summary+": "+diags[0].Detail, "Rules file not read: Expected a rules file that can be read: no such file or directory."; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if p, diags, _ := LoadFile(t.TempDir()); p != nil || !diags.HasErrors() {
		t.Errorf("a directory loaded: %v", diags)
	}
}

func TestLoadFileReturnsTheSourceForPrinting(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rules.hcl")
	if err := os.WriteFile(path, []byte("tenant \"a\" {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, files := LoadFile(path)
	if files[path] == nil || string(files[path].Bytes) != "tenant \"a\" {}\n" {
		t.Errorf("got %v", files)
	}
}

// Go's stack is bounded; a parser that calls itself for each of these would end
// the program, and no recover could stop it.
func TestDeepNestingIsRefused(t *testing.T) {
	const n = 5000
	for name, text := range map[string]string{
		"lists":             "a = " + strings.Repeat("[", n),
		"lists with commas": "a = " + strings.Repeat("[1,", n),
		"objects":           "a = " + strings.Repeat("{b=", n),
		"blocks":            strings.Repeat("a {\n", n),
		"parentheses":       "a = " + strings.Repeat("(", n),
		"calls":             "a = " + strings.Repeat("f(1,", n),
		"templates":         "a = " + strings.Repeat(`"${`, n),
		"directives":        "a = \"" + strings.Repeat(`%{if x}`, n) + "\"",
		"minus signs":       "a = " + strings.Repeat("-", n) + "1",
		"not signs":         "a = " + strings.Repeat("!", n) + "b",
		"sums":              "a = 1" + strings.Repeat("+1", n),
		"conditions":        "a = " + strings.Repeat("b ? c : ", n) + "d",
		"indexes":           "a = b" + strings.Repeat("[c]", n),
		"splats":            "a = b" + strings.Repeat("[*]", n),
		"attribute splats":  "a = b" + strings.Repeat(".*", n),
		"wrong closers":     "a = " + strings.Repeat("[}", n),
		"newlines in lists": "a = [" + strings.Repeat("-\n", n),
		"dollars":           "a = \"" + strings.Repeat("$$", n) + "\"",
		"lines":             "a = <<E\n" + strings.Repeat("b\n", n) + "E\n",
		"for expressions":   "a = " + strings.Repeat("[for x in ", n),
	} {
		t.Run(name, func(t *testing.T) {
			p, diags := Load("deep.hcl", []byte(text))
			if p != nil || !diags.HasErrors() {
				t.Fatal("loaded")
			}
			if got, want := diags[0].Summary, "Nested too deep"; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestMuchThatIsNotDeepIsFine(t *testing.T) {
	var b strings.Builder
	b.WriteString("settings {\n endpoints = [\"any\"]\n}\naddress_group \"g\" {\n addresses = [\n")
	for i := range 4000 {
		fmt.Fprintf(&b, "\"10.%d.%d.1\",\n", i/250, i%250)
	}
	b.WriteString("]\n}\ntenant \"t\" {\n context_ids = [1]\n")
	for i := range 500 {
		fmt.Fprintf(&b, "rule \"r%d\" {\n action = \"drop\"\n source = [!address_group.g, \"!10.0.0.0/8\"]\n}\n", i)
	}
	b.WriteString("}\n")
	p, diags := Load("large.hcl", []byte(b.String()))
	if p == nil || len(diags) > 0 {
		t.Fatal(diags)
	}
	if got := len(p.Rules()); got != 500 {
		t.Errorf("%d rules, want 500", got)
	}
}

func TestLargeFilesAreRefused(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"one byte over", strings.Repeat("\n", MaxFileSize+1), "Expected at most 33554432 bytes in a rules file; there are 33554433."},
		{"too much beside rules", strings.Repeat("x = 1\n", maxText/5), "beside the rules"},
		{"too much in a rule", "tenant \"t\" {\n rule \"r\" {\n vlan = [" + strings.Repeat("1, ", maxText/3) + "]\n }\n}\n", "in one rule"},
		{"too much to read unsplit", "a = 1\nx = <<EOT\nEOT\n" + strings.Repeat("# line\n", maxText/5), "in a file whose rules cannot be told apart"},
		{"too much in a tenant", strings.Repeat("tenant \"t\" {\n context_ids = ["+strings.Repeat("1, ", maxText/5)+"]\n rule \"r\" {\n }\n}\n", 3), "beside the rules"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, diags := Load("large.hcl", []byte(tt.text))
			if p != nil || len(diags) != 1 || diags[0].Summary != "File too large" || !strings.Contains(diags[0].Detail, tt.want) {
				t.Errorf("got %v, %v", p, diags)
			}
			if at := diags[0].Subject.Start; tt.name == "too much to read unsplit" && (at.Line != 2 || at.Column != 5) {
				t.Errorf("the heredoc is at %v", at)
			}
		})
	}
}

func TestDiagnosticsAreBounded(t *testing.T) {
	text := strings.Repeat("rule \"r\" {}\n", 5_000)
	p, diags := Load("many.hcl", []byte(text))
	if p != nil || !diags.HasErrors() {
		t.Fatal("loaded")
	}
	if got, want := len(diags), maxDiagnostics+1; got != want {
		t.Errorf("%d diagnostics, want %d", got, want)
	}
	last := diags[len(diags)-1]
	if got, want := last.Summary+": "+last.Detail, "Too many diagnostics: 901 more are not shown; expected at most 100 at once."; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A file may have many thousand groups, and as many names that are none.
func TestOnlyTheFirstMistakesAreWorthASearchForTheRightName(t *testing.T) {
	var b strings.Builder
	b.WriteString("address_group \"servers\" {\n addresses = [\"10.0.0.1\"]\n}\nservice \"http\" {\n protocol = \"tcp\"\n}\ntenant \"t\" {\n context_ids = [1]\n")
	for i := range maxDiagnostics {
		fmt.Fprintf(&b, "rule \"r%d\" {\n action = \"drop\"\n source = [address_group.server]\n services = [service.htp]\n}\n", i)
	}
	l := newLoader("x.hcl", []byte(b.String()+"}\n"), noFiles)
	body, _, diags := parse("x.hcl", l.src, len(l.src))
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	l.file(body)
	hints := 0
	for _, d := range l.diags {
		if strings.Contains(d.Detail, `Did you mean "servers"?`) || strings.Contains(d.Detail, `Did you mean "http"?`) {
			hints++
		}
	}
	if l.errors != 2*maxDiagnostics || hints != maxDiagnostics {
		t.Errorf("%d of %d mistakes have the right name", hints, l.errors)
	}
}

func TestFilesOfAddressesAreBounded(t *testing.T) {
	for _, tt := range []struct {
		files int
		apart int // 0: it is one file, which is read again each time
		ok    bool
	}{
		{maxAddressFiles, 1, true},
		{maxAddressFiles + 1, 1, false},
		{maxAddressFiles + 1, 0, false},
	} {
		var b strings.Builder
		b.WriteString("settings {\n endpoints = [\"any\"]\n}\ntenant \"t\" {\n context_ids = [1]\n}\n")
		for i := range tt.files {
			fmt.Fprintf(&b, "address_group \"g%d\" {\n addresses_from = \"%d.txt\"\n}\n", i, i*tt.apart)
		}
		p, diags, _ := load("files.hcl", []byte(b.String()), func(string) ([]byte, error) { return []byte("10.0.0.1\n"), nil })
		if tt.ok != (p != nil) || !tt.ok && (diags[0].Summary != "Too many files" || diags[0].Detail != "Expected at most 64 files of addresses.") {
			t.Errorf("%+v: got %v, %v", tt, p, diags)
		}
	}
}

func TestErrorsAreNotCrowdedOutByWarnings(t *testing.T) {
	var b strings.Builder
	b.WriteString("tenant \"outer\" {\n context_ids = [\"0x0/0\"]\n}\n")
	for i := range 3 * maxDiagnostics {
		fmt.Fprintf(&b, "tenant \"t%d\" {\n context_ids = [\"%d-%d\"]\n}\ntenant \"a%d\" {\n context_ids = [%d]\n}\ntenant \"b%d\" {\n context_ids = [%d]\n}\n",
			i, 2*i, 2*i+1, i, 2*i, i, 2*i+1)
	}
	p, diags := Load("warnings.hcl", []byte(b.String()))
	if p == nil || len(diags) != maxDiagnostics+1 {
		t.Fatalf("%d diagnostics: %v", len(diags), diags)
	}
	b.WriteString("tenant \"bad\" {\n context_ids = []\n}\n")
	p, diags = Load("warnings.hcl", []byte(b.String()))
	if p != nil || !diags.HasErrors() {
		t.Fatalf("got %v, %v", p, diags)
	}
}

func TestContextIDForms(t *testing.T) {
	for _, tt := range []struct {
		text   string
		lo, hi uint64
		ok     bool
	}{
		{"0", 0, 0, true},
		{"18446744073709551615", 1<<64 - 1, 1<<64 - 1, true},
		{"18446744073709551616", 0, 0, false},
		{"0xffffffffffffffff", 1<<64 - 1, 1<<64 - 1, true},
		{"0xFF", 255, 255, true},
		{"0-18446744073709551615", 0, 1<<64 - 1, true},
		{"10-0x10", 10, 16, true},
		{"0x10-10", 0, 0, false},
		{"7-7", 7, 7, true},
		{"0x0000000000000000/0", 0, 1<<64 - 1, true},
		{"0x8000000000000000/1", 1 << 63, 1<<64 - 1, true},
		{"0xab00000000000000/8", 0xab << 56, 0xacd<<52 - 0xd<<52 - 1, true},
		{"0x1/64", 1, 1, true},
		{"0x2/63", 2, 3, true},
		{"0x1/63", 0, 0, false},
		{"0x0/65", 0, 0, false},
		{"0x0/-1", 0, 0, false},
		{"0x0/", 0, 0, false},
		{"0/0", 0, 0, false},
		{"1-2-3", 0, 0, false},
		{"-1", 0, 0, false},
		{"+1", 0, 0, false},
		{"1_000", 0, 0, false},
		{"0x", 0, 0, false},
		{"0x-0x1", 0, 0, false},
		{"ff", 0, 0, false},
		{" 1", 0, 0, false},
		{"", 0, 0, false},
	} {
		t.Run(tt.text, func(t *testing.T) {
			lo, hi, problem := parseContextIDs(tt.text)
			if ok := problem == ""; ok != tt.ok || lo != tt.lo || hi != tt.hi {
				t.Errorf("got %#x-%#x, %q; want %#x-%#x, %t", lo, hi, problem, tt.lo, tt.hi, tt.ok)
			}
		})
	}
}

// Numbers without quotes keep all 64 bits: floating point would round the last.
func TestContextIDNumbersAreExact(t *testing.T) {
	for _, id := range []uint64{0, 1<<53 + 1, 1<<63 - 1, 1<<63 + 1, 1<<64 - 2, 1<<64 - 1} {
		p := mustLoad(t, fmt.Sprintf("tenant \"t\" {\n context_ids = [%d]\n}", id))
		f := ports(6, 1, 2)
		if evaluate(p, id, f).Tenant != "t" || evaluate(p, id-1, f).Tenant != "" || evaluate(p, id+1, f).Tenant != "" {
			t.Errorf("%d is not exact", id)
		}
	}
}

func TestEveryDiagnosticOfHCLGetsASubject(t *testing.T) {
	diags := tidy(hcl.Diagnostics{{Severity: hcl.DiagError, Summary: "x"}}, "f.hcl")
	if diff := cmp.Diff(startOf("f.hcl"), diags[0].Subject, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestNumbersOutOfRangeAreRefusedInEveryForm(t *testing.T) {
	inRule := "tenant \"t\" {\n context_layout = \"ovn\"\n datapaths = [1]\n rule \"r\" {\n action = \"accept\"\n %s = [%s]\n }\n}\n"
	for _, tt := range []struct {
		attribute, text string
		least, limit    int
	}{
		{"vlan", inRule, 1, 4095}, {"pcp", inRule, 0, 7}, {"ethertype", inRule, 0x600, 0xffff}, {"arp_operation", inRule, 0, 0xffff},
		{"datapath", inRule, 0, 1<<24 - 1}, {"ingress_port", inRule, 0, 1<<15 - 1}, {"egress_port", inRule, 0, 1<<16 - 1},
		{"datapaths", "tenant \"t\" {\n context_layout = \"ovn\"\n %s = [%s]\n}\n", 0, 1<<24 - 1},
		{"ports", "tenant \"t\" {\n context_ids = [1]\n}\nservice \"s\" {\n protocol = \"tcp\"\n %s = [%s]\n}\n", 0, 65535},
	} {
		load := func(entry string) bool {
			p, _ := Load("f.hcl", []byte("settings {\n endpoints = [\"any\"]\n}\n"+fmt.Sprintf(tt.text, tt.attribute, entry)))
			return p != nil
		}
		least, limit := fmt.Sprint(tt.least), fmt.Sprint(tt.limit)
		for _, entry := range []string{least, limit, `"` + least + `"`, `"` + limit + `"`, `"` + limit + "-" + limit + `"`} {
			if !load(entry) {
				t.Errorf("%s = [%s] is refused", tt.attribute, entry)
			}
		}
		over := fmt.Sprint(tt.limit + 1)
		wrong := []string{over, `"` + over + `"`, `"` + limit + "-" + over + `"`, `"` + over + "-" + over + `"`, `"!` + over + `"`, `"` + limit + "-" + least + `"`,
			`"18446744073709551616"`, "-1", `"-1"`, `"1-"`, `"-"`, `""`, `"!"`, `"x"`, `"!x"`, `"1.5"`, "1.5", `" 1"`, `"1 "`, `"+1"`, "true", "null", `"!!1"`, `"1-2-3"`}
		if tt.least > 0 {
			under := fmt.Sprint(tt.least - 1)
			wrong = append(wrong, under, `"`+under+`"`, `"`+under+"-"+limit+`"`, `"!`+under+`"`)
		}
		for _, entry := range wrong {
			if load(entry) {
				t.Errorf("%s = [%s] loads", tt.attribute, entry)
			}
		}
	}
}

func TestWhatIsNegatedIsComputed(t *testing.T) {
	p := mustLoad(t, `settings {
  endpoints = ["any"]
  tcp_loose = !false
}
address_group "a" {
  addresses = ["10.0.0.1"]
}
tenant "t" {
  context_ids = [-(1 - 8), -(-9)]
  rule "r" {
    action = "accept"
    source = [!(address_group.a)]
    log    = !(1 == 2)
  }
}`)
	for packet, want := range map[string]Action{"udp 10.0.0.1 > 10.0.0.9:1": Drop, "udp 10.0.0.2 > 10.0.0.9:1": Accept} {
		d, err := describe.Parse(packet)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range []uint64{7, 9} {
			if got := p.Evaluate(&Packet{ContextID: id, Frame: &d.Frame}); got.Action != want || got.Log != (want == Accept) {
				t.Errorf("%d %s: %+v", id, packet, got)
			}
		}
	}
	if !p.Settings().TCPLoose {
		t.Error("tcp_loose is false")
	}
}

func TestAFileOfAddressesCanBeFromWindows(t *testing.T) {
	text := "\uFEFF# first\r\n10.0.0.1 # this\r\n\r\n\t10.0.0.5-10.0.0.9"
	p, diags, _ := load("files.hcl", []byte("settings {\n endpoints = [\"any\"]\n}\naddress_group \"a\" {\n addresses_from = \"a.txt\"\n}\ntenant \"t\" {\n context_ids = [1]\n}\n"),
		func(string) ([]byte, error) { return []byte(text), nil })
	if p == nil {
		t.Fatal(diags)
	}
	if got := p.groups["a"].V4; len(got) != 2 || got[1].Hi != 10<<24|9 {
		t.Errorf("got %v", got)
	}
}

func TestEtherTypesCanBeAllTheRest(t *testing.T) {
	p := mustLoad(t, `settings {
  endpoints = ["any"]
}
tenant "t" {
  context_ids        = [1]
  neighbor_discovery = "rules"
  rule "other" {
    action    = "accept"
    ethertype = ["!ipv4", "!ipv6"]
    source    = ["any"]
  }
  rule "six" {
    action    = "accept"
    ethertype = ["0x86dd-0xffff"]
  }
}`)
	for packet, want := range map[string]string{
		"udp 10.0.0.1 > 10.0.0.2:1": "", "udp 2001:db8::1 > [2001:db8::2]:1": "t/six",
		"arp request 10.0.0.1 > 10.0.0.2": "t/other", "ethertype 0x88cc": "t/other", "ethertype 0x0600": "t/other", "ethertype 0xffff": "t/other",
	} {
		d, err := describe.Parse(packet)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Evaluate(&Packet{ContextID: 1, Frame: &d.Frame}).Rule; got != want {
			t.Errorf("%s: got %q, want %q", packet, got, want)
		}
	}
}
