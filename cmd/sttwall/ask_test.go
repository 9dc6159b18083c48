package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sttwall/control"
	"sttwall/internal/lab"
)

func TestARunningFirewallIsAsked(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	file := rulesFile(t, smallRules+"tenant \"trial\" {\n  context_ids = [200]\n  mode        = \"audit\"\n}\n")
	fw := startRules(t, file, "--queues", "2")
	defer fw.stop(t, syscall.SIGTERM)
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"explain", []string{"explain", "--context", "0x64", "tcp 10.0.0.1:1 > 10.0.0.2:443 syn"}, "context ID 0x64 is tenant acme (context_ids 0x64)\n" +
			"  taken to come from endpoint 192.0.2.1 and go to 192.0.2.1\n" +
			"  there is no flow; the packet would begin one\n" +
			"  FILE:6 acme/no-telnet: no: services = [\"tcp/23\"], but the packet is tcp/443 from port 1, flags syn\n" +
			"  FILE:10 acme/web: matches\n" +
			"accept by acme/web\n"},
		{"explain in audit mode", []string{"explain", "--running", "--context", "200", "udp 10.0.0.1:1 > 10.0.0.2:2 from 10.47.0.1 to 10.47.0.2"}, "context ID 0xc8 is tenant trial, in audit mode (context_ids 0xc8)\n" +
			"  taken to come from endpoint 10.47.0.1 and go to 10.47.0.2\n" +
			"  there is no flow; the packet would begin one\n" +
			"  default_action of the tenant: drop\n" +
			"accept: audit mode; else drop (tenant_default)\n"},
		{"explain what begins none", []string{"explain", "--context", "100", "tcp 10.0.0.1:1 > 10.0.0.2:443 ack"}, "there is no flow (invalid)\n"},
		{"flows", []string{"flows"}, "TENANT  PROTOCOL  SOURCE  DESTINATION  STATE  RULE  WOULD BE  PACKETS  BYTES  AGE  EXPIRES\n"},
		{"flows as JSON", []string{"flows", "--json", "--tenant", "acme", "--audit"}, ""},
		{"sorted flows", []string{"flows", "--sort", "rate", "--reverse", "--limit", "5"}, "PACKETS  BYTES  BYTES/S  AGE  EXPIRES\n"},
		{"sorted flows as JSON", []string{"flows", "--json", "--sort", "tenant", "--filter", "not tcp"}, ""},
		{"stats", []string{"stats"}, ": 2 tenants, 2 rules\n\nWHAT  "},
		{"stats as JSON", []string{"stats", "--json"}, `"rules_file":"FILE","generation":`},
		{"some rules", []string{"rules", "--filter", "rule:acme/no-* packets:0"}, "LAST HIT\nacme/no-telnet  0 "},
		{"rules that there are not", []string{"rules", "--filter", "tenant:trial"}, "RULE  FRAMES  BYTES  FLOWS  DROPPED  WOULD DROP  LAST HIT\n"},
		{"some tenants", []string{"tenants", "--filter", "text:tri"}, "LAST HIT\ntrial   0 "},
		{"some drops", []string{"drops", "--filter", "reason:rule_drop or packets:<5", "--json"}, ""},
		{"rules", []string{"rules"}, "acme/web        0       0      0      0        0           unused since "},
		{"rules as JSON", []string{"rules", "--json"}, `{"rule":"acme/no-telnet","file":"FILE","line":6,"frames":0,`},
		{"tenants", []string{"tenants"}, "trial   0       0      0          0          0      0        0           unused since "},
		{"drops", []string{"drops"}, "COUNT  BYTES  REASON  WHERE  LAST HIT\n"},
		{"drops as JSON", []string{"drops", "--json"}, ""},
	} {
		status, out, stderr := sttwall(append(tt.args, "--control", fw.socket)...)
		want := strings.ReplaceAll(tt.want, "FILE", file)
		if status != statusFine || stderr != "" || !strings.Contains(out, want) || want == "" && out != "" {
			t.Errorf("%s: status %d, %s\n%s\nwant\n%s", tt.name, status, stderr, out, want)
		}
	}
}

// events follows in this process; a reload is what happens.
func TestEventsFollowUntilInterrupted(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	file := rulesFile(t, smallRules)
	fw := startRules(t, file, "--queues", "1", "--no-nft")
	ctx, interrupt := context.WithCancel(context.Background())
	defer interrupt()
	out := make(lineWriter, 100)
	var stderr bytes.Buffer
	ended := make(chan int, 1)
	go func() {
		ended <- execute(ctx, []string{"events", "-f", "--json", "--control", fw.socket}, streams{strings.NewReader(""), out, &stderr})
	}()
	// Until it follows, it is told nothing.
	first := out.after(func() {
		if status, _, stderr := sttwall("reload", "--control", fw.socket); status != statusFine {
			t.Error(stderr)
		}
	})
	var e control.Event
	if err := json.Unmarshal([]byte(first), &e); err != nil || e.Type != control.EventReload || e.Tenants != 1 || e.Rules != 2 || e.Error != "" {
		t.Errorf("%s: %v", first, err)
	}
	if err := os.WriteFile(file, []byte("tenant {"), 0o640); err != nil {
		t.Fatal(err)
	}
	if status, _, _ := sttwall("reload", "--control", fw.socket); status != statusRefused {
		t.Errorf("a broken file: status %d", status)
	}
	for e.Error == "" {
		if err := json.Unmarshal([]byte(<-out), &e); err != nil || e.Type != control.EventReload {
			t.Fatalf("%+v, %v", e, err)
		}
	}
	interrupt()
	if status := <-ended; status != statusFine || stderr.Len() > 0 {
		t.Errorf("^C: status %d, %s", status, &stderr)
	}
	// Without ^C the end of the firewall is an error.
	go func() {
		ended <- execute(context.Background(), []string{"events", "--control", fw.socket}, streams{strings.NewReader(""), out, &stderr})
	}()
	for len(out) > 0 {
		<-out // of the one that has ended
	}
	if line := out.after(func() { fw.cmd.Process.Signal(syscall.SIGHUP) }); !strings.Contains(line, " reload refused: the rules file does not load") {
		t.Errorf("it says %s", line)
	}
	fw.stop(t, syscall.SIGTERM)
	if status := <-ended; status != statusRefused || !strings.Contains(stderr.String(), "the firewall has stopped") {
		t.Errorf("after the firewall's end: status %d, %s", status, &stderr)
	}
}

// lineWriter is a channel of what is written.
type lineWriter chan string

func (w lineWriter) Write(p []byte) (int, error) {
	select {
	case w <- string(p):
	default: // nobody cares for more
	}
	return len(p), nil
}

// after does something again and again until there is a line.
func (w lineWriter) after(do func()) string {
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for {
		do()
		select {
		case line := <-w:
			return line
		case <-again.C:
		}
	}
}

func TestTheSameSocketForEverybody(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", "/somewhere")
	want := "/run/sttwall/control.sock"
	if os.Geteuid() != 0 {
		want = "/somewhere/sttwall/control.sock"
	}
	if got := defaultSocket(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestMistakesInAskingAreUsageErrors(t *testing.T) {
	nowhere := filepath.Join(t.TempDir(), "control.sock")
	const packet = "arp request 10.0.0.1 > 10.0.0.2"
	for _, tt := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"flows", "acme"}, statusUsage, "unknown command"},
		{[]string{"flows", "--control", ""}, statusUsage, "--control: which socket?"},
		{[]string{"flows", "--sort", "size"}, statusUsage, `--sort "size": want one of rate, bytes`},
		{[]string{"flows", "--reverse"}, statusUsage, "--reverse is for --sort"},
		{[]string{"flows", "--limit", "0"}, statusUsage, "--limit 0: want 1 or more"},
		{[]string{"flows", "--limit", "10001", "--sort", "age"}, statusUsage, "--limit 10001: want at most 10000 with --sort"},
		{[]string{"flows", "--watch=1"}, statusUsage, "want a time from 200ms to 1h0m0s, such as 5s"},
		{[]string{"flows", "--watch", "1"}, statusUsage, `--watch "1": want a time from 200ms to 1h0m0s, such as 5s`},
		{[]string{"drops", "--watch", "1", "2"}, statusUsage, "unknown command"},
		{[]string{"stats", "--watch=100ms"}, statusUsage, "want a time from 200ms to 1h0m0s, such as 5s"},
		{[]string{"stats", "--filter", "tcp"}, statusUsage, "unknown flag: --filter"},
		{[]string{"rules", "--filter", "tenant:acme dport:443"}, statusUsage, "rules have no dport: expected one of tenant, rule, bytes, packets, text\ntenant:acme dport:443\n            ^"},
		{[]string{"tenants", "--filter", "rule:x"}, statusUsage, "tenants have no rule: expected one of tenant"},
		{[]string{"drops", "--filter", "tcp"}, statusUsage, "drops have no proto: expected one of reason"},
		{[]string{"drops", "--filter", "reason:nonsense"}, statusUsage, "reason: expected one that there is"},
		{[]string{"explain", "--context", "acme", packet}, statusUsage, `--context: context ID "acme"`},
		{[]string{"explain", packet}, statusUsage, "--context is missing"},
		{[]string{"explain", "--context", "1", "tcp", "10.0.0.1"}, statusUsage, "2 words: put the packet in quotes"},
		{[]string{"block", "--for", "1h"}, statusUsage, "name a pattern, in quotes"},
		{[]string{"chek", "rules.hcl"}, statusUsage, `unknown command "chek": did you mean check?`},
		{[]string{"explain", "--context", "1", "tcp"}, statusUsage, "packet: column"},
		{[]string{"explain", "--context", "1", "--running", "--rules", "x", packet}, statusUsage, "--running and --rules"},
		{[]string{"explain", "--context", "1", "--at", "2026-12-24T08:00:00Z", packet}, statusUsage, "--at: the running firewall"},
		{[]string{"explain", "--context", "1", packet, "--control", nowhere}, statusRefused, "no sttwall listens on " + nowhere},
		{[]string{"events", "--control", nowhere}, statusRefused, "no sttwall listens on " + nowhere},
		{[]string{"tenants", "--watch", "5s", "--control", nowhere}, statusRefused, "no sttwall listens on " + nowhere},
		{[]string{"rules", "--control", nowhere}, statusRefused, "no sttwall listens on " + nowhere},
	} {
		status, out, stderr := sttwall(tt.args...)
		if status != tt.status || out != "" || !strings.Contains(stderr, tt.want) {
			t.Errorf("%v: status %d, want %d\n%s%s\nwant %s", tt.args, status, tt.status, out, stderr, tt.want)
		}
	}
}

func TestFlowsAndEventsInWords(t *testing.T) {
	port := func(n uint16) *uint16 { return &n }
	kind, code, id := uint8(8), uint8(0), control.ContextID(0x64)
	noon := time.Date(2026, 11, 26, 12, 0, 0, 0, time.Local)
	tcp := control.Inner{Protocol: "tcp", Src: netip.MustParseAddr("10.0.0.1"), SrcPort: port(40000), Dst: netip.MustParseAddr("10.0.0.2"), DstPort: port(443)}
	udp6 := control.Inner{Protocol: "udp", Src: netip.MustParseAddr("2001:db8::1"), SrcPort: port(9), Dst: netip.MustParseAddr("2001:db8::2"), DstPort: port(53)}
	ping := control.Inner{Protocol: "icmp", Src: netip.MustParseAddr("10.0.0.1"), Dst: netip.MustParseAddr("10.0.0.2"), ICMPType: &kind, ICMPCode: &code}
	query := ping
	query.ICMPID = port(77)
	page := control.FlowPage{Time: noon, Flows: []control.Flow{
		{Tenant: "acme", Inner: tcp, State: "established", Rule: "acme/web", Original: control.Traffic{Packets: 3, Bytes: 300}, Reply: control.Traffic{Packets: 2, Bytes: 2000},
			Begun: noon.Add(-65 * time.Second), Expires: noon.Add(24 * time.Hour)},
		{Tenant: "trial", Inner: udp6, State: "unreplied", WouldBe: "drop", Reason: "tenant_default", Begun: noon, Expires: noon.Add(-time.Second)},
		{Tenant: "acme", Inner: query, State: "replied", Rule: "acme/ping", Begun: noon, Expires: noon.Add(time.Second)},
	}}
	var out bytes.Buffer
	if err := new(flowsCommand).write(new(columns), &out, &page, true); err != nil {
		t.Fatal(err)
	}
	const want = `TENANT  PROTOCOL    SOURCE           DESTINATION       STATE        RULE       WOULD BE               PACKETS  BYTES     AGE   EXPIRES
acme    tcp         10.0.0.1:40000   10.0.0.2:443      established  acme/web   -                      3/2      300/2000  1m5s  24h0m0s
trial   udp         [2001:db8::1]:9  [2001:db8::2]:53  unreplied    -          drop (tenant_default)  0/0      0/0       0s    0s
acme    icmp id 77  10.0.0.1         10.0.0.2          replied      acme/ping  -                      0/0      0/0       0s    1s
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &out, want)
	}
	a, b := netip.MustParseAddr("10.47.1.1"), netip.MustParseAddr("10.47.2.1")
	for _, tt := range []struct {
		event control.Event
		want  string
	}{
		{control.Event{Type: "drop", Tenant: "acme", Rule: "acme/no", Reason: "rule_drop", Inner: tcp, From: a, To: b, Bytes: 90},
			"12:00:00.000 drop acme tcp 10.0.0.1:40000 > 10.0.0.2:443 from 10.47.1.1 to 10.47.2.1, 90 bytes by acme/no: rule_drop"},
		{control.Event{Type: "drop", Context: &id, Reason: "context_unknown", Inner: ping, From: a, To: b, Bytes: 90},
			"12:00:00.000 drop context 0x64 icmp 10.0.0.1 > 10.0.0.2 type 8 code 0 from 10.47.1.1 to 10.47.2.1, 90 bytes: context_unknown"},
		{control.Event{Type: "drop", Reason: "segment_overlap", From: a, To: b, Bytes: 90},
			"12:00:00.000 drop from 10.47.1.1 to 10.47.2.1, 90 bytes: segment_overlap"},
		{control.Event{Type: "accept", Tenant: "acme", Rule: "acme/arp", EtherType: "0x0806", From: a, To: b, Bytes: 60},
			"12:00:00.000 accept acme ethertype 0x0806 from 10.47.1.1 to 10.47.2.1, 60 bytes by acme/arp"},
		{control.Event{Type: "lost", Count: 12}, "12:00:00.000 lost 12 events: this reader is too slow"},
		{control.Event{Type: "reload", Tenants: 2, Rules: 5, FlowsEnded: 1}, "12:00:00.000 reload 2 tenants, 5 rules; 1 flow ended"},
	} {
		tt.event.Time = noon
		if got := eventText(&tt.event); got != tt.want {
			t.Errorf("got\n%s\nwant\n%s", got, tt.want)
		}
	}
	l := control.Live{From: a, To: b, State: "reply", Belongs: true, OfFlow: true, Flow: &page.Flows[0]}
	l.Flow.Verdict, l.Flow.From, l.Flow.To = "accept", b, a
	if got, want := liveText(&l), "  taken to come from endpoint 10.47.1.1 and go to 10.47.2.1\n"+
		"  there is a flow: tcp 10.0.0.1:40000 > 10.0.0.2:443, established, accept by acme/web, between endpoints 10.47.2.1 and 10.47.1.1\n"+
		"  the packet belongs to it (reply)\n  the rules, for the first packet of the flow:\n"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
