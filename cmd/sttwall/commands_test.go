package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestCheckNamesFileLineColumnAndWhatWasExpected(t *testing.T) {
	files, err := filepath.Glob("../../testdata/rules/broken/*.hcl")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d broken rules files, %v; want 20 at least", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			status, out, stderr := sttwall("check", file)
			if status != statusRefused || out != "" {
				t.Errorf("got status %d, %q", status, out)
			}
			place := regexp.MustCompile(regexp.QuoteMeta(file) + `:\d+,\d+(-[\d,]+)?: `)
			if !place.MatchString(stderr) {
				t.Errorf("no file, line and column:\n%s", stderr)
			}
		})
	}
}

func TestCheckGoesOnBehindABrokenFile(t *testing.T) {
	status, out, stderr := sttwall("check", "../../testdata/rules/broken/action-allow.hcl", "../../rules.example.hcl")
	if status != statusRefused || !strings.Contains(out, "rules.example.hcl: fine: ") || stderr == "" {
		t.Errorf("got status %d\n%s\n%s", status, out, stderr)
	}
}

func TestTheExampleIsFineWithoutAWarning(t *testing.T) {
	if status, out, stderr := sttwall("check", "../../rules.example.hcl"); status != statusFine || stderr != "" {
		t.Errorf("got status %d\n%s\n%s", status, out, stderr)
	}
}

func TestCheckWarnsOfAMissingListOfEndpoints(t *testing.T) {
	file := filepath.Join(t.TempDir(), "open.hcl")
	if err := os.WriteFile(file, []byte("tenant \"a\" {\n  context_ids = [1]\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, _, stderr := sttwall("check", file); status != statusFine || !strings.Contains(stderr, "warning: Any host may send STT") {
		t.Errorf("got status %d\n%s", status, stderr)
	}
}

func TestNFTPrintsTheTableOfTheRules(t *testing.T) {
	for _, test := range []struct {
		args []string
		want []string
	}{
		{nil, []string{"table inet sttwall", "7471", "notrack", "10.47."}},
		{[]string{"--hook", "output"}, []string{"type filter hook output priority raw + 1"}},
		{[]string{"--hook", "bridge"}, []string{"type filter hook prerouting priority raw + 1", "table bridge sttwall", "sysctl -w net.bridge.bridge-nf-filter-vlan-tagged=1"}},
		{[]string{"--queue", "5", "--queues", "1", "--fail-open=absent"}, []string{"bypass"}},
		{[]string{"--iptables", "4"}, []string{"*raw", "NFQUEUE", "COMMIT"}},
		{[]string{"--iptables", "6"}, []string{"*raw", "NFQUEUE", "COMMIT"}},
	} {
		status, out, stderr := sttwall(append([]string{"nft", "--rules", "../../rules.example.hcl"}, test.args...)...)
		if status != statusFine {
			t.Errorf("%v: status %d, %s", test.args, status, stderr)
		}
		for _, w := range test.want {
			if !strings.Contains(out, w) {
				t.Errorf("%v: no %q in\n%s", test.args, w, out)
			}
		}
	}
}

func TestMistakesOnTheCommandLineHaveStatus2(t *testing.T) {
	for _, args := range [][]string{
		{"probe"}, {"probe", "10.0.0.2"}, {"probe", "nobody", "--context", "1"}, {"probe", "10.0.0.2", "--context", "x"}, {"probe", "10.0.0.2", "--context", "1", "--count", "0"},
		{"probe", "10.0.0.2", "--context", "1", "--interval", "1us"}, {"probe", "10.0.0.2", "--context", "1", "--tci", "65536"}, {"endpoint", "--underlay", "x", "--local", "10.0.0.1", "--remote", "10.0.0.2", "--answer-probes", "x"},
		{"nonsense"}, {"check"}, {"fmt"}, {"explain"}, {"explain", "--rules", acceptAll, "--context", "x", "arp request 10.0.0.1 > 10.0.0.2"},
		{"explain", "--rules", acceptAll, "--context", "1", "nonsense"}, {"explain", "--rules", acceptAll, "--pcap", "x"}, {"explain", "--rules", acceptAll, "--frame", "1"},
		{"explain", "--rules", acceptAll, "--pcap", "-", "--frame", "1"}, {"explain", "--rules", acceptAll, "--pcap", "x", "--frame", "1", "more"}, {"explain", "--pcap", "x", "--frame", "1"},
		{"explain", "--rules", acceptAll, "--pcap", "x", "--frame", "1", "--checksums", "x"}, {"explain", "--rules", acceptAll, "--context", "1", "--at", "noon", "arp request 10.0.0.1 > 10.0.0.2"}, {"explain", "--rules", acceptAll, "--context", "1", "--at", "2300-01-01T00:00:00Z", "arp request 10.0.0.1 > 10.0.0.2"}, {"--nonsense"}, {"nft"}, {"nft", "--rules", acceptAll, "--iptables", "5"},
		{"nft", "--remove", "--rules", acceptAll}, {"nft", "--boot", "--queues", "2"}, {"nft", "--boot", "--fail-open", "absent"}, {"nft", "--boot", "more"}, {"nft", "--boot", "more", "--", "--hook=output"}, {"nft", "--rules", acceptAll, "--", "--hook=output"},
		{"nft", "--boot", "--hook=output", "--", "--hook=output"}, {"nft", "--boot", "--other-tunnels=pass", "--"}, {"demo", "more"}, {"version", "more"}, {"replay"}, {"suggest"}, {"suggest", "--layout", "x", "y.pcap"}, {"suggest", "--max-rules", "0", "y.pcap"}, {"suggest", "--checksums", "x", "y.pcap"},
		{"suggest", "--running", "x"}, {"suggest", "--running", "--rules", "x"}, {"suggest", "--running", "--layout", "ovn"}, {"suggest", "--running", "--max-rules", "-1"},
		{"endpoint"}, {"endpoint", "--local", "10.0.0.1", "--remote", "x"},
		{"endpoint", "--local", "10.0.0.1", "--remote", "10.0.0.2", "--port", "name=x"},
		{"endpoint", "--local", "10.0.0.1", "--segmentation", "y"},
		{"endpoint", "--local", "10.0.0.1", "--sockets", "y"},
		{"endpoint", "--local", "10.0.0.1", "--sockets", "ip", "--segmentation", "gso"},
		{"block"}, {"block", "any > any"}, {"block", "any", ">", "any", "--for", "1h"}, {"allow", "any > any"}, {"unblock"}, {"unblock", "../status"}, {"unblock", ""},
		{"temporary", "more"},
		{"run", "--rules", acceptAll, "--event-log", ""}, {"run", "--rules", acceptAll, "--event-log", "syslog:mail"}, {"run", "--rules", acceptAll, "--event-log", "journald:x"},
		{"run", "--rules", acceptAll, "--event-log", "x", "--event-log", "./x"}, {"run", "--rules", acceptAll, "--event-log", "x", "--event-log-drops", "many"},
		{"run", "--rules", acceptAll, "--event-log", "x", "--event-log-stats", "-1s"},
		{"run", "--rules", acceptAll, "--metrics", "9475"}, {"run", "--rules", acceptAll, "--metrics", "127.0.0.1:http"},
		{"run", "--rules", acceptAll, "--tui", "--control", ""}, {"run", "--rules", acceptAll, "--screen", "flows"}, {"run", "--rules", acceptAll, "--theme", "none"},
		{"run", "--rules", acceptAll, "--tui", "--theme", "pink"}, {"run", "--rules", acceptAll, "--tui", "--filter", "dport:x"},
		{"top", "more"}, {"top", "--theme", "pink"}, {"top", "--screen", "nonsense"}, {"top", "--filter", "tenant:"},
		{"run", "--rules", acceptAll, "--metrics-tenants", "0"}, {"run", "--rules", acceptAll, "--metrics-rules", "1000000"},
	} {
		if status, _, stderr := sttwall(args...); status != statusUsage || !strings.Contains(stderr, "--help'") {
			t.Errorf("%v: status %d, %s", args, status, stderr)
		}
	}
}

func TestHelpVersionAndCompletionAreFine(t *testing.T) {
	for _, args := range [][]string{
		nil, {"--help"}, {"help", "run"}, {"version"}, {"completion", "bash"}, {"completion", "zsh"}, {"completion", "fish"},
		{"run", "--help"}, {"replay", "--help"}, {"check", "--help"}, {"nft", "--help"}, {"demo", "--help"}, {"endpoint", "--help"},
		{"fmt", "--help"}, {"explain", "--help"}, {"block", "--help"}, {"allow", "--help"}, {"unblock", "--help"}, {"temporary", "--help"},
		{"suggest", "--help"}, {"top", "--help"}, {"bench", "--help"},
	} {
		if status, out, stderr := sttwall(args...); status != statusFine || out == "" || stderr != "" {
			t.Errorf("%v: status %d, %q, %s", args, status, out, stderr)
		}
	}
}

// What the program around it was called with is not the command line.
func TestNoArgumentsAreNotThoseOfTheProgram(t *testing.T) {
	was := os.Args
	t.Cleanup(func() { os.Args = was })
	os.Args = []string{"other", "word"}
	if status, out, stderr := sttwall(); status != statusFine || out == "" {
		t.Errorf("status %d, %s", status, stderr)
	}
}

// The README tells newcomers to type these.
func TestTheReadmeShowsRulesThatLoad(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(readme), "## Writing tenant rules")
	_, rest, fenced := strings.Cut(rest, "```hcl\n")
	rules, _, ended := strings.Cut(rest, "```\n")
	if !ok || !fenced || !ended {
		t.Fatal("README.md has no rules in its section on tenant rules")
	}
	file := filepath.Join(t.TempDir(), "readme.hcl")
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, out, stderr := sttwall("check", file); status != statusFine || !strings.Contains(out, "fine: 1 tenant, 1 rule, 0 tests") {
		t.Errorf("status %d\n%s%s", status, out, stderr)
	}
}
