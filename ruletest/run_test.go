package ruletest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sttwall/policy"
)

// The rules files of testdata/rules/tests say in their own test blocks what the
// language means.
func TestTheLanguageMeansWhatItsTestsSay(t *testing.T) {
	files, err := filepath.Glob("../testdata/rules/tests/*.hcl")
	if err != nil || len(files) < 4 {
		t.Fatal(files, err)
	}
	for _, path := range append(files, "../rules.example.hcl") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			p, diagnostics, _ := policy.LoadFile(path)
			if len(diagnostics) > 0 {
				t.Fatal(diagnostics)
			}
			if len(p.Tests()) == 0 {
				t.Error("no tests")
			}
			failures, err := Run(p)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range failures {
				t.Error(f)
			}
		})
	}
}

const rules = `settings {
  endpoints = ["any"]
}
tenant "acme" {
  context_ids = [100]
  rule "web" {
    action   = "accept"
    services = ["tcp/80"]
  }
  rule "no-dns" {
    action   = "reject"
    services = ["udp/53"]
  }
}
`

func TestAFailureSaysWhereAndWhat(t *testing.T) {
	for _, tt := range []struct{ name, test, want string }{
		{"another verdict", `test "web" {
  context_id = 100
  packet     = "tcp 10.0.0.1:1 > 10.0.0.2:80 syn"
  expect     = "drop"
}`, `f.hcl:17: test "web": expected drop, got accept by acme/web
    packet: tcp 10.0.0.1:1 > 10.0.0.2:80 syn`},
		{"another rule", `test "web" {
  context_id = 100
  packet     = "udp 10.0.0.1:1 > 10.0.0.2:53"
  expect     = "reject"
  rule       = "acme/web"
}`, `f.hcl:17: test "web": expected reject by acme/web, got reject by acme/no-dns because of rule_reject
    packet: udp 10.0.0.1:1 > 10.0.0.2:53`},
		{"another reason, in a later step", `test "web" {
  context_id = 100
  step {
    packet = "tcp 10.0.0.1:1 > 10.0.0.2:80 syn"
    expect = "accept"
  }
  step {
    packet = "tcp 10.0.0.1:2 > 10.0.0.2:80 ack"
    expect = "drop"
    reason = "tenant_default"
    rule   = "default"
  }
}`, `f.hcl:22: test "web", step 2: expected drop because of tenant_default, got drop because of state_invalid
    packet: tcp 10.0.0.1:2 > 10.0.0.2:80 ack`},
		{"what audit mode lets pass", `tenant "watched" {
  context_ids = [200]
  mode        = "audit"
}
test "watched" {
  context_id = 200
  packet     = "udp 10.0.0.1:1 > 10.0.0.2:9"
  expect     = "drop"
  reason     = "rule_drop"
}`, `f.hcl:21: test "watched": expected drop because of rule_drop, got accept by default in audit mode, else because of tenant_default
    packet: udp 10.0.0.1:1 > 10.0.0.2:9`},
		{"neighbour discovery", `test "arp" {
  context_id = 100
  packet     = "arp request 10.0.0.1 > 10.0.0.2"
  expect     = "drop"
}`, `f.hcl:17: test "arp": expected drop, got accept by neighbour discovery
    packet: arp request 10.0.0.1 > 10.0.0.2`},
		{"nothing", `test "web" {
  context_id = 100
  packet     = "tcp 10.0.0.1:1 > 10.0.0.2:80 syn"
  expect     = "accept"
}`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, diagnostics := policy.Load("f.hcl", []byte(rules+tt.test))
			if diagnostics.HasErrors() {
				t.Fatal(diagnostics)
			}
			failures, err := Run(p)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range failures {
				got = append(got, f.String())
			}
			if strings.Join(got, "\n") != tt.want {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), tt.want)
			}
		})
	}
}

func TestAnAnswerComesFromWhereTheQuestionWent(t *testing.T) {
	for _, endpoints := range []string{`"any"`, `"10.47.0.0/16"`, `"2001:db8:47::/64"`, `"192.0.2.1", "10.47.1.9"`} {
		p, diagnostics := policy.Load("f.hcl", []byte(`settings {
  endpoints = [`+endpoints+`]
}
tenant "t" {
  context_ids = [1]
  endpoints   = ["10.99.0.0/16", "10.47.1.0/24", "2001:db8:47::/48"]
  rule "dns" {
    action   = "accept"
    services = ["udp/53"]
  }
}
test "a name is found" {
  context_id = 1
  step {
    packet = "udp 10.0.0.1:4000 > 10.0.0.53:53"
    expect = "accept"
  }
  step {
    packet = "udp 10.0.0.53:53 > 10.0.0.1:4000"
    expect = "accept"
    rule   = "t/dns"
  }
}`))
		if diagnostics.HasErrors() {
			t.Fatal(diagnostics)
		}
		if failures, err := Run(p); err != nil || len(failures) > 0 {
			t.Errorf("%s: got %v, %v", endpoints, failures, err)
		}
	}
}

func TestATestWithTwoFamiliesOutsideCannotRun(t *testing.T) {
	p, diagnostics := policy.Load("f.hcl", []byte(rules+`test "web" {
  context_id = 100
  packet     = "tcp 10.0.0.1:1 > 10.0.0.2:80 syn from 10.47.0.1 to 2001:db8::1"
  expect     = "accept"
}`))
	if diagnostics.HasErrors() {
		t.Fatal(diagnostics)
	}
	const want = `test "web": line 17: outer endpoints 10.47.0.1 and 2001:db8::1: want two IPv4 or two IPv6 addresses`
	if _, err := Run(p); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func BenchmarkRun(b *testing.B) {
	text, err := os.ReadFile("../testdata/rules/tests/state.hcl")
	if err != nil {
		b.Fatal(err)
	}
	p, _ := policy.Load("state.hcl", text)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Run(p); err != nil {
			b.Fatal(err)
		}
	}
}
