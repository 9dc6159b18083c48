package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	dnsCapture = "../../testdata/pcaps/on-dns.pcap"
	acceptAll  = "../../testdata/rules/accept-all.hcl"
)

// sttwallReplay runs the command line as main does.
func sttwallReplay(stdin []byte, args ...string) (status int, out, err string) {
	var stdout, stderr bytes.Buffer
	status = execute(context.Background(), append([]string{"replay"}, args...), streams{bytes.NewReader(stdin), &stdout, &stderr})
	return status, stdout.String(), stderr.String()
}

func TestReplayShowsFramesAndASummary(t *testing.T) {
	capture, err := os.ReadFile(dnsCapture)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name  string
		stdin []byte
		args  []string
		lines int
		first string
		last  string
	}{
		{"as a table", nil, []string{dnsCapture}, 0, "time (UTC)", ""},
		{"as JSON", nil, []string{"--json", dnsCapture}, 9, `{"event":"frame","time":`, `{"event":"summary",`},
		{"with hashes", nil, []string{"--json", "--hash", dnsCapture, dnsCapture}, 17, `{"event":"frame","time":`, `{"event":"summary","files":2,`},
		{"from stdin", capture, []string{"--json", "-"}, 9, `{"event":"frame","time":`, `{"event":"summary",`},
	} {
		t.Run(test.name, func(t *testing.T) {
			status, out, stderr := sttwallReplay(test.stdin, append([]string{"--rules", acceptAll}, test.args...)...)
			if status != statusFine || stderr != "" {
				t.Fatalf("status %d, %s", status, stderr)
			}
			lines := strings.Split(strings.TrimSpace(out), "\n")
			if !strings.HasPrefix(lines[0], test.first) || !strings.HasPrefix(lines[len(lines)-1], test.last) ||
				test.lines > 0 && len(lines) != test.lines {
				t.Errorf("got %d lines, the last %s", len(lines), lines[len(lines)-1])
			}
			if hashed := strings.Contains(lines[0], "inner_sha256"); hashed != (test.name == "with hashes") {
				t.Errorf("hash: got %t", hashed)
			}
		})
	}
}

func TestReplayWritesWhatLeft(t *testing.T) {
	left := filepath.Join(t.TempDir(), "left.pcapng")
	if status, _, stderr := sttwallReplay(nil, "--rules", acceptAll, "--write", left, dnsCapture); status != statusFine {
		t.Fatalf("status %d, %s", status, stderr)
	}
	// What left is a capture again, and its checksums are finished.
	status, out, stderr := sttwallReplay(nil, "--rules", acceptAll, "--checksums", "require", left)
	if status != statusFine || !strings.Contains(out, "8 frames: 8 accepted") {
		t.Errorf("status %d, %s, %s", status, out, stderr)
	}
}

func TestReplayRefuses(t *testing.T) {
	rules := filepath.Join(t.TempDir(), "wrong.hcl")
	if err := os.WriteFile(rules, []byte("tenant \"a\" {\n  context_ids = [1]\n  colour = 1\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		args   []string
		status int
		want   string
	}{
		{"no rules", []string{dnsCapture}, statusUsage, "sttwall: --rules is missing\nTry 'sttwall replay --help'.\n"},
		{"no capture", []string{"--rules", acceptAll}, statusUsage, "name a capture"},
		{"a flag that is none", []string{"--rule", acceptAll, dnsCapture}, statusUsage, "unknown flag: --rule"},
		{"a word for checksums that is none", []string{"--rules", acceptAll, "--checksums", "some", dnsCapture}, statusUsage, `--checksums: "some": want auto, require or ignore`},
		{"to write where it reads", []string{"--rules", acceptAll, "--write", dnsCapture, dnsCapture}, statusUsage, "--write: " + dnsCapture + " is an input"},
		{"to write to stdout", []string{"--rules", acceptAll, "--write", "-", dnsCapture}, statusUsage, "standard output has the verdicts"},
		{"to write where it cannot", []string{"--rules", acceptAll, "--write", "none/left.pcapng", dnsCapture}, statusRefused, "open none/left.pcapng: no such file or directory"},
		{"a capture that is not there", []string{"--rules", acceptAll, "none.pcap"}, statusRefused, "sttwall: stat none.pcap: no such file or directory\n"},
		{"a capture that is none", []string{"--rules", acceptAll, acceptAll}, statusRefused, acceptAll + ": neither pcap nor pcapng, nor gzip of one"},
		{"rules that are not there", []string{"--rules", "none.hcl", dnsCapture}, statusRefused, "none.hcl"},
		{"rules that do not load", []string{"--rules", rules, dnsCapture}, statusRefused, "wrong.hcl:3,3-9: error"},
	} {
		t.Run(test.name, func(t *testing.T) {
			status, _, stderr := sttwallReplay(nil, test.args...)
			if status != test.status || !strings.Contains(stderr, test.want) {
				t.Errorf("got status %d, %s\nwant %d, %s", status, stderr, test.status, test.want)
			}
		})
	}
}
