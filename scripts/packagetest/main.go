// Command packagetest installs packages of sttwall in a root of their own, in the lab's
// network: scripts/packages-test calls it.
//
//	new root -- install --> the service is started, and watches: traffic passes
//	         -- upgrade --> it is restarted; a connection through it goes on
//	         -- remove  --> it has ended, its table is gone, and what was installed
//	         -- purge   --> the root is as it was, what the operator wrote aside
//
// What systemd would do is done by a stand-in (manager.go), since none runs in there.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"

	"sttwall/internal/lab"
)

// task is what the parent tells the child.
type task struct {
	Root           string // the folder that is the root of the packages
	OldDeb, NewDeb string
	OldRPM, NewRPM string
	NewVersion     string // that of the new ones
	Page           string // text of docs/packages.md, whose commands are typed
}

const programName = "packages"

func main() {
	lab.MaybeChild(lab.Programs{Inside: map[string]lab.InsideProgram{programName: inside}})
	var t task
	flag.StringVar(&t.Root, "root", "", "`folder` with a Debian system, which is changed")
	flag.StringVar(&t.OldDeb, "old-deb", "", "deb that is installed")
	flag.StringVar(&t.NewDeb, "new-deb", "", "deb that it is upgraded to")
	flag.StringVar(&t.OldRPM, "old-rpm", "", "rpm that is installed")
	flag.StringVar(&t.NewRPM, "new-rpm", "", "rpm that it is upgraded to")
	flag.StringVar(&t.NewVersion, "new-version", "", "version of the new ones")
	page := flag.String("page", "", "`file`: docs/packages.md, whose commands are typed")
	flag.Parse()
	text, err := os.ReadFile(*page)
	if err != nil {
		fmt.Fprintln(os.Stderr, "packagetest:", err)
		os.Exit(2)
	}
	t.Page = string(text)
	if t.Root == "" || t.OldDeb == "" || t.NewDeb == "" || t.OldRPM == "" || t.NewRPM == "" || t.NewVersion == "" || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "packagetest: all flags are needed")
		os.Exit(2)
	}
	ok, err := lab.RunInside(context.Background(), lab.InsideRun{
		Program: programName, Input: t, Stderr: os.Stderr,
		Receive: func(m json.RawMessage) {
			var line string
			if json.Unmarshal(m, &line) == nil {
				fmt.Println(line)
			}
		},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "packagetest:", err)
	}
	if !ok {
		os.Exit(1)
	}
}

// inside runs in the lab's child; see lab.InsideProgram.
func inside(_ context.Context, input json.RawMessage, tell func(any)) (ok bool, err error) {
	var t task
	if err := json.Unmarshal(input, &t); err != nil {
		return false, err
	}
	network, err := lab.New(lab.Config{Without: lab.Inspection})
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, network.Close()) }()
	s := &scenario{task: t, lab: network, say: func(format string, args ...any) { tell(fmt.Sprintf(format, args...)) }}
	if err := s.prepare(); err != nil {
		return false, err
	}
	for _, p := range s.packages() {
		for _, withSystemd := range []bool{true, false} {
			if !withSystemd && p.name != "deb" {
				continue // its scripts leave alone what no systemd has started
			}
			if err := s.run(p, withSystemd); err != nil {
				return false, fmt.Errorf("%s, systemd %v: %w\nsystemctl was called with %q, and the service said:\n%s", p.name, withSystemd, err, s.manager.asked, s.manager.log())
			}
		}
	}
	return true, s.typedAll()
}
