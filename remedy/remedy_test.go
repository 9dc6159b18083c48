package remedy

import (
	"bytes"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sttwall/describe"
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
	if packet == "" {
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
	return r
}

func TestRemedies(t *testing.T) {
	p := load(t, rules)
	var got bytes.Buffer
	for _, tt := range []struct {
		id     uint64
		packet string
		why    reason.Reason
	}{
		{100, "tcp 10.0.0.1:40000 > 10.0.0.2:22 syn", reason.TenantDefault},
		{100, "tcp [2001:db8::1]:40000 > [2001:db8::2]:8080 syn", reason.TenantDefault},
		{100, "udp 10.0.0.1:40000 > 10.0.0.2:123", reason.TenantDefault},
		{100, "icmp 10.0.0.1 > 10.0.0.2 13", reason.TenantDefault},
		{100, "tcp 10.0.0.1:40000 > 10.0.0.2:23 syn", reason.RuleReject},
		{100, "tcp 10.0.0.1:40000 > 10.0.0.2:445 syn", reason.RuleDrop},
		{100, "udp 10.0.0.1:40000 > 10.0.0.2:7", reason.RuleDrop},
		{100, "tcp 10.0.0.1:40000 > 10.0.0.2:443 syn", reason.TenantDefault},
		{200, "tcp 10.0.0.1:40000 > 10.0.0.2:22 syn", reason.TenantDefault},
		{200, "udp 10.0.0.1:40000 > 10.0.0.2:9", reason.RateLimit},
		{400, "tcp 10.0.0.1:40000 > 10.0.0.2:443 syn", reason.TenantDefault},
		{0x12345678, "tcp 10.0.0.1:40000 > 10.0.0.2:443 syn", reason.ContextUnknown},
		{100, "tcp 10.0.0.1:40000 > 10.0.0.2:22 ack", reason.TenantDefault},
		{100, "tcp 10.0.0.2:22 > 10.0.0.1:40000 syn,ack", reason.TenantDefault},
		{100, "tcp 10.0.0.2:443 > 10.0.0.1:40000 syn,ack", reason.TenantDefault},
		{100, "tcp 10.0.0.2:443 > 10.0.0.1:40000 ack", reason.TenantDefault},
		{100, "tcp 10.0.0.1:40000 > 10.0.0.2:443 ack", reason.StateInvalid},
		{100, "tcp 10.0.0.1:40000 > 10.0.0.2:443 rst", reason.StateInvalid},
		{100, "udp 10.0.0.2:53 > 10.0.0.1:40000", reason.TenantDefault},
		{100, "udp 10.0.0.2:123 > 10.0.0.1:40000", reason.TenantDefault},
		{100, "icmp 10.0.0.2 > 10.0.0.1 echo-reply", reason.TenantDefault},
		{100, "icmp 10.0.0.2 > 10.0.0.1 destination-unreachable about (udp 10.0.0.1:1 > 10.0.0.2:2)", reason.StateInvalid},
		{100, "tcp 10.0.0.1:40000 > 10.0.0.2:443 ack", reason.TCPWindow},
		{100, "tcp 10.0.0.1:40000 > 10.0.0.2:443 syn", reason.TenantFlows},
		{300, "tcp 10.0.0.1:40000 > 10.0.0.2:443 syn from 10.47.9.9", reason.TenantEndpoint},
		{300, "tcp 10.0.0.5:40000 > 10.0.0.2:443 syn from 10.47.1.2", reason.BindingDeclared},
		{300, "tcp 10.0.0.6:40000 > 10.0.0.2:443 syn from 10.47.1.2", reason.BindingLearned},
		{100, "tcp 10.0.0.1:40000 > 10.0.0.2:443 syn from 192.0.2.9", reason.EndpointUnknown},
		{100, "tcp 10.0.0.1:40000 > 10.0.0.2:22 syn from 192.0.2.9", reason.EndpointUnknown},
		{100, "", reason.SegmentOverlap},
		{100, "", reason.EndpointUnknown},
		{100, "tcp 10.0.0.1:40000 > 10.0.0.2:443 syn", reason.L4OffsetMismatch},
		{100, "", reason.None},
	} {
		r := Find(p, asked(t, tt.id, tt.packet, tt.why))
		fmt.Fprintf(&got, "## %d: %s: %s\n%s", tt.id, tt.packet, tt.why, r.Text)
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
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got.String(), "\n")); diff != "" {
		t.Errorf("-want +got (-update writes it):\n%s", diff)
	}
}
