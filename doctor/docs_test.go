package doctor

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/doctor.md anew")

// docsHead is what stands before the checks.
const docsHead = `# What on this host will hurt

` + "`sttwall doctor`" + ` looks at a host as the firewall will find it, and says what will hurt, why, what was read where, and the
command that cures it. This page is generated (` + "`make docs`" + `).

    sttwall doctor --rules /etc/sttwall/rules.hcl

Run it as root, in the network namespace of the firewall, before the first start and whenever something is odd. It changes
nothing. What it asks of nftables is in transactions that leave nothing; the kernel may load modules for them, as it does for
` + "`run`" + `.

| flag | what it does |
| --- | --- |
| ` + "`--rules FILE`" + ` | takes ports, endpoints and other settings from there. Without it port 7471 is looked at, no endpoint is known, and checks that need some are not made |
| ` + "`--hook prerouting,output,bridge`" + ` | where the firewall sits or shall sit |
| ` + "`--control SOCKET`" + ` | asks a running firewall what it has dropped |
| ` + "`--queue N`, `--cpus LIST`" + ` | as ` + "`run`" + ` is started with |
| ` + "`--fix`" + ` | runs the commands of findings that are marked so: those that take nothing away that somebody may need, and can be undone. It says which it runs, and which of them failed, and looks again; the exit status is about what is left. What it sets is gone after a restart of the host: write it into /etc/sysctl.d and the like |
| ` + "`--verbose`" + ` | lists each check, what was seen, and why one could not be made |
| ` + "`--json`" + ` | the same for machines: findings (id, severity, what, why, evidence, cure, commands, safe), checks (id, name, seen or unknown, findings), passed, unknown |

| severity | means | exit status |
| --- | --- | --- |
| broken | STT does not pass, or passes uninspected, or the firewall does not start | 1 |
| risk | it works, and will not when something happens | 1 |
| hint | it works, and would work better otherwise | 0, if there is nothing worse |

The worst come first. A check that cannot be made (a file that only root may read, a thing that was not named) is listed as such by
` + "`--verbose`" + `, and does not count as passed. The exit status is 0 where nothing is found, and 2 for a mistake on the command line.

Rules of others are followed with an STT packet of which the port is known, that it is no SYN, and, where ` + "`settings.endpoints`" + ` lists
addresses that this host has routes to, addresses and interfaces. What a rule asks for besides is taken to be true and false in turn.
Only what is certain in all cases is said to be dropped, or what a rule drops that names the STT port or the state INVALID itself. So
a rule that drops STT by its length, say, is not found.

`

func docs() string {
	var out strings.Builder
	out.WriteString(docsHead)
	out.WriteString("| number | looks at | severity |\n| --- | --- | --- |\n")
	for _, c := range Checks() {
		anchor := strings.ToLower(strings.ReplaceAll(c.ID+" "+regexp.MustCompile(`[^A-Za-z0-9 _-]`).ReplaceAllString(c.Name, ""), " ", "-"))
		fmt.Fprintf(&out, "| [%s](#%s) | %s | %s |\n", c.ID, anchor, c.Name, c.Severity)
	}
	for _, c := range Checks() {
		severity := c.Severity.String()
		if c.Varies != "" {
			severity += "; " + c.Varies
		}
		fmt.Fprintf(&out, "\n## %s: %s\n\n%s.\n\n", c.ID, c.Name, upper(c.What))
		for _, line := range [][2]string{{"Severity", severity}, {"Why it hurts", c.Why}, {"What is read", c.Reads}, {"Cure", c.Cure}, {"If you leave it", c.Leave}} {
			fmt.Fprintf(&out, "- **%s**: %s\n", line[0], ended(line[1]))
		}
	}
	return out.String()
}

func upper(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

func ended(s string) string { return strings.TrimSuffix(s, ".") + "." }

// docs/doctor.md is generated, so that it cannot say anything else.
func TestDocsListEveryCheck(t *testing.T) {
	const path = "../docs/doctor.md"
	want := docs()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the table says: run make docs", path)
	}
}

func TestEachCheckHasANumberOfItsOwnAndSaysAllOfIt(t *testing.T) {
	number := regexp.MustCompile(`^STT-D\d{3}$`)
	last := ""
	for _, c := range Checks() {
		if !number.MatchString(c.ID) || c.ID <= last {
			t.Errorf("%s behind %s", c.ID, last)
		}
		last = c.ID
		if c.Severity < Hint || c.Severity > Broken || c.look == nil {
			t.Errorf("%s: severity %d", c.ID, c.Severity)
		}
		for what, text := range map[string]string{"name": c.Name, "what": c.What, "why": c.Why, "reads": c.Reads, "cure": c.Cure, "leave": c.Leave} {
			if len(text) < 3 || strings.ContainsAny(text, "\n|") {
				t.Errorf("%s: its %s is %q", c.ID, what, text)
			}
		}
	}
}
