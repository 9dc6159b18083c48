package main

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"sttwall/internal/doctest"
	"sttwall/internal/lab"
)

// Why package testing and a shell, and not testscript: what readers type is a line for
// a shell, with pipes, redirections and quotes, and it is to be tried as it stands.
// A script of testscript is written in a language of its own.

// way is how a command of a page is tried.
type way int

const (
	// runs: to its end, in the lab: beside a firewall with traffic, that of the live demo.
	runs way = iota
	// follows: until it has said what is wanted, or anything; then it gets a ^C.
	follows
	// prepares: in the network of the next command that is alone, right before it.
	prepares
	// alone: as follows, in a network of its own without a firewall.
	alone
	// beside: to its end, in a network of its own, in which a firewall with trial.run runs.
	beside
	// steps: to its end, one after the other in a lab that the page itself builds; what it
	// starts goes on.
	steps
	// starts: as steps, a program in the background, until it has said what is wanted.
	starts
	// screens: on a terminal beside a firewall with traffic, until it shows what is
	// wanted; then trial.key is pressed, and it ends.
	screens
	// works: on a terminal, in a network of its own without a firewall, until it shows what
	// is wanted; then trial.key is pressed, or without one it comes to its end. Nothing is
	// left behind.
	works
	// answers: in the network of the next command that asks, until it is answered.
	answers
	// asks: to its end, on the host at the other end of the link to what answers.
	asks
	// elsewhere: by another test of CI, trial.by.
	elsewhere
)

// trial says how some commands are tried.
type trial struct {
	page    string // whose; "" is every page
	command string // a pattern for the beginning of the command
	way     way
	want    string // a pattern for what it writes; "" is anything
	status  int    // the exit status
	finds   bool   // 1 is fine too: it may find something
	once    bool   // the very same command is not tried again, on another page neither
	file    string // of follows: it is this file that it writes to
	run     string // flags of the firewall of beside
	key     string // of screens and works: what ends it, as tmux calls it
	says    string // of screens and works: a pattern for the screen at the end; "" is anything
	leaves  bool   // of works: that something is left behind is meant
	again   int    // of asks: so often it is tried once more, where what it waits for may come too late from a busy machine
	machine bool   // of works: others than root of the whole machine are told so, with status 1
	by      string // of elsewhere: the part of `make check`, and the file that it types it with
	has     string // of elsewhere: a pattern for what that file does it by
	without string // where the kernel has no interfaces of this kind; "" is anywhere
	why     string // of without: the reason, and who covers it
}

// trials are tried in order; the first that fits a command counts. A row that names a
// page and fits nothing there fails the test.
var trials = []trial{
	// What a row of its own says something about.
	{command: `go run \./cmd/sttwall demo`, way: runs, want: `(?m)^\d+ of \d+ lines as expected`, once: true},
	{page: "docs/control.md", command: `curl .*/v1/handover`, way: beside, run: "--startup-guard 1s"},
	{page: "docs/metrics.md", command: `curl http://127\.0\.0\.1:9475/`, way: beside, run: "--metrics 127.0.0.1:9475", want: `sttwall_`},
	{page: "docs/probe.md", command: `sttwall endpoint `, way: answers, want: `remote endpoint reachable`},
	{page: "docs/probe.md", command: `sttwall probe `, way: asks, again: 4, want: `(?s)largest packet with DF +\d.*fine: nothing was lost`},
	{page: "docs/receivers.md", command: `ethtool -K eth0 `, way: works, want: over},
	// TestEventsGoToJournaldWithFieldsToSearchFor has what is in a journal.
	{page: "docs/events.md", command: `journalctl .*STTWALL_TYPE=drop STTWALL_TENANT=acme$`, way: steps, want: `No journal files were found|No entries`},

	{page: "docs/packages.md", command: `(apt (install|remove|purge) |userdel |systemctl (stop|reload) )`, way: elsewhere,
		by: "packagestest: scripts/packages-test", has: `-page docs/packages\.md`},

	{page: "docs/captures.md", command: `sttwall capture -w drops\.pcapng `, way: follows, file: "drops.pcapng"},
	{page: "README.md", command: `ip (link|-n) `, way: prepares},

	{command: `sttwall doctor\b`, way: runs, finds: true},
	{command: `nft delete table inet sttwall`, way: beside},

	// What goes on until ^C.
	{command: `sttwall capture -w - \| wireshark`, way: follows},
	{command: `sttwall (events|trace|drops .*(--follow|-f)\b)`, way: follows},
	{command: `sttwall .*--watch\b`, way: follows},
	{command: `curl .* -N .*/v1/(events|frames)`, way: follows, want: `\{"`},
	{command: `sttwall run .*--tui\b`, way: works, want: `(?s) up .*q leaves this screen`, key: "C-c", leaves: true},
	{command: `sttwall (run|endpoint) `, way: alone, want: `the firewall runs|port is open`},
	{command: `sttwall top\b`, way: screens, want: `(?s) up .*acme`, key: "q"},

	// What takes minutes: until it has sent something through a firewall of its own.
	{command: `sudo sttwall bench .*--flows 100000`, way: works, once: true, machine: true, want: `opening 100000 flows`, key: "C-c", status: 1, // a minute of it
		says: `sttwall: interrupted: 0 of 42 measurements were done; the lab is gone`},
	{command: `sudo sttwall bench\b`, way: works, once: true, machine: true, want: `round 1, accept-all: 2 of`, key: "C-c", status: 1,
		says: `sttwall: interrupted: \d+ of \d+ measurements were done; the lab is gone`},
	{command: `sudo sttwall flood\b`, way: works, once: true, want: `round 2 of 4`, key: "C-c", status: 1, says: `sttwall: interrupted: 0 attacks made; the lab is gone`},
	{command: `sudo sttwall chaos --fault `, way: works, once: true, want: `\d faults in (\d+m)?\d+s`},
	{command: `sudo sttwall chaos\b`, way: works, once: true, want: `ok +[a-z-]+ +closed`, key: "C-c", status: 1, says: `sttwall: interrupted: \d faults? put in; the lab is gone`},
	{command: `sttwall soak\b`, way: works, once: true, want: `\d files, \d+ goroutines; last: `, key: "C-c", status: 1,
		says: `sttwall: interrupted: (\d+m)?\d+s of 2h0m0s were over; the lab is gone`},
	// What takes a compiler, a service manager, a cluster: with stand-ins (docs_standins_test.go).
	{page: "docs/fuzzing.md", command: `scripts/fuzz --record docs/fuzzing.md 30m .*those first`, way: steps, want: `fuzz sttwall/nfq FuzzReceive for 30m\nfuzz: elapsed`},
	{page: "docs/fuzzing.md", command: `scripts/fuzz --record docs/fuzzing.md 30m \./nfq`, way: steps, want: `(?m)^fuzz sttwall/nfq FuzzReceive: has a row of that time`},
	{page: "SECURITY.md", command: `make reproducible`, way: steps, want: `(?m)^[0-9a-f]{64}  sttwall$`},
	{command: `make build && buildah bud `, way: steps},
	{command: `(systemctl|apt-get|buildah)\b`, way: steps},

	// What another test types.
	{page: "README.md", command: `go test `, way: elsewhere, by: "newcomer: scripts/newcomer", has: `<!-- two commands -->.*README\.md`},
	{page: "docs/packages.md", command: `make packages$`, way: elsewhere, by: "packagestest: scripts/packages-test", has: `scripts/packages "\$work`},
	{command: `cd bench && go run `, way: elsewhere, by: "benchmodule: bench/docs_test.go", has: `cd bench && go run`},
	{page: "bench/README.md", command: `bench/peers/suricata-install`, way: elsewhere, by: "benchmodule: bench/suricata_install_test.go", has: `bench/peers/suricata-install`},
	{command: `bench/account/record `, way: elsewhere, by: "benchmodule: bench/docs_test.go", has: `bench/account/record`},

	// What a page builds itself.
	{page: "docs/deploy/vrf.md", way: elsewhere, without: "vrf", why: "this kernel has no VRFs (CONFIG_NET_VRF); scripts/vmpages types the page where there are"},
	{page: "docs/deploy/vlan.md", way: elsewhere, without: "vlan", why: "this kernel has no VLANs (CONFIG_VLAN_8021Q); scripts/vmpages types the page where there are"},
	{page: "docs/deploy/vrf.md", command: `ip -n fw route show `, way: steps, want: `10\.47\.2\.0/24 dev right`},
	{page: "docs/deploy/vlan.md", command: `ip netns exec fw sysctl net\.bridge`, way: steps, want: `= 1`},
	{page: "docs/deploy/vlan.md", command: `ip netns exec acme-a ping .* -W `, way: steps, status: 1, want: ` 0 received`},
	{page: "docs/deploy/vlan.md", command: `bridge -n fw vlan show`, way: steps, want: `47`},
	{page: "docs/deploy/", command: `ip netns exec acme-a curl .*:8023`, way: steps, status: 28}, // it waits in vain
	{page: "docs/deploy/", command: `ip netns exec (fw|a|b) .*&$`, way: starts, want: `the firewall runs|port is open`},
	{page: "docs/deploy/hypervisor.md", command: `ip netns exec acme-b ping .*-W 1 `, way: steps, status: 1, want: ` 0 received`},
	{page: "docs/deploy/hypervisor.md", command: `sttwall drops --recent`, way: steps, want: `(?s)10\.0\.0\.2.*10\.0\.0\.1.*10\.0\.0\.2:8023`},
	{page: "docs/deploy/hypervisor.md", command: `sttwall flows --audit`, way: steps, want: `(?s)acme .*10\.0\.0\.1.*acme .*10\.0\.0\.1`},
	{page: "docs/deploy/hypervisor.md", command: `ip netns exec a nft list `, way: steps, want: `(?s)hook prerouting.*hook output`},
	{page: "docs/deploy/", command: `ip netns exec acme-[ab] ping `, way: steps, want: ` 1 received`},
	{page: "docs/deploy/", command: `ip netns exec fw nft list `, way: steps, want: `7471`},
	{page: "docs/deploy/", command: `sttwall tenants`, way: steps, want: `acme`},
	{page: "docs/deploy/", command: `sttwall flows --audit`, way: steps, want: `acme .*10\.0\.0\.1`},
	{page: "docs/deploy/", command: `sttwall suggest `, way: steps, want: `icmp/echo-request`},
	{page: "docs/deploy/", command: `sttwall check --against`, way: steps, want: `acme`},
	{page: "docs/deploy/", command: `sttwall explain `, way: steps, want: `drop: tenant_default`},
	{page: "docs/deploy/", command: `sttwall drops --recent`, way: steps, want: `10\.0\.0\.2:8023`},
	{page: "docs/deploy/", command: `(ip|bridge|sttwall (stats|reload|nft)|cp|until)\b`, way: steps},
}

// tried returns how a command of a page is tried here.
func tried(page, command string) trial { return triedWhere(hasKind, page, command) }

// triedWhere is likewise for a kernel that has some kinds of interfaces.
func triedWhere(has func(kind string) bool, page, command string) trial {
	for _, t := range trials {
		if t.without != "" && has(t.without) {
			continue
		}
		if strings.HasPrefix(page, t.page) && regexp.MustCompile(`^(?s:`+t.command+`)`).MatchString(command) {
			return t
		}
	}
	return trial{way: runs}
}

// kinds are the kinds of interfaces that some rows ask for, and what makes one.
var kinds = map[string]string{
	"vrf":  "ip link add probe type vrf table 1",
	"vlan": "ip link add below type veth peer name other && ip link add link below name probe type vlan id 1",
}

var (
	kindsMu sync.Mutex
	kindsOf = map[string]bool{}
)

// hasKind reports whether the kernel has interfaces of a kind: one is made in a namespace that goes at once.
func hasKind(kind string) bool {
	kindsMu.Lock()
	defer kindsMu.Unlock()
	has, known := kindsOf[kind]
	if !known {
		args := []string{"--net", "sh", "-c", kinds[kind]}
		if os.Geteuid() != 0 {
			args = append([]string{"--user", "--map-root-user"}, args...)
		}
		has = exec.Command("unshare", args...).Run() == nil
		kindsOf[kind] = has
	}
	return has
}

// programs are what commands may begin with. A new one has to be there in CI (.ci/run),
// or to have a row above.
var programs = []string{
	"sttwall", "sudo", "go", "make", "cd", "curl", "jq", "nft", "ip", "umask", "ethtool", "sysctl", "ping",
	"chgrp", "install", "tcpdump", "iptables-restore", "cp", "until", "journalctl", "systemctl", "apt-get", "apt", "userdel", "kubectl", "buildah", "scripts/fuzz",
	"bridge", "bench/account/record", "bench/peers/suricata-install",
}

// pages are all pages that tell somebody to type something.
func pages(t *testing.T) []string {
	t.Helper()
	all := []string{"README.md", "SECURITY.md", "CONTRIBUTING.md", "bench/README.md"}
	for _, folder := range []string{"docs", "deploy"} {
		err := filepath.WalkDir(filepath.Join("../..", folder), func(path string, d fs.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(path, ".md") {
				all = append(all, strings.TrimPrefix(filepath.ToSlash(path), "../../"))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// TestEachCommandOfTheDocsIsTried has each command of each page typed as it stands there, but
// for those that the table above names.
func TestEachCommandOfTheDocsIsTried(t *testing.T) {
	first := map[string]string{} // where a command stands for the first time
	for _, page := range pages(t) {
		commands := doctest.Commands(readme(t, page))
		for _, c := range commands {
			if first[c.Typed()] == "" {
				first[c.Typed()] = page
			}
		}
		if len(commands) == 0 {
			continue
		}
		t.Run("page:"+strings.ReplaceAll(page, "/", "_"), func(t *testing.T) {
			t.Parallel()
			if !lab.Inside(t) {
				return
			}
			d := newDesk(t, page)
			typed := map[string]bool{}
			for _, c := range commands {
				if !tried(page, c.Text).once || first[c.Typed()] == page && !typed[c.Typed()] {
					d.types(c)
				}
				typed[c.Typed()] = true
			}
		})
	}
}

// TestADeskReachesNoFileOfTheHost: what a command removes or writes there is not the host's.
func TestADeskReachesNoFileOfTheHost(t *testing.T) {
	const name = "/etc/sttwall-typed-at-a-desk"
	if lab.Inside(t) {
		d := newDesk(t, "README.md")
		d.writes(name, "")
		for _, path := range []string{"/usr/local/x", "/usr/x", "/x", filepath.Join(d.folder, "scripts", "x")} {
			if err := os.WriteFile(path, nil, 0o600); err == nil {
				t.Errorf("%s can be written", path)
				os.Remove(path)
			}
		}
		return
	}
	if _, err := os.Stat(name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s of the host: %v", name, err)
		os.Remove(name)
	}
}

// TestADeskSeesWhatIsLeftBehind, of each kind, and how a command has ended.
func TestADeskSeesWhatIsLeftBehind(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	d := newDesk(t, "README.md")
	row := trial{want: over, status: 99, says: "left behind:"}
	for _, command := range []string{
		"ip link add left type veth peer name behind", "ip netns add left", "nft add table inet left", `touch "$TMPDIR/left"`,
		// Until it is that program it is the shell.
		"sttwall endpoint --underlay eth0 --local 10.47.1.1 --remote 10.47.2.1 --answer-probes 1 &\n" +
			`until [ /proc/$!/exe -ef "$PROGRAM" ] || [ ! -e /proc/$! ]; do sleep 0.01; done`,
	} {
		if err := d.sits(inANetwork+leavesNothing(command, row), row); err != nil {
			t.Errorf("%s: %v", command, err)
		}
	}
	row = trial{want: over, status: 3}
	if err := d.sits(inANetwork+leavesNothing("(exit 3)", row), row); err != nil {
		t.Error(err)
	}
	row.says = "not there"
	if err := d.sits(inANetwork+leavesNothing("(exit 3)", row), row); err == nil {
		t.Error("what is not on the screen is not missed")
	}
}

// TestEachCommandOfTheDocsIsKnown: none begins with a program of which the test of them
// knows nothing, and each row of its table is about a command that there is.
func TestEachCommandOfTheDocsIsKnown(t *testing.T) {
	unused := map[string]bool{}
	for _, row := range trials {
		if row.page != "" {
			unused[row.page+": "+row.command] = true
		}
		if row.without != "" && row.why == "" {
			t.Errorf("%s is not run, and the table does not say why", row.command)
		}
	}
	count := 0
	for _, page := range pages(t) {
		for _, c := range doctest.Commands(readme(t, page)) {
			count++
			words := doctest.Words(c.Text)
			for _, all := range []bool{false, true} { // kinds of interfaces
				row := triedWhere(func(string) bool { return all }, page, c.Text)
				delete(unused, row.page+": "+row.command)
				if len(words) > 0 && !slices.Contains(programs, words[0]) {
					t.Errorf("%s:%d: %q: not a command that this test knows. If it is none, put the block into a fence that says what it is (```text); "+
						"if it is one, it needs %q in the list of programs, or a row in the table of trials (docs_test.go)", page, c.Line, c.Text, words[0])
				}
			}
			if regexp.MustCompile(`\b[A-Z]{4,}\b|<[a-z]+>|\[-`).MatchString(strings.Join(words, " ")) && !strings.Contains(c.Text, "STTWALL_") && !strings.Contains(c.Text, "-X DELETE") && !strings.Contains(c.Text, "-X POST") {
				t.Errorf("%s:%d: %q: nobody can type a placeholder: write a real example", page, c.Line, c.Text)
			}
		}
	}
	for row := range unused {
		t.Errorf("the table of trials has %s: there is no such command", row)
	}
	if count < 70 {
		t.Errorf("only %d commands were found", count)
	}
}

// TestANewcomerTypesWhatTheDeskDoesNot: of the README, scripts/newcomer types what is between
// its marks, and go test ./... there has the desk type the rest, as an ordinary user too.
func TestANewcomerTypesWhatTheDeskDoesNot(t *testing.T) {
	page := readme(t, "README.md")
	_, block, _ := strings.Cut(page, "<!-- two commands -->\n")
	block, _, ended := strings.Cut(block, "<!-- end -->\n")
	newcomers := doctest.Commands(block)
	if !ended || len(newcomers) != 2 || newcomers[1].Text != "go test ./..." {
		t.Errorf("between the marks are %q, want two commands, the second of which runs all tests", block)
	}
	for _, c := range doctest.Commands(page) {
		if row := tried("README.md", c.Text); row.way == elsewhere && !slices.ContainsFunc(newcomers, func(n doctest.Command) bool { return n.Text == c.Text }) {
			t.Errorf("README.md:%d: %s: neither the desk types it nor scripts/newcomer", c.Line, c.Text)
		}
	}
	if !strings.Contains(readme(t, "scripts/newcomer"), "setpriv --reuid=") {
		t.Error("scripts/newcomer is no ordinary user")
	}
}

// TestTheStandInsRefuseMistakes: what is typed before them is held to what is there.
func TestTheStandInsRefuseMistakes(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	d := newDesk(t, "README.md")
	for _, command := range []string{
		"systemctl enable --now sttwal", "systemctl enable --no sttwall", "systemctl mask sttwall", "apt-get install no-such-package", "apt-get remove tshark",
		"buildah bud -f deploy/oci/Dockerfil -t a .", "buildah bud -f deploy/oci/Dockerfile -t a .", "buildah push b", "kubectl apply -f deploy/kubernetes/README.md",
		"kubectl apply -f deploy/kubernetes/none.yaml", "kubectl rollout status daemonset/sttwall", "kubectl -n kube-system rollout status daemonset/stt",
		"kubectl -n kube-system exec ds/sttwal -- /sttwall version", "kubectl -n kube-system exec ds/sttwall -- sttwall version",
		"kubectl -n kube-system exec ds/sttwall -- /sttwall flow", "kubectl get pods", "go build .", "make reproducibl",
	} {
		if err := d.runs(command, trial{}); err == nil {
			t.Errorf("%s was taken", command)
		}
	}
	for _, command := range []string{ // the image needs the program
		"make build && buildah bud -f deploy/oci/Dockerfile -t a . && buildah push a", "kubectl -n kube-system exec ds/sttwall -- /sttwall version", "systemctl enable --now sttwall",
	} {
		if err := d.runs(command, trial{}); err != nil {
			t.Errorf("%s: %v", command, err)
		}
	}
}

// TestWhatTheDocsNameIsThere: programs and flags, make targets, tests and scripts that the text names.
func TestWhatTheDocsNameIsThere(t *testing.T) {
	d := &desk{t: t}
	count := 0
	for _, page := range pages(t) {
		for _, c := range doctest.Named(readme(t, page), "sttwall", "make", "go", "scripts/fuzz") {
			if d.page = page; d.names(c) {
				count++
			}
		}
	}
	if count < 80 {
		t.Errorf("only %d names were looked for", count)
	}
}

// TestTheLinksOfTheDocsLeadSomewhere: each page, and each place of it.
func TestTheLinksOfTheDocsLeadSomewhere(t *testing.T) {
	anchors := map[string]map[string]bool{}
	count := 0
	for _, page := range append(pages(t), "CHANGELOG.md") {
		for _, l := range doctest.Links(readme(t, page)) {
			count++
			path := filepath.Join(filepath.Dir(page), l.Path)
			if l.Path == "" {
				path = page
			}
			if _, err := os.Stat(filepath.Join("../..", path)); err != nil {
				t.Errorf("%s:%d: %v", page, l.Line, err)
				continue
			}
			if l.Anchor == "" || !strings.HasSuffix(path, ".md") {
				continue
			}
			if anchors[path] == nil {
				anchors[path] = doctest.Anchors(readme(t, path))
			}
			if !anchors[path][l.Anchor] {
				t.Errorf("%s:%d: %s has no heading #%s", page, l.Line, path, l.Anchor)
			}
		}
	}
	if count < 100 {
		t.Errorf("only %d links were found", count)
	}
}
