package main

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sttwall/describe"
	"sttwall/internal/lab"
	"sttwall/stt"
)

const auditRules = `settings {
  endpoints = ["10.47.0.0/16"]
}
service "web" {
  protocol = "tcp"
  ports    = [80]
}
tenant "acme" {
  context_ids = [100]
  mode        = "audit"
  rule "ping" {
    action   = "accept"
    services = ["icmp/echo-request"]
  }
  rule "web" {
    action      = "accept"
    destination = ["10.99.0.1"]
    services    = [service.web]
  }
}
`

const httpCapture = "../../testdata/pcaps/off-http.pcap"

// paste puts what is suggested for one tenant into its block, which is the last
// of the file, and the rest behind it.
func paste(t *testing.T, rules, text string) string {
	t.Helper()
	front, block, ok := strings.Cut(text, "# Paste these rules at the end of the block of tenant \"acme\".\n")
	if !ok {
		t.Fatalf("nothing for acme in\n%s", text)
	}
	block, rest, _ := strings.Cut(block, "tenant ")
	if rest != "" {
		rest = "tenant " + rest
	}
	return strings.TrimSuffix(rules, "}\n") + block + "}\n" + front + rest
}

// What an operator does: audit, suggest, paste, look at what it means, enforce.
func TestWhatIsSuggestedForACaptureLetsItPassAndNothingElse(t *testing.T) {
	old := rulesFile(t, auditRules)
	status, text, notes := sttwall("suggest", "--rules", old, httpCapture)
	if status != statusFine || !strings.Contains(notes, "suggested rules: 2\n") || !strings.Contains(notes, "frames: 84, in 146 packets") {
		t.Fatalf("status %d\n%s%s", status, text, notes)
	}
	for _, want := range []string{"services    = [service.web]", `tenant "context-0x0102030405060708" {`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	next := rulesFile(t, strings.Replace(paste(t, auditRules, text), "  mode        = \"audit\"\n", "", 1))
	if status, out, stderr := sttwall("check", "--strict", next); status != statusFine || stderr != "" {
		t.Errorf("check: status %d\n%s%s", status, out, stderr)
	}
	if status, out, stderr := sttwall("replay", "--rules", next, httpCapture); status != statusFine || !strings.Contains(out, "84 accepted (0 encoded anew), 0 dropped") {
		t.Errorf("replay: status %d\n%s%s", status, out, stderr)
	}

	// Against the same rules without audit, only what the capture shows is new,
	// and what hosts of a tenant that was not there need to find each other.
	enforced := rulesFile(t, strings.Replace(auditRules, "  mode        = \"audit\"\n", "", 1))
	status, out, _ := sttwall("check", "--against", enforced, next)
	changes := strings.Count(out, "for example: ")
	if status != statusFine || changes != 3 || strings.Count(out, "for example: context 0x64: tcp 192.168.100.1:") != 1 ||
		strings.Count(out, "for example: context 0x102030405060708: tcp [fd00:77::1]:") != 1 ||
		!strings.Contains(out, "accept by neighbour discovery") {
		t.Errorf("check --against: status %d, %d changes\n%s", status, changes, out)
	}
	if status, text, notes := sttwall("suggest", "--rules", next, httpCapture); status != statusFine || text != "# Nothing was seen that needs a rule.\n" || !strings.Contains(notes, "suggested rules: 0\n") {
		t.Errorf("a second time: status %d\n%s%s", status, text, notes)
	}
}

func TestSuggestWithoutRulesWritesAWholeFile(t *testing.T) {
	captures, err := filepath.Glob("../../testdata/pcaps/*.pcap")
	if err != nil || len(captures) < 10 {
		t.Fatalf("%d captures, %v", len(captures), err)
	}
	status, text, notes := sttwall(append([]string{"suggest"}, captures...)...)
	if status != statusFine {
		t.Fatalf("status %d\n%s", status, notes)
	}
	file := rulesFile(t, text)
	if status, out, stderr := sttwall("check", "--strict", file); status != statusFine || stderr != "" {
		t.Errorf("status %d\n%s%s\n%s", status, out, stderr, text)
	}
	if status, out, _ := sttwall("fmt", "--check", file); status != statusFine {
		t.Errorf("fmt would change it: %s", out)
	}
}

func TestSuggestSaysWhatItLeavesOut(t *testing.T) {
	status, text, notes := sttwall("suggest", "--tenant", "context-200", "../../testdata/pcaps/off-tcp-short-rst.pcap")
	if want := "flows that get no rule: 3"; !strings.Contains(notes, want) {
		t.Errorf("no %q in\n%s", want, notes)
	}
	if _, _, notes := sttwall("suggest", "../../testdata/pcaps/off-tcp6-bulk.pcap"); !strings.Contains(notes, "no further rule lets pass: 25: tcp_reset: ") {
		t.Errorf("nothing of RSTs in\n%s", notes)
	}
	if status != statusFine || !strings.Contains(text, "# not suggested: 192.168.200.1 > 192.168.200.2: tcp/22, tcp/23, tcp/443, never answered\n") {
		t.Errorf("status %d\n%s", status, text)
	}
}

func TestSuggestOfACaptureThatBreaksOffTellsAndSuggests(t *testing.T) {
	whole, err := os.ReadFile(httpCapture)
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(t.TempDir(), "cut.pcap")
	if err := os.WriteFile(cut, whole[:len(whole)-10], 0o600); err != nil {
		t.Fatal(err)
	}
	status, text, notes := sttwall("suggest", cut)
	if status != statusRefused || !strings.Contains(text, `rule "http"`) || !strings.Contains(notes, "cut.pcap") {
		t.Errorf("status %d\n%s%s", status, text, notes)
	}
	if status, text, notes := sttwall("suggest", cut+".none"); status != statusRefused || text != "" || !strings.Contains(notes, "cut.pcap.none") {
		t.Errorf("no file: status %d\n%s%s", status, text, notes)
	}
}

// A question and its answer, inside the tunnel, from this host to itself.
func TestWhatAuditModeLetsPassIsSuggestedByARunningFirewall(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	fw := startRules(t, rulesFile(t, "settings {\n  endpoints = [\"127.0.0.1\"]\n}\ntenant \"trial\" {\n  context_ids = [200]\n  mode        = \"audit\"\n}\n"), "--queues", "2")
	defer fw.stop(t, syscall.SIGTERM)
	ask := func(args ...string) (status int, out, stderr string) {
		return sttwall(append([]string{"suggest", "--running", "--control", fw.socket}, args...)...)
	}
	if status, out, notes := ask(); status != statusFine || out != "# Nothing was seen that needs a rule.\n" || !strings.HasSuffix(notes, ": 0\nsuggested rules: 0\n") {
		t.Fatalf("at first: status %d\n%s%s", status, out, notes)
	}
	wire, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(wire)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	lo.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(wire, unix.SIOCSIFFLAGS, lo); err != nil { // of the lab's own namespace
		t.Fatal(err)
	}
	loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	for i, text := range []string{"udp 10.0.0.1:40000 > 10.0.0.2:53", "udp 10.0.0.2:53 > 10.0.0.1:40000"} {
		p, err := describe.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		frame := append(stt.AppendFrameHeader(nil, &stt.FrameHeader{ContextID: 200, Flags: stt.FlagChecksumVerified}), p.Data...)
		path := stt.Path{Src: loopback, Dst: loopback, SrcPort: 40000, DstPort: stt.Port, TTL: 64, DontFragment: true}
		packet := stt.AppendSegment(nil, &path, &stt.Piece{FrameID: uint32(i + 1), FrameLength: len(frame), Payload: frame})
		if err := unix.Sendto(wire, packet, 0, &unix.SockaddrInet4{Addr: loopback.As4()}); err != nil {
			t.Fatal(err)
		}
	}
	const want = `# Paste these rules at the end of the block of tenant "trial".

# Seen: 1 source, 1 destination.
rule "dns" {
  action      = "accept"
  source      = ["10.0.0.1"]
  destination = ["10.0.0.2"]
  services    = ["dns"]
}
`
	var status int
	var out, notes string
	for deadline := time.Now().Add(sayPatience); out != want && time.Now().Before(deadline); {
		status, out, notes = ask("--tenant", "trial", "--exact")
	}
	if status != statusFine || out != want || !strings.HasSuffix(notes, ": 1\nsuggested rules: 1\n") {
		t.Errorf("status %d\n%s%s", status, out, notes)
	}
	if status, _, notes := ask("--tenant", "nobody"); status != statusRefused || !strings.Contains(notes, `there is no tenant "nobody"`) {
		t.Errorf("of nobody: status %d\n%s", status, notes)
	}
}

func TestTheSuggestionInTheDocumentationIsWhatTheCommandWrites(t *testing.T) {
	text, err := os.ReadFile("../../docs/suggest.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "\n    sttwall suggest ")
	line, rest, _ := strings.Cut(rest, "\n")
	_, rest, block := strings.Cut(rest, "```hcl\n")
	want, _, end := strings.Cut(rest, "```")
	if !found || !block || !end {
		t.Fatal("docs/suggest.md has no example")
	}
	args := []string{"suggest"}
	for _, capture := range strings.Fields(line) {
		args = append(args, "../../"+capture)
	}
	if status, out, notes := sttwall(args...); status != statusFine || out != want {
		t.Errorf("status %d, %s\n%s\nwant\n%s", status, notes, out, want)
	}
}

// Neighbour discovery passes without a rule, but not without a tenant.
func TestWhatIsSuggestedLetsNeighbourDiscoveryPass(t *testing.T) {
	const capture = "../../testdata/pcaps/off-arp-ping4.pcap"
	for _, layout := range []string{"plain", "ovn"} {
		status, text, notes := sttwall("suggest", "--layout", layout, capture)
		if status != statusFine {
			t.Fatalf("status %d, %s", status, notes)
		}
		file := rulesFile(t, text)
		if status, out, stderr := sttwall("check", "--strict", file); layout == "plain" && status != statusFine {
			t.Errorf("check: status %d\n%s%s\n%s", status, out, stderr, text)
		}
		_, out, _ := sttwall("replay", "--rules", file, capture)
		if want := map[string]string{"plain": "36 accepted (4 encoded anew), 0 dropped", "ovn": "28 accepted (4 encoded anew), 8 dropped"}[layout]; !strings.Contains(out, want) {
			t.Errorf("%s: want %s\n%s\n%s", layout, want, text, out)
		}
	}
	status, text, _ := sttwall("suggest", "--tenant", "context-500", capture)
	const want = `tenant "context-500" {
  context_ids    = [500]
  default_action = "drop"

  # ARP and neighbour discovery were seen: they need a tenant, and no rule.
}
`
	if status != statusFine || !strings.HasSuffix(text, want) {
		t.Errorf("status %d\n%s", status, text)
	}
}
