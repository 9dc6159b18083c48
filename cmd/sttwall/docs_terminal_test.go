package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"sttwall/internal/tmux"
)

// What the desk has on a terminal, as people have it: it shows how far a command is, and ^C
// reaches all processes of the foreground.

// over is the last that a script writes on a terminal, with its status.
const over = "that was all, with status "

// sits has a script run on a terminal until that shows what is wanted, presses the key, and
// judges how it ends.
func (d *desk) sits(script string, row trial) error {
	if row.machine && !ofTheMachine() {
		row.want, row.key, row.status, row.says = `needs root of the whole machine`, "", statusRefused, ""
	}
	path := filepath.Join(own, "sits")
	d.writes(path, script+"\nstatus=$?; echo \""+over+"$status\"; exit $status\n")
	p := sitBefore(d.t, tmux.Config{Width: 130, Height: 40, Dir: d.folder, Command: []string{"bash", path}})
	defer p.terminal.Close()
	want := regexp.MustCompile(row.want)
	s := p.waits(row.want, func(s tmux.Screen) bool { return want.MatchString(s.String()) || s.Contains(over) })
	if !want.MatchString(s.String()) {
		return fmt.Errorf("it ended without %s:\n%s", row.want, s)
	}
	if row.key != "" {
		p.press(row.key)
	}
	ended := p.state("its end", func(s tmux.State) bool { return s.Ended })
	if ended.Status != row.status {
		s, _ := p.terminal.Screen(p.ctx)
		return fmt.Errorf("exit status %d, want %d; the screen is:\n%s", ended.Status, row.status, s)
	}
	// What it has written last reaches the terminal when it has ended already.
	s = p.sees(over)
	ended, err := p.terminal.State(p.ctx)
	switch {
	case err != nil:
		return err
	case !regexp.MustCompile(row.says).MatchString(s.String()):
		return fmt.Errorf("it does not say %s, but:\n%s", row.says, s)
	case ended.Alternate || !ended.Cursor || ended.Mouse:
		return fmt.Errorf("the terminal is not as it was: %+v", ended)
	}
	return nil
}

// ofTheMachine reports whether this is root of all of it, and not of a user namespace.
func ofTheMachine() bool {
	text, err := os.ReadFile("/proc/self/uid_map")
	return err == nil && strings.Join(strings.Fields(string(text)), " ") == "0 0 4294967295"
}

// leavesNothing has a script end with a status of its own, and a word, if interfaces,
// namespaces, tables, temporary files or processes of the program are there after a command
// that were not there before it.
func leavesNothing(command string, row trial) string {
	if row.leaves {
		return "set +e\n" + command
	}
	return `set +e
export TMPDIR=` + temporaryOfDesk + `
there() {
	ip -brief link | cut -d" " -f1 # whether it is up is not known at once
	ip netns; nft list tables; ls -A "$TMPDIR"
	for p in /proc/[0-9]*; do # outside of the first one's network: its forks are the program until they are another
		[ ! $p/exe -ef "$PROGRAM" ] || [ $p/ns/net -ef /proc/1/ns/net ] || echo $p
	done
}
before=$(there)
` + command + `
status=$?
after=$(there)
[ "$before" = "$after" ] || { echo "left behind:"; diff <(echo "$before") <(echo "$after"); status=99; }
(exit $status)`
}

// answered is a script that has what was typed before answer, and types a command on the
// host at the other end of the link. What answers has to end well too.
func (d *desk) answered(command string) string {
	want := tried(d.page, d.before).want
	path := filepath.Join(own, "asks")
	d.writes(path, command+"\n")
	return `ip netns add far && ip link set far0 netns far && ip -n far addr add 10.0.0.1/24 dev far0
	ip -n far link set lo up && ip -n far link set far0 up
	said=` + filepath.Join(own, "answers") + `
	{ exec ` + d.before + `	} >$said 2>&1 &
	until grep -qE '` + want + `' $said; do kill -0 $! || { cat $said >&2; exit 9; }; sleep 0.05; done
	status=0; ip netns exec far bash ` + path + ` || status=$?
	kill $! && wait $! || { cat $said >&2; exit 9; }
	exit $status`
}
