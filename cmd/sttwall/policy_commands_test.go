package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2/hclwrite"
)

const smallRules = `settings {
  endpoints = ["any"]
}
tenant "acme" {
  context_ids = [100]
  rule "no-telnet" {
    action   = "drop"
    services = ["tcp/23"]
  }
  rule "web" {
    action   = "accept"
    services = ["tcp/443"]
  }
}
`

func rulesFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rules.hcl")
	if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestExplainShowsEveryRuleThatWasTried(t *testing.T) {
	file := rulesFile(t, smallRules)
	for _, tt := range []struct {
		packet string
		want   string
	}{
		{"tcp 10.0.0.1:1 > 10.0.0.2:443 syn", "context ID 0x64 is tenant acme (context_ids 0x64)\n" +
			"  FILE:6 acme/no-telnet: no: services = [\"tcp/23\"], but the packet is tcp/443 from port 1, flags syn\n" +
			"  FILE:10 acme/web: matches\n" +
			"accept by acme/web\n"},
		{"tcp 10.0.0.1:1 > 10.0.0.2:23 syn", "context ID 0x64 is tenant acme (context_ids 0x64)\n" +
			"  FILE:6 acme/no-telnet: matches\n" +
			"drop by acme/no-telnet: rule_drop\n"},
		{"tcp 10.0.0.1:1 > 10.0.0.2:443 ack", "context ID 0x64 is tenant acme (context_ids 0x64)\n" +
			"  FILE:6 acme/no-telnet: no: services = [\"tcp/23\"], but the packet is tcp/443 from port 1, flags ack\n" +
			"  FILE:10 acme/web: matches\n" +
			"  the packet belongs to no flow and cannot begin one: state_invalid\n" +
			"drop: state_invalid\n"},
		{"arp request 10.0.0.1 > 10.0.0.2", "context ID 0x64 is tenant acme (context_ids 0x64)\n" +
			"  neighbour discovery passes (neighbor_discovery = \"pass\")\n" +
			"accept\n"},
	} {
		status, out, stderr := sttwall("explain", "--rules", file, "--context", "0x64", tt.packet)
		if want := strings.ReplaceAll(tt.want, "FILE", file); status != statusFine || out != want {
			t.Errorf("status %d, %s\n%s\nwant\n%s", status, stderr, out, want)
		}
	}
	status, out, _ := sttwall("explain", "--rules", file, "--context", "7", "arp request 10.0.0.1 > 10.0.0.2", "--json")
	if status != statusFine || !strings.Contains(out, `"tenant": "no tenant claims context ID 0x7"`) || !strings.Contains(out, `"reason": "context_unknown"`) {
		t.Errorf("status %d\n%s", status, out)
	}
}

func TestExplainShowsDeclaredBindings(t *testing.T) {
	file := rulesFile(t, strings.Replace(smallRules, "context_ids = [100]", `context_ids = [100]
  anti_spoof {
    binding "db1" {
      endpoints = ["10.47.1.1"]
      addresses = ["10.0.0.1"]
    }
  }`, 1))
	const packet = "tcp 10.0.0.1:1 > 10.0.0.2:443 syn from 10.47.1.2"
	status, out, stderr := sttwall("explain", "--rules", file, "--context", "100", packet)
	want := "context ID 0x64 is tenant acme (context_ids 0x64)\n" +
		"  inner address 10.0.0.1 is declared for 10.47.1.1 (binding db1), but the packet comes from 10.47.1.2: binding_declared\n" +
		"  what the packet claims is declared for others: binding_declared\n" +
		"drop: binding_declared\n"
	if status != statusFine || out != want {
		t.Errorf("status %d, %s\n%s\nwant\n%s", status, stderr, out, want)
	}
	_, out, _ = sttwall("explain", "--rules", file, "--context", "100", packet, "--json")
	if !strings.Contains(out, `"inner address 10.0.0.1 is declared for 10.47.1.1 (binding db1), but`) || !strings.Contains(out, `"reason": "binding_declared"`) {
		t.Error(out)
	}
}

func TestCheckRunsTheTestsOfAFile(t *testing.T) {
	file := rulesFile(t, smallRules+`test "web" {
  context_id = 100
  packet     = "tcp 10.0.0.1:1 > 10.0.0.2:443 syn"
  expect     = "accept"
}
test "telnet" {
  context_id = 100
  packet     = "tcp 10.0.0.1:1 > 10.0.0.2:23 syn"
  expect     = "accept"
}
`)
	status, out, _ := sttwall("check", file)
	if status != statusRefused || !strings.Contains(out, file+`:22: test "telnet": expected accept, got drop by acme/no-telnet because of rule_drop`) ||
		!strings.Contains(out, "1 of 2 tests failed") {
		t.Errorf("status %d\n%s", status, out)
	}
}

func TestFmtChangesWhiteSpaceAlone(t *testing.T) {
	file := rulesFile(t, strings.ReplaceAll(smallRules, "  ", " "))
	if status, out, _ := sttwall("fmt", "--check", file); status != statusRefused || out != file+"\n" {
		t.Errorf("--check: status %d, %s", status, out)
	}
	if status, out, _ := sttwall("fmt", file); status != statusFine || out != file+"\n" {
		t.Errorf("status %d, %s", status, out)
	}
	got, err := os.ReadFile(file)
	if err != nil || string(got) != smallRules {
		t.Errorf("%v\n%s", err, got)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if status, out, _ := sttwall("fmt", file); status != statusFine || out != "" {
		t.Errorf("again: status %d, %s", status, out)
	}
	link := filepath.Join(t.TempDir(), "link.hcl")
	if err := errors.Join(os.WriteFile(file, []byte(strings.ReplaceAll(smallRules, "  ", " ")), 0o640), os.Symlink(file, link)); err != nil {
		t.Fatal(err)
	}
	status, out, _ := sttwall("fmt", link)
	got, err = os.ReadFile(file)
	info, lost := os.Lstat(link)
	if err = errors.Join(err, lost); err != nil || status != statusFine || out != link+"\n" || string(got) != smallRules || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("through a link: status %d, %v, %v\n%s", status, err, info, got)
	}
	broken := rulesFile(t, "tenant {")
	if status, out, _ := sttwall("fmt", broken); status != statusRefused || out != "" {
		t.Errorf("a broken file: status %d, %s", status, out)
	}
}

func TestFmtOfStandardInput(t *testing.T) {
	for _, tt := range []struct {
		args     []string
		in       string
		status   int
		out, err string
	}{
		{[]string{"fmt", "-"}, strings.ReplaceAll(smallRules, "  ", " "), statusFine, smallRules, ""},
		{[]string{"fmt", "--check", "-"}, smallRules, statusFine, "", ""},
		{[]string{"fmt", "--check", "-"}, strings.ReplaceAll(smallRules, "  ", " "), statusRefused, "", ""},
		{[]string{"fmt", "-"}, "tenant {", statusRefused, "", "stdin:1,"},
	} {
		var out, stderr bytes.Buffer
		status := execute(t.Context(), tt.args, streams{strings.NewReader(tt.in), &out, &stderr})
		if status != tt.status || out.String() != tt.out || tt.err == "" && stderr.Len() > 0 || !strings.Contains(stderr.String(), tt.err) {
			t.Errorf("%v: status %d\n%s%s", tt.args, status, out.String(), stderr.String())
		}
	}
}

func TestFmtChangesNothingTheSecondTime(t *testing.T) {
	files, err := filepath.Glob("../../testdata/rules/*.hcl")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range append(files, "../../rules.example.hcl") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		once := hclwrite.Format(text)
		if twice := hclwrite.Format(once); !bytes.Equal(once, twice) {
			t.Errorf("%s changes again", file)
		}
	}
}

func TestCheckNamesWhatIsOdd(t *testing.T) {
	file := rulesFile(t, smallRules+`service "spare" {
  protocol = "udp"
}
tenant "globex" {
  context_ids = [200]
  rule "all" {
    action = "accept"
  }
  rule "web" {
    action   = "drop"
    services = ["tcp/80"]
  }
}
`)
	want := []string{file + ":15: service.spare is used by no rule", "globex/web", "globex/all accepts every IP packet"}
	for _, tt := range []struct {
		args   []string
		status int
	}{{[]string{"check", file}, statusFine}, {[]string{"check", "--strict", file}, statusRefused}} {
		status, out, stderr := sttwall(tt.args...)
		if status != tt.status {
			t.Errorf("%v: status %d, %s", tt.args, status, stderr)
		}
		for _, w := range want {
			if !strings.Contains(out, w) {
				t.Errorf("%v: no %q in\n%s", tt.args, w, out)
			}
		}
	}
}

func TestCheckAgainstShowsWhatChanges(t *testing.T) {
	old, next := rulesFile(t, smallRules), rulesFile(t, strings.Replace(smallRules, "tcp/443", "tcp/8443", 1))
	status, out, stderr := sttwall("check", "--against", old, next)
	for _, want := range []string{"port 443", "port 8443", "accept by acme/web", "for example: context 0x64: tcp "} {
		if !strings.Contains(out, want) {
			t.Errorf("status %d, %s: no %q in\n%s", status, stderr, want, out)
		}
	}
	if status, out, _ := sttwall("check", "--against", old, old); status != statusFine || !strings.Contains(out, "no packet is decided otherwise") {
		t.Errorf("against itself: status %d\n%s", status, out)
	}
	if status, _, _ := sttwall("check", "--against", old+".none", next); status != statusRefused {
		t.Errorf("against nothing: status %d", status)
	}
}

// Outer endpoints that are not named are taken to be right; one that is named and
// may not send ends it.
func TestExplainTakesTheEndpointsThatMayCarryAPacket(t *testing.T) {
	const example = "../../rules.example.hcl"
	for _, tt := range []struct{ packet, want string }{
		{"tcp 10.1.9.9:40000 > 10.1.0.10:443 syn", "accept by acme/web\n"}, // as the file itself says
		{"tcp 10.1.16.5:40000 > 10.1.0.10:443 syn", "accept by acme/web\n"},
		{"tcp 10.1.9.9:40000 > 10.1.0.10:443 syn from 10.47.99.1", "drop: tenant_endpoint\n"},
		{"tcp 10.1.9.9:40000 > 10.1.0.10:443 syn from 192.0.2.1",
			"the outer source 192.0.2.1 is not in settings.endpoints, so that no tenant is looked for\ndrop: endpoint_unknown\n"},
	} {
		if status, out, stderr := sttwall("explain", "--rules", example, "--context", "100", tt.packet); status != statusFine || !strings.HasSuffix(out, tt.want) {
			t.Errorf("%s: status %d, %s\n%s", tt.packet, status, stderr, out)
		}
	}
	// A tenant of whose endpoints none may send.
	file := filepath.Join(t.TempDir(), "rules.hcl")
	text := "settings {\n endpoints = [\"10.47.0.0/16\"]\n}\ntenant \"t\" {\n context_ids = [1]\n endpoints = [\"10.48.0.1\"]\n default_action = \"accept\"\n}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, out, _ := sttwall("explain", "--rules", file, "--context", "1", "udp 10.0.0.1 > 10.0.0.2:5"); !strings.HasSuffix(out, "drop: endpoint_unknown\n") {
		t.Errorf("%s", out)
	}
	const mixed = "tcp 10.1.9.9:40000 > 10.1.0.10:443 syn from 10.47.0.1 to 2001:db8:47::1"
	if status, _, stderr := sttwall("explain", "--rules", example, "--context", "100", mixed); status != statusUsage || !strings.Contains(stderr, "want two IPv4 or two IPv6 addresses") {
		t.Errorf("status %d, %s", status, stderr)
	}
}

func TestCheckNamesWhatItDoesNotCompare(t *testing.T) {
	old := rulesFile(t, smallRules)
	for _, tt := range []struct{ name, from, to, want string }{
		{"nothing", "", "", "no packet is decided otherwise\n"},
		{"settings", "settings {", "settings {\n  tcp_loose = true\n  timeouts {\n    udp = \"40s\"\n  }",
			"no packet is decided otherwise by rules and defaults\nchanged too, and what that does to packets is not looked for: settings.timeouts, tcp_loose of tenant acme\n"},
		{"a tenant", "context_ids = [100]", "context_ids = [100]\n  endpoints = [\"10.47.0.0/16\"]\n  pairing = \"tenant\"\n  limits {\n    flows = 9\n  }\n  anti_spoof {\n  }",
			"is not looked for: endpoints of tenant acme, pairing of tenant acme, limits of tenant acme, anti_spoof of tenant acme\n"},
	} {
		status, out, stderr := sttwall("check", "--against", old, rulesFile(t, strings.Replace(smallRules, tt.from, tt.to, 1)))
		if status != statusFine || !strings.Contains(out, tt.want) {
			t.Errorf("%s: status %d, %s\n%s", tt.name, status, stderr, out)
		}
	}
}
