package remedy

import (
	"bytes"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sttwall/describe"
	"sttwall/internal/messages"
	"sttwall/policy"
	"sttwall/reason"
)

var update = flag.Bool("update", false, "write the files in testdata anew")

const rules = `settings {
  endpoints = ["10.47.0.0/16"]
}

service "https" {
  protocol = "tcp"
  ports    = [443]
}

before_tenants {
  # nobody may
  rule "no-smb" {
    action   = "drop"
    services = ["tcp/445"]
  }
}

tenant "acme" {
  context_ids = [100]

  # telnet is over
  rule "no-telnet" {
    action   = "reject"
    services = ["tcp/23"]
  }
  rule "web" {
    action   = "accept"
    services = ["tcp/443", "udp/53", "icmp/echo-request"]
  }
}

tenant "globex" {
  context_ids = [200]
  mode        = "audit"
  rule "slow" {
    action   = "accept"
    services = ["udp/9"]
    limit {
      rate = "1/s"
      over = "drop"
    }
  }
}

tenant "bound" {
  context_ids = [300]
  endpoints   = [
    "10.47.1.0/24", # the left
  ]
  anti_spoof {
    binding "db" {
      endpoints = ["10.47.1.1"]
      addresses = ["10.0.0.5"]
    }
  }
  rule "all" {
    action   = "accept"
    services = ["any"]
  }
}

tenant "line" { context_ids = [400] }

after_tenants {
  rule "last" {
    action   = "drop"
    services = ["udp/7"]
  }
}
`

const otherRules = `settings {
  endpoints = [for n in range(46, 48) : "10.${n}.0.0/16"]
  tcp_loose = true
}

tenant "loose" {
  context_ids = [500]
  endpoints   = [for n in range(1, 3) : "10.47.${n}.0/24"]
  tcp_loose   = false
  rule "no-later" {
    action   = "drop"
    fragment = ["later"]
  }
  rule "web" {
    action   = "accept"
    services = ["tcp/80"]
  }
}
`

func load(t testing.TB, text string) *policy.Policy {
	t.Helper()
	p, diagnostics := policy.Load("rules.hcl", []byte(text))
	if p == nil {
		t.Fatal(diagnostics)
	}
	return p
}

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC).UnixNano()

// asked is a request about a described packet.
func asked(t testing.TB, id uint64, packet string, why reason.Reason) Request {
	t.Helper()
	r := Request{ContextID: id, From: netip.MustParseAddr("10.47.1.1"), To: netip.MustParseAddr("10.47.2.1"), Reason: why, Now: noon}
	if from, only := strings.CutPrefix(packet, "from "); only {
		r.From = netip.MustParseAddr(from)
		return r
	} else if packet == "" {
		return r
	}
	d, err := describe.Parse(packet)
	if err != nil {
		t.Fatal(err)
	}
	r.Data = d.Data
	if d.From.IsValid() {
		r.From = d.From
	}
	if d.To.IsValid() {
		r.To = d.To
	}
	return r
}

func TestRemedies(t *testing.T) {
	var got bytes.Buffer
	cases := []struct {
		id     uint64
		packet string
		why    reason.Reason
		large  bool // in a file that is too large to be tried out
	}{
		{100, "tcp 10.0.0.1:40000 > 10.0.0.2:22 syn", reason.TenantDefault, false},
		{100, "tcp [2001:db8::1]:40000 > [2001:db8::2]:8080 syn", reason.TenantDefault, false},
		{100, "udp 10.0.0.1:40000 > 10.0.0.2:123", reason.TenantDefault, false},
		{100, "icmp 10.0.0.1 > 10.0.0.2 13", reason.TenantDefault, false},
		{100, "tcp 10.0.0.1:40000 > 10.0.0.2:23 syn", reason.RuleReject, false},
		{100, "tcp 10.0.0.1:40000 > 10.0.0.2:445 syn", reason.RuleDrop, false},
		{100, "udp 10.0.0.1:40000 > 10.0.0.2:7", reason.RuleDrop, false},
		{100, "tcp 10.0.0.1:40000 > 10.0.0.2:443 syn", reason.TenantDefault, false},
		{200, "tcp 10.0.0.1:40000 > 10.0.0.2:22 syn", reason.TenantDefault, false},
		{200, "udp 10.0.0.1:40000 > 10.0.0.2:9", reason.RateLimit, false},
		{400, "tcp 10.0.0.1:40000 > 10.0.0.2:443 syn", reason.TenantDefault, false},
		{0x12345678, "tcp 10.0.0.1:40000 > 10.0.0.2:443 syn", reason.ContextUnknown, false},
		{100, "tcp 10.0.0.1:40000 > 10.0.0.2:22 ack", reason.TenantDefault, false},
		{100, "tcp 10.0.0.2:22 > 10.0.0.1:40000 syn,ack", reason.TenantDefault, false},
		{100, "tcp 10.0.0.2:443 > 10.0.0.1:40000 syn,ack", reason.TenantDefault, false},
		{100, "tcp 10.0.0.2:443 > 10.0.0.1:40000 ack", reason.TenantDefault, false},
		{100, "tcp 10.0.0.1:40000 > 10.0.0.2:443 ack", reason.StateInvalid, false},
		{100, "tcp 10.0.0.1:40000 > 10.0.0.2:443 rst", reason.StateInvalid, false},
		{100, "udp 10.0.0.2:53 > 10.0.0.1:40000", reason.TenantDefault, false},
		{100, "udp 10.0.0.2:123 > 10.0.0.1:40000", reason.TenantDefault, false},
		{100, "icmp 10.0.0.2 > 10.0.0.1 echo-reply", reason.TenantDefault, false},
		{100, "icmp 10.0.0.2 > 10.0.0.1 destination-unreachable about (udp 10.0.0.1:1 > 10.0.0.2:2)", reason.StateInvalid, false},
		{100, "tcp 10.0.0.1:40000 > 10.0.0.2:443 ack", reason.TCPWindow, false},
		{100, "tcp 10.0.0.1:40000 > 10.0.0.2:443 syn", reason.TenantFlows, false},
		{300, "tcp 10.0.0.1:40000 > 10.0.0.2:443 syn from 10.47.9.9", reason.TenantEndpoint, false},
		{300, "tcp 10.0.0.5:40000 > 10.0.0.2:443 syn from 10.47.1.2", reason.BindingDeclared, false},
		{300, "tcp 10.0.0.6:40000 > 10.0.0.2:443 syn from 10.47.1.2", reason.BindingLearned, false},
		{100, "tcp 10.0.0.1:40000 > 10.0.0.2:443 syn from 192.0.2.9", reason.EndpointUnknown, false},
		{100, "tcp 10.0.0.1:40000 > 10.0.0.2:22 syn from 192.0.2.9", reason.EndpointUnknown, false},
		{100, "", reason.SegmentOverlap, false},
		{100, "", reason.EndpointUnknown, false},
		{100, "tcp 10.0.0.1:40000 > 10.0.0.2:443 syn", reason.L4OffsetMismatch, false},
		{100, "", reason.None, false},
		{100, "udp 10.0.0.1:1 > 10.0.0.2:2 frag later", reason.TenantDefault, false},
		{500, "tcp 10.0.0.1:40000 > 10.0.0.2:22 syn", reason.TenantDefault, false},
		{500, "tcp 10.0.0.1:40000 > 10.0.0.2:22 ack", reason.TenantDefault, false},
		{500, "tcp 10.0.0.2:80 > 10.0.0.1:40000 ack", reason.StateInvalid, false},
		{500, "udp 10.0.0.1:1 > 10.0.0.2:2 frag later", reason.RuleDrop, false},
		{100, "from 192.0.2.9", reason.EndpointUnknown, false},
		{100, "tcp 10.0.0.1:40000 > 10.0.0.2:22 syn", reason.TenantDefault, true},
		{100, "tcp 10.0.0.1:40000 > 10.0.0.2:23 syn", reason.RuleReject, true},
		{0x12345678, "tcp 10.0.0.1:40000 > 10.0.0.2:443 syn", reason.ContextUnknown, true},
		{100, "tcp 10.0.0.1:40000 > 10.0.0.2:22 syn from 192.0.2.9", reason.EndpointUnknown, true},
		{300, "tcp 10.0.0.1:40000 > 10.0.0.2:443 syn from 10.47.9.9", reason.TenantEndpoint, true},
		{300, "tcp 10.0.0.6:40000 > 10.0.0.2:443 syn from 10.47.1.2", reason.BindingLearned, true},
		{100, "tcp 10.0.0.1:40000 > 10.0.0.2:443 ack", reason.StateInvalid, true},
		{500, "tcp 10.0.0.1:40000 > 10.0.0.2:80 ack", reason.StateInvalid, false},
		{500, "tcp 10.0.0.1:40000 > 10.0.0.2:80 syn from 10.47.9.9", reason.TenantEndpoint, false},
		{300, "tcp 10.0.0.1:40000 > 10.0.0.2:22 syn", reason.TenantDefault, false},
		{300, "tcp 10.0.0.5:40000 > 10.0.0.2:22 syn from 10.47.9.9", reason.TenantEndpoint, false},
	}
	normal, other, large := load(t, rules), load(t, otherRules), load(t, rules+strings.Repeat("#\n", maxSource/2))
	other, _ = other.WithTemporary([]policy.Temporary{{Name: "t1", Action: policy.Drop, Pattern: "tcp any > any:22", Expires: 1 << 40}})
	for _, tt := range cases {
		p, what := normal, ""
		switch {
		case tt.large:
			p, what = large, "a large file: "
		case tt.id == 500:
			p, what = other, "other rules: "
		}
		r := Find(p, asked(t, tt.id, tt.packet, tt.why))
		fmt.Fprintf(&got, "## %s%d: %s: %s\n%s", what, tt.id, tt.packet, tt.why, r.Text)
		if r.Place != "" {
			fmt.Fprintf(&got, "-> %s\n", r.Place)
		}
		fmt.Fprintf(&got, "%s.\n", r.Why)
		if r.Tried {
			fmt.Fprintln(&got, "tried out")
		}
		fmt.Fprintln(&got)
	}
	const path = "testdata/remedies.txt"
	if *update {
		if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	everyMessageIsIn(t, got.String()+untried(t))
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got.String(), "\n")); diff != "" {
		t.Errorf("-want +got (-update writes it):\n%s", diff)
	}
}

// everyMessageIsIn looks whether somebody can have read each of the sentences.
func everyMessageIsIn(t *testing.T, shown string) {
	t.Helper()
	paths, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		found, err := messages.In(path, regexp.MustCompile(`[a-z] .*[a-z] `))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range found {
			seen++
			switch m.Text {
			case ". It may not be enough: the frame does not pass with it alone", "rules cannot name such a frame by itself":
				continue // what is known to lead there was taken care of
			}
			if !m.Pattern().MatchString(shown) {
				t.Errorf("%s: nothing shows %q", m.At, m.Text)
			}
		}
	}
	if seen < 30 {
		t.Errorf("only %d messages", seen)
	}
}

// untried is what is said of a change that cannot be tried out any more: a file that the
// rules name has gone.
func untried(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	list := filepath.Join(dir, "list.txt")
	if err := os.WriteFile(list, []byte("10.0.0.9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, diagnostics := policy.Load(filepath.Join(dir, "rules.hcl"), []byte(rules+"address_group \"listed\" {\n  addresses_from = \"list.txt\"\n}\n"))
	if p == nil {
		t.Fatal(diagnostics)
	}
	if err := os.Remove(list); err != nil {
		t.Fatal(err)
	}
	r := Find(p, asked(t, 100, "tcp 10.0.0.1:40000 > 10.0.0.2:22 syn", reason.TenantDefault))
	if r.Tried || r.Text == "" {
		t.Errorf("got %+v", r)
	}
	return r.Why
}
