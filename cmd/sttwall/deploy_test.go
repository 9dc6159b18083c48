package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// arguments of /etc/default/sttwall as it is installed.
func installedArguments(t *testing.T) string {
	t.Helper()
	line := regexp.MustCompile(`(?m)^STTWALL_ARGS="(.*)"$`).FindStringSubmatch(readme(t, "deploy/sttwall.default"))
	if line == nil {
		t.Fatal("deploy/sttwall.default has no flags")
	}
	return line[1]
}

func TestTheInstalledFlagsAreThoseOfRun(t *testing.T) {
	run := newRunCommand(streams{})
	if err := run.ParseFlags(strings.Fields(installedArguments(t))); err != nil {
		t.Error(err)
	}
	if got, _ := run.Flags().GetStringArray("event-log"); len(got) != 1 || filepath.Dir(got[0]) != "/var/log/sttwall" {
		t.Errorf("the event log is %q: logrotate looks into /var/log/sttwall", got)
	}
	unit := readme(t, "deploy/sttwall.service")
	if !strings.Contains(unit, "\nEnvironmentFile=-/etc/default/sttwall\n") || !regexp.MustCompile(`(?m)^ExecStart=.* \$STTWALL_ARGS$`).MatchString(unit) {
		t.Error("the unit does not take them")
	}
}

// Kubernetes' schema takes any arguments; those of the manifests are flags of run.
func TestTheManifestsFlagsAreThoseOfRun(t *testing.T) {
	for _, name := range []string{"kube-ovn.yaml", "antrea.yaml"} {
		args := regexp.MustCompile(`(?s)\n +args:\n +- run\n(.*?)\n +securityContext:`).FindStringSubmatch(readme(t, "deploy/kubernetes/"+name))
		if args == nil {
			t.Fatalf("%s does not run sttwall", name)
		}
		var flags []string
		for _, line := range regexp.MustCompile(`(?m)^ +- (--\S+)`).FindAllStringSubmatch(args[1], -1) {
			flags = append(flags, line[1])
		}
		if _, err := wishOf(flags); err != nil || len(flags) < 4 {
			t.Errorf("%s: %q: %v", name, flags, err)
		}
	}
}

// The rules that come with a package watch, and load without a warning.
func TestTheInstalledRulesOnlyWatch(t *testing.T) {
	const rules = "../../deploy/rules.audit.hcl"
	if status, out, stderr := sttwall("check", rules); status != statusFine || stderr != "" || !strings.Contains(out, "2 tests") {
		t.Errorf("status %d, %s%s", status, out, stderr)
	}
	for _, packet := range []string{"udp 10.0.0.1:1 > 10.0.0.2:2", "arp request 10.0.0.1 > 10.0.0.2", "tcp 10.0.0.1:1 > 10.0.0.2:2 rst"} {
		status, out, stderr := sttwall("explain", "--rules", rules, "--context", "0xfedcba9876543210", packet)
		if status != statusFine || !strings.Contains(out, "accept") {
			t.Errorf("%s: status %d\n%s%s", packet, status, out, stderr)
		}
	}
}

// cloud-init waits for the network before sysinit.target is reached. A unit that comes
// behind that and before the network would make a circle, out of which systemd takes
// something: the network, or the firewall.
func TestTheUnitsMakeNoCircleWithWhatWaitsForTheNetwork(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("there is no systemd-analyze")
	}
	circle := func(change func(service string) string) string {
		dir := t.TempDir()
		for name, unit := range map[string]string{
			// The order of Debian's.
			"networking.service": "[Unit]\nDefaultDependencies=no\nAfter=network-pre.target\nBefore=network.target\n[Service]\nExecStart=/bin/true\n",
			"cloud-init.service": "[Unit]\nDefaultDependencies=no\nAfter=networking.service\nBefore=sysinit.target\n[Service]\nExecStart=/bin/true\n",
			"sttwall.service":    change(readme(t, "deploy/sttwall.service")), "sttwall-boot.service": readme(t, "deploy/sttwall-boot.service"),
		} {
			unit = strings.ReplaceAll(unit, "/usr/local/sbin/sttwall", "/bin/true")
			if err := os.WriteFile(filepath.Join(dir, name), []byte(unit), 0o644); err != nil {
				t.Fatal(err)
			}
			target := "multi-user.target"
			if name == "cloud-init.service" || name == "sttwall-boot.service" {
				target = "sysinit.target"
			}
			wants := filepath.Join(dir, target+".wants")
			if err := errors.Join(os.MkdirAll(wants, 0o755), os.Symlink("../"+name, filepath.Join(wants, name))); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.Command(analyze, "verify", "--man=no", "multi-user.target", filepath.Join(dir, "sttwall.service"))
		cmd.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH="+dir+":")
		out, _ := cmd.CombinedOutput() // it also tells what it thinks of the host's units
		// Which unit of a circle it begins with is left to chance.
		var said []string
		for circle := range strings.SplitSeq(string(out), "Found ordering cycle") {
			if regexp.MustCompile(`Found dependency on sttwall`).MatchString(circle) {
				said = append(said, circle)
			}
		}
		return strings.Join(said, "\n")
	}
	if said := circle(func(s string) string { return s }); said != "" {
		t.Error(said)
	}
	// And would it be told of one?
	if said := circle(func(s string) string { return strings.Replace(s, "[Unit]\n", "[Unit]\nBefore=network-pre.target\n", 1) }); said == "" {
		t.Error("a circle is not found")
	}
}
