package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"sttwall/internal/benchreport"
	"sttwall/internal/load"
)

// canBench skips where nothing can be measured: BPF is closed to all but root of the
// whole machine, which CI is.
func canBench(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, since BPF is closed to others")
	}
}

// bench runs it. Root in a container may lack a right, but not in CI.
func benchmark(t *testing.T, args ...string) (status int, out, stderr string) {
	t.Helper()
	canBench(t)
	status, out, stderr = sttwall(append([]string{"bench"}, args...)...)
	if strings.Contains(stderr, "needs root of the whole machine") && os.Getenv("CI") == "" {
		t.Skip(stderr)
	}
	return status, out, stderr
}

func TestBenchRefusesWhatItCannotMeasure(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"more"}, "unknown command"},
		{[]string{"--packets", "9000"}, `--packets: packet "9000": not one of 150, 1500, 45, 45-shuffled, gso64k`},
		{[]string{"--packets", ""}, "no kind of packet"},
		{[]string{"--queues", "0"}, "--queues 0: want 1 to 256"},
		{[]string{"--driver", "slow"}, `--driver "slow": want fast or go-nfqueue`},
		{[]string{"--rounds", "0"}, "0 rounds: want 1 to 1000"},
		{[]string{"--flows", "2000000"}, "2000000 flows: want 1 to 1048576"},
		{[]string{"--duration", "1ms"}, "duration 1ms: want 10ms to 1m0s"},
		{[]string{"--rule-count", "0"}, "--rule-count 0: want 1 to 60000"},
		{[]string{"--context", "7"}, "--context: give the --packet too"},
		{[]string{"--rules", "x", "--packet", "udp 10.0.0.1:1 > 10.0.0.2:2"}, "--packet: give its --context too"},
		{[]string{"--context", "7", "--packet", "udp 10.0.0.1:1 > 10.0.0.2:2"}, "--packet: give its --rules too"},
		{[]string{"--svg", "-"}, "--svg: standard output has the table; name a file"},
	} {
		status, out, stderr := sttwall(append([]string{"bench"}, tt.args...)...)
		if status != statusUsage || out != "" || !strings.Contains(stderr, tt.want) {
			t.Errorf("%v: status %d, %q, %s, want %q", tt.args, status, out, stderr, tt.want)
		}
	}
}

func TestBenchCompletesKindsAndDrivers(t *testing.T) {
	for flag, want := range map[string][]string{"--packets": benchPackets, "--driver": {"fast", "go-nfqueue"}} {
		_, out, _ := sttwall("__complete", "bench", flag, "")
		if got := strings.Fields(out); !slices.Equal(got[:min(len(got), len(want))], want) {
			t.Errorf("%s: got %q, want %q", flag, out, want)
		}
	}
	for _, name := range benchPackets {
		if _, err := load.ParsePacket(name); err != nil {
			t.Error(err)
		}
	}
}

func TestBenchTellsAnOrdinaryUserThatItNeedsRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		if status, _, stderr := sttwall("bench"); status != statusRefused || !strings.Contains(stderr, "sttwall: this needs root: ") {
			t.Errorf("status %d, %s", status, stderr)
		}
		return
	}
	cmd := program(t, "ordinary", "bench")
	// The file is root's alone, but open already: /proc/self/exe is not, so a copy.
	exe := filepath.Join(t.TempDir(), "sttwall")
	text, err := os.ReadFile(cmd.Path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(exe, text, 0o755); err != nil {
		t.Fatal(err)
	}
	for dir := filepath.Dir(exe); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd.Path = exe
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
	if status, stderr := output(t, cmd); status != statusRefused || !strings.Contains(stderr, "sttwall: this needs root: ") {
		t.Errorf("status %d, %s", status, stderr)
	}
}

// Root of a user namespace may not use BPF.
func TestBenchTellsRootOfLessThanTheMachine(t *testing.T) {
	cmd := program(t, "inside", "bench")
	cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
	cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
	cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Skipf("no user namespace: %v", err)
	}
	if status := cmd.ProcessState.ExitCode(); status != statusRefused || !strings.Contains(said.String(), "sttwall: this needs root of the whole machine; ") {
		t.Errorf("status %d, %s", status, &said)
	}
}

func TestBenchSaysWhoDropsThePacket(t *testing.T) {
	canBench(t)
	file := filepath.Join(t.TempDir(), "closed.hcl")
	if err := os.WriteFile(file, []byte("settings {\n  endpoints = [\"10.47.0.0/16\"]\n}\ntenant \"a\" {\n  context_ids = [1]\n  rule \"ping\" {\n    action   = \"accept\"\n    services = [\"icmp/echo-request\"]\n  }\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	example := "../../rules.example.hcl"
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"--rules", file}, "no TCP or UDP packet over IPv4, without a VLAN tag, is found that the rules let pass now: name one with --context and --packet"},
		{[]string{"--rules", example, "--context", "100", "--packet", "tcp 10.1.200.7:40000 > 10.1.8.1:9000 syn"}, "its SYN: dropped by acme/guests-stay-out (rule_drop: "},
		{[]string{"--rules", example, "--context", "100", "--packet", "tcp 10.1.8.130:40000 > 10.1.16.5:5432 syn from 10.47.0.3 to 10.47.0.7"}, "the SYN+ACK: "},
		{[]string{"--rules", example, "--context", "100", "--packet", "tcp 10.1.8.130:40000 > 10.1.16.5:5432 syn from 10.48.0.3"}, "tunnel endpoint 10.48.0.3 is not in settings.endpoints"},
		{[]string{"--rules", example, "--context", "100", "--packet", "icmp 10.1.8.130 > 10.1.16.5 echo-request"}, "what is sent is TCP or UDP over IPv4"},
		{[]string{"--rules", example, "--context", "100", "--packet", "tcp 10.1.8.130:40000 > 10.1.16.5:5432 ack"}, "a flow begins with syn"},
		{[]string{"--rules", example, "--context", "100", "--packet", "nonsense"}, "column 1: "},
	} {
		if status, out, stderr := sttwall(append([]string{"bench"}, tt.args...)...); status != statusRefused || out != "" || !strings.Contains(stderr, tt.want) {
			t.Errorf("%v: status %d, %q, %s, want %q", tt.args, status, out, stderr, tt.want)
		}
	}
}

func TestBenchMeasuresAllWaysAndLosesNothing(t *testing.T) {
	svg := filepath.Join(t.TempDir(), "bench.svg")
	for _, args := range [][]string{
		{"--packets", "150", "--rule-count", "10", "--svg", svg},
		{"--packets", "45", "--rules", "../../rules.example.hcl"},
	} {
		status, out, stderr := benchmark(t, append([]string{"--json", "--rounds", "1", "--duration", "50ms", "--flows", "100"}, args...)...)
		if status != statusFine {
			t.Fatalf("%v: status %d, %s", args, status, stderr)
		}
		var r benchreport.Result
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			t.Fatal(err)
		}
		if len(r.Rows) != len(benchreport.Ways) || r.Kernel == "" || r.CPUs < 1 || r.Flow == "" {
			t.Fatalf("%v: %s", args, out)
		}
		for i, row := range r.Rows {
			if row.Way != benchreport.Ways[i] || row.Packet != args[1] || row.PPS <= 0 || row.Gbps <= 0 || row.Ratio <= 0 || row.Lost != 0 {
				t.Errorf("%v: %+v", args, row)
			}
			if l := row.Latency; l == nil || l.P50 <= 0 || l.P99 < l.P50 || l.P999 < l.P99 {
				t.Errorf("%v: latency %+v", args, l)
			}
		}
		if !strings.Contains(stderr, "measuring "+benchreport.Title(args[1])+": 0 of 3 ") || strings.Contains(stderr, "\r") {
			t.Errorf("%v: progress %q", args, stderr)
		}
	}
	picture, err := os.ReadFile(svg)
	if err != nil {
		t.Fatal(err)
	}
	var root struct{ XMLName xml.Name }
	if err := xml.Unmarshal(picture, &root); err != nil || root.XMLName.Local != "svg" {
		t.Errorf("%v, %v", root, err)
	}
}

// untilSaid ends a context when something has been written.
type untilSaid struct {
	bytes.Buffer
	word string
	end  context.CancelFunc
}

func (u *untilSaid) Write(b []byte) (int, error) {
	n, err := u.Buffer.Write(b)
	if strings.Contains(u.String(), u.word) {
		u.end()
	}
	return n, err
}

func TestBenchShowsWhatThereIsWhenItIsInterrupted(t *testing.T) {
	canBench(t)
	for _, asJSON := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		svg := filepath.Join(t.TempDir(), "x.svg")
		args := []string{"bench", "--packets", "150,1500", "--rounds", "1", "--duration", "20ms", "--flows", "10", "--rule-count", "2", "--svg", svg}
		if asJSON {
			args = append(args, "--json")
		}
		var out bytes.Buffer
		stderr := untilSaid{word: "measuring 1,500 bytes", end: cancel}
		status := execute(ctx, args, streams{strings.NewReader(""), &out, &stderr})
		if strings.Contains(stderr.String(), "needs root of the whole machine") && os.Getenv("CI") == "" {
			t.Skip(stderr.String())
		}
		if status != statusRefused || !strings.Contains(stderr.String(), "sttwall: interrupted: 3 of 6 measurements were done; the lab is gone\n") {
			t.Errorf("status %d, %s", status, &stderr)
		}
		// Programs are not told half of it.
		if asJSON != (out.Len() == 0) || !asJSON && (!strings.Contains(out.String(), "\n150 bytes\n") || strings.Contains(out.String(), "1,500 bytes")) {
			t.Errorf("as JSON %t: %s", asJSON, &out)
		}
		if _, err := os.Stat(svg); err == nil {
			t.Error("there is a picture of half of it")
		}
	}
}

func TestThePictureTakesThePlaceOfAnOlderOne(t *testing.T) {
	dir := t.TempDir()
	old, fresh := filepath.Join(dir, "old.svg"), filepath.Join(dir, "new.svg")
	if err := os.WriteFile(old, []byte(strings.Repeat("old ", 10_000)), 0o600); err != nil {
		t.Fatal(err)
	}
	r := &benchreport.Result{Rows: []benchreport.Row{{Way: benchreport.Forward, Packet: "150", PPS: 1, Ratio: 1}}}
	for _, path := range []string{old, fresh} {
		for _, failed := range []error{errFindings, nil} {
			f, err := openSVG(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := f.finish(r, failed); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(path)
			switch {
			case failed == nil && string(got) != string(r.SVG()):
				t.Errorf("%s: %v, %.100s", path, err, got)
			case failed != nil && path == old && !strings.HasPrefix(string(got), "old "):
				t.Errorf("the old picture is gone after an error: %.100s", got)
			case failed != nil && path == fresh && err == nil:
				t.Error("there is an empty picture after an error")
			}
		}
	}
	if _, err := openSVG(filepath.Join(dir, "none", "x.svg")); err == nil {
		t.Error("a file in no directory")
	}
}
