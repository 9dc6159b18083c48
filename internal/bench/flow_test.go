package bench

import (
	"strings"
	"testing"
	"time"

	"sttwall/policy"
)

// noon is a working day at noon.
var noon = time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC).UnixNano()

func rules(t *testing.T, text string) *policy.Policy {
	t.Helper()
	p, diagnostics := policy.Load("test.hcl", []byte(text))
	if diagnostics.HasErrors() {
		t.Fatal(diagnostics)
	}
	return p
}

func TestTheExampleHasAFlow(t *testing.T) {
	p, diagnostics, _ := policy.LoadFile("../../rules.example.hcl")
	if diagnostics.HasErrors() {
		t.Fatal(diagnostics)
	}
	f, err := Choose(p, noon, Asked{}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := f.String(), "context 100, tcp 203.0.113.9:32768 > 10.1.0.10:443, from 10.47.0.1 to 10.47.0.2, by acme/web"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if f.Back != 100 {
		t.Errorf("back with context %d", f.Back)
	}
}

func TestAFlowIsFoundInTheRules(t *testing.T) {
	for _, tt := range []struct{ name, rules, want string }{
		{"the default accepts", "tenant \"open\" {\n context_ids = [7]\n default_action = \"accept\"\n}\n", "context 7, tcp"},
		{"a rule for one service", `
tenant "one" {
  context_ids = [9]
  rule "names" {
    action      = "accept"
    destination = ["10.3.0.0/24"]
    services    = ["udp/53"]
  }
}`, "context 9, udp"},
		{"what passes is not always open, and behind what does not", `
settings {
  endpoints = ["10.47.0.0/30"]
}
tenant "one" {
  context_ids = [9]
  rule "not" {
    action   = "drop"
    services = ["tcp/443"]
  }
  rule "ping" {
    action   = "accept"
    services = ["icmp/echo-request"]
  }
  rule "six" {
    action      = "accept"
    destination = ["2001:db8::/32"]
    services    = ["tcp"]
  }
  rule "late" {
    action   = "accept"
    services = ["tcp/22"]
    time {
      from     = "22:00"
      to       = "05:00"
      timezone = "UTC"
    }
  }
  rule "tcp" {
    action = "accept"
    source = ["10.0.0.0/8"]
    services = ["tcp/1000-2000"]
  }
}`, "by one/tcp"},
		{"OVN", `
settings {
  endpoints = ["10.47.0.0/16"]
}
tenant "ovn" {
  context_layout = "ovn"
  datapaths      = [7]
  anti_spoof {
    learn = ["ingress_port"]
  }
  rule "ports" {
    action       = "accept"
    ingress_port = [3]
    services     = ["tcp/443"]
  }
}`, "by ovn/ports"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, err := Choose(rules(t, tt.rules), noon, Asked{}, 20_000)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(f.String(), tt.want) {
				t.Errorf("got %s, want %s", f, tt.want)
			}
			if f.From == f.To {
				t.Errorf("both endpoints are %s", f.From)
			}
		})
	}
}
