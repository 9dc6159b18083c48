package main

import (
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func TestEachFlagOfRunIsInTheHelpOnce(t *testing.T) {
	run := newRunCommand(streams{})
	grouped := map[string]bool{}
	for _, g := range runFlags {
		for _, name := range g.names {
			if grouped[name] || run.Flags().Lookup(name) == nil {
				t.Errorf("%s: there is no such flag, or it is in two groups", name)
			}
			grouped[name] = true
		}
	}
	_, help, _ := sttwall("run", "--help")
	_, first, _ := strings.Cut(help, "\nFlags:\n")
	first, _, _ = strings.Cut(first, "\n"+runFlags[0].title+":\n")
	run.Flags().VisitAll(func(f *pflag.Flag) {
		want := 1
		if f.Hidden {
			want = 0
		}
		if n := strings.Count(help, "\n      --"+f.Name+" "); n != want {
			t.Errorf("--%s is %d times in the help, want %d", f.Name, n, want)
		}
	})
	for _, name := range []string{"--rules file", "--control socket", "--help"} {
		if !strings.Contains(first, name) {
			t.Errorf("%s is not among the first flags", name)
		}
	}
	if n := strings.Count(first, " --"); n != 3 {
		t.Errorf("%d flags are in no group of runFlags:\n%s", n, first)
	}
}
