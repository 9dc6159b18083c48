package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sttwall/doctor"
	"sttwall/internal/lab"
)

// aHostWithTwoWays makes interfaces, with an endpoint behind each, and the rules for them.
func aHostWithTwoWays(t *testing.T) (rules string) {
	t.Helper()
	for _, line := range []string{
		"ip link add a0 type veth peer name a1", "ip link add b0 type veth peer name b1",
		"ip link set a0 up; ip link set a1 up; ip link set b0 up; ip link set b1 up",
		"ip address add 10.0.1.1/24 dev a0; ip address add 10.0.2.1/24 dev b0",
		"sysctl -q -w net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.a0.rp_filter=0 net.ipv4.conf.b0.rp_filter=0",
	} {
		shell(t, line)
	}
	return rulesFile(t, "settings {\n  endpoints = [\"10.0.1.2\", \"10.0.2.2\"]\n  receivers = \"linux\"\n}\ntenant \"a\" {\n  context_ids = [1]\n}\n")
}

// hurtsItself are findings about the user namespace that an ordinary user's test runs in,
// where no receive buffer can be forced; root has none.
func hurtsItself(out string) (status, findings int) {
	if strings.Contains(out, "STT-D036 risk: ") && os.Getuid() == 0 {
		if text, err := os.ReadFile("/proc/self/uid_map"); err == nil && !strings.Contains(string(text), "4294967295") {
			return statusRefused, 1
		}
	}
	return statusFine, 0
}

func shell(t *testing.T, line string) {
	t.Helper()
	if out, err := exec.Command("sh", "-c", line).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
}

func TestDoctorTellsWhatHurtsAndItsCure(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	rules := aHostWithTwoWays(t)
	// Hints are about the machine that the test runs on; nothing hurts.
	status, out, stderr := sttwall("doctor", "--rules", rules)
	want, own := hurtsItself(out)
	if status != want || stderr != "" || strings.Count(out, " risk: ") != own || strings.Contains(out, " broken: ") {
		t.Fatalf("status %d\n%s%s", status, out, stderr)
	}
	shell(t, "ip link set dev b0 mtu 1400")
	shell(t, "sysctl -q -w net.ipv4.ip_forward=0")
	status, out, _ = sttwall("doctor", "--rules", rules, "--verbose")
	for _, want := range []string{
		"STT-D031 broken: ", "    saw: /proc/sys/net/ipv4/ip_forward: 0\n", "         # sysctl -w net/ipv4/ip_forward=1\n",
		"STT-D034 risk: ", "         # ip link set dev a0 mtu 1400\n", "STT-D034 ! MTU of the ways to endpoints: 1 finding\n",
		"STT-D015 ? drops of the running firewall: not looked at: no --control\n", "STT-D033 ok LRO: off on a0, b0\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if status != statusRefused || strings.Index(out, "STT-D031 broken") > strings.Index(out, "STT-D034 risk") {
		t.Errorf("status %d\n%s", status, out)
	}
	for line := range strings.Lines(out) {
		if len(line) > textWidth+1 && !strings.Contains(line, " saw: ") && !strings.Contains(line, " # ") {
			t.Errorf("longer than %d: %q", textWidth, line)
		}
	}
}

func TestDoctorWritesJSON(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	rules := aHostWithTwoWays(t)
	shell(t, "sysctl -q -w net.ipv4.ip_forward=0")
	status, out, stderr := sttwall("doctor", "--rules", rules, "--json")
	var got struct {
		Findings []struct {
			ID, Severity, What, Why, Cure string
			Evidence, Commands            []string
			Safe                          bool
		}
		Checks          []doctor.Outcome
		Passed, Unknown int
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || status != statusRefused || stderr != "" {
		t.Fatalf("status %d, %v\n%s%s", status, err, out, stderr)
	}
	f := got.Findings[0]
	if f.ID != "STT-D031" || f.Severity != "broken" || f.What == "" || f.Why == "" || len(f.Evidence) == 0 || f.Safe || len(f.Commands) != 1 || f.Commands[0] != "sysctl -w net/ipv4/ip_forward=1" {
		t.Errorf("got %+v", f)
	}
	if len(got.Checks) != len(doctor.Checks()) || got.Passed == 0 || got.Unknown == 0 {
		t.Errorf("%d checks, %d passed, %d unknown", len(got.Checks), got.Passed, got.Unknown)
	}
}

// Whoever reads the report by a program finds lists, and no null.
func TestDoctorWritesJSONWhereNothingIsFound(t *testing.T) {
	var out strings.Builder
	if err := writeReportJSON(&out, &doctor.Report{Findings: []doctor.Finding{}, Checks: []doctor.Outcome{{ID: "STT-D001", Name: "x", Seen: "y"}}}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "\"findings\": [],") || !strings.Contains(out.String(), "\"passed\": 1") {
		t.Error(out.String())
	}
}

func TestDoctorFixesWhatIsSafe(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	rules := aHostWithTwoWays(t)
	shell(t, "ip link set dev b0 gro_max_size 180000")
	if status, out, _ := sttwall("doctor", "--rules", rules); status != statusRefused || !strings.Contains(out, "STT-D032 risk: ") || !strings.Contains(out, "(--fix runs that)") {
		t.Fatalf("status %d\n%s", status, out)
	}
	status, out, stderr := sttwall("doctor", "--rules", rules, "--fix")
	want, own := hurtsItself(out)
	if status != want || own == 0 && stderr != "" || !strings.Contains(out, "STT-D032: # ip link set dev b0 gro_max_size 65000\n") || !strings.Contains(out, "\n--fix: ") || !strings.Contains(out, " run. What they set") {
		t.Errorf("status %d\n%s%s", status, out, stderr)
	}
	if strings.Contains(out, "STT-D032 risk") {
		t.Errorf("still there:\n%s", out)
	}
	// What is not safe is left, whatever is asked: forwarding, and how strict a filter is
	// for others too.
	text, err := os.ReadFile(rules)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(rules, []byte(strings.Replace(string(text), "10.0.1.2", "10.0.1.2 on b0", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	shell(t, "sysctl -q -w net.ipv4.conf.b0.rp_filter=1")
	shell(t, "sysctl -q -w net.ipv4.ip_forward=0")
	if status, out, _ := sttwall("doctor", "--rules", rules, "--fix"); status != statusRefused || !strings.Contains(out, "STT-D030 broken: ") || strings.Contains(out, "STT-D031: #") || strings.Contains(out, "STT-D030: #") || own == 0 && !strings.HasPrefix(out, "--fix: no finding has a command that is safe to run.\n") {
		t.Errorf("status %d\n%s", status, out)
	}
	for file, want := range map[string]string{"/proc/sys/net/ipv4/ip_forward": "0\n", "/proc/sys/net/ipv4/conf/b0/rp_filter": "1\n"} {
		if now, err := os.ReadFile(file); err != nil || string(now) != want {
			t.Errorf("%s is %q, %v", file, now, err)
		}
	}
}

func TestDoctorTellsAFixThatFails(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	rules := aHostWithTwoWays(t)
	shell(t, "ip link set dev a0 gro_max_size 180000")
	t.Setenv("PATH", t.TempDir()) // no ip command
	status, out, stderr := sttwall("doctor", "--rules", rules, "--fix")
	if status != statusRefused || !strings.Contains(stderr, "ip link set dev a0 gro_max_size 65000: ") || !strings.Contains(out, ", 1 failed. ") && !strings.Contains(out, ", 2 failed. ") || !strings.Contains(out, "STT-D032 risk: ") {
		t.Errorf("status %d\n%s%s", status, out, stderr)
	}
}

// A firewall that was killed leaves its table; the cure is a command of ours.
func TestDoctorFindsTheTableOfAKilledFirewall(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	rules := aHostWithTwoWays(t)
	fw := startRules(t, rules, "--queues", "2")
	found := func(args ...string) string {
		_, out, _ := sttwall(append([]string{"doctor", "--rules", rules, "--verbose"}, args...)...)
		return out
	}
	if out := found("--control", fw.socket); strings.Contains(out, "STT-D010 broken") || !strings.Contains(out, "STT-D015 ok ") {
		t.Fatalf("while it runs:\n%s", out)
	}
	if err := fw.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = fw.cmd.Wait() // it was killed
	out := found()
	if _, err := os.ReadFile("/proc/net/netfilter/nfnetlink_queue"); err != nil {
		// In a user namespace: that it is not known is said.
		if !strings.Contains(out, "STT-D010 ? ") || !strings.Contains(out, "not allowed: ") {
			t.Errorf("killed:\n%s", out)
		}
		return
	}
	_, rest, ok := strings.Cut(out, "STT-D010 broken: ")
	_, line, ok2 := strings.Cut(rest, " # sttwall ")
	line, _, _ = strings.Cut(line, "\n")
	if !ok || !ok2 {
		t.Fatalf("killed:\n%s", out)
	}
	if status, _, stderr := sttwall(strings.Fields(line)...); status != statusFine {
		t.Fatalf("%s: status %d, %s", line, status, stderr)
	}
	if out := found(); strings.Contains(out, "STT-D010 broken") {
		t.Errorf("after %q:\n%s", line, out)
	}
}

func TestDoctorRefusesWhatIsNoQuestion(t *testing.T) {
	for _, args := range [][]string{{"more"}, {"--hook", "nonsense"}, {"--queue", "70000"}, {"--cpus", "x"}, {"--fix", "--json"}} {
		if status, out, stderr := sttwall(append([]string{"doctor"}, args...)...); status != statusUsage || out != "" || !strings.Contains(stderr, "sttwall doctor --help") {
			t.Errorf("%v: status %d, %q, %s", args, status, out, stderr)
		}
	}
}

func TestDoctorSaysThatNobodyAnswers(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	status, out, _ := sttwall("doctor", "--control", filepath.Join(t.TempDir(), "none.sock"), "--verbose")
	if want, _ := hurtsItself(out); status != want || !strings.Contains(out, "STT-D015 ? ") {
		t.Errorf("status %d\n%s", status, out)
	}
}
