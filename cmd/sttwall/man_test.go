package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// manFolder has `sttwall man` write its pages.
func manFolder(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "new", "man8")
	if status, out, stderr := sttwall("man", dir); status != statusFine || !strings.Contains(out, " pages") || stderr != "" {
		t.Fatalf("status %d, %s%s", status, out, stderr)
	}
	return dir
}

func TestEachCommandHasAManPageWithAllOfItsFlags(t *testing.T) {
	dir := manFolder(t)
	written, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	root := newRootCommand(streams{})
	root.InitDefaultCompletionCmd()
	expected := 0
	var look func(*cobra.Command)
	look = func(c *cobra.Command) {
		name := strings.ReplaceAll(c.CommandPath(), " ", "-") + ".8"
		text := readAt(t, filepath.Join(dir, name))
		expected++
		if !strings.Contains(text, ".SH NAME\n") || strings.Count(text, ".SH DESCRIPTION\n") != 1 {
			t.Errorf("%s lacks a section:\n%s", name, text)
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			want := 1
			if f.Hidden {
				want = 0
			}
			flag := "\\fB" + strings.ReplaceAll("--"+f.Name, "-", `\-`) + "\\fR"
			if n := strings.Count(text, flag); n != want {
				t.Errorf("%s has --%s %d times, want %d", name, f.Name, n, want)
			}
		})
		for _, below := range c.Commands() {
			if below.Hidden {
				continue
			}
			look(below)
		}
	}
	look(root)
	if len(written) != expected || expected < 25 {
		t.Errorf("%d pages for %d commands", len(written), expected)
	}
}

// A page is the same wherever it is made: nothing in it is of the host that made it.
func TestManPagesSayNothingOfTheHost(t *testing.T) {
	page := readAt(t, filepath.Join(manFolder(t), "sttwall-run.8"))
	for _, want := range []string{"one for each processor, 8 at most", `(default /run/sttwall/control.sock)`, ".SS What passes\n"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page of run has no %q:\n%s", want, page)
		}
	}
}

// groff and mandoc have nothing to say against a page, and man shows it.
func TestManPagesRenderWithoutAWarning(t *testing.T) {
	dir := manFolder(t)
	// What a host adds to the macros is not looked at.
	local := t.TempDir()
	if err := os.WriteFile(filepath.Join(local, "man.local"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GROFF_TMAC_PATH", local)
	pages, err := filepath.Glob(filepath.Join(dir, "*.8"))
	if err != nil || len(pages) == 0 {
		t.Fatal(pages, err)
	}
	for _, tool := range [][]string{
		{"groff", "-man", "-Tutf8", "-ww", "-b", "-z"},
		{"mandoc", "-T", "lint", "-W", "warning"},
	} {
		if _, err := exec.LookPath(tool[0]); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatal(err)
			}
			t.Logf("%v: not tried", err)
			continue
		}
		for _, page := range pages {
			out, err := exec.Command(tool[0], append(tool[1:], page)...).CombinedOutput()
			if err != nil || len(out) > 0 {
				t.Errorf("%s: %v\n%s", filepath.Base(page), err, out)
			}
		}
	}
	if _, err := exec.LookPath("man"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	show := exec.Command("man", "--warnings", "-l", filepath.Join(dir, "sttwall-run.8"))
	show.Env = append(os.Environ(), "MANWIDTH=80", "LC_ALL=C.UTF-8", "MANPAGER=cat", "MAN_KEEP_FORMATTING=")
	var warned strings.Builder
	show.Stderr = &warned
	out, err := show.Output()
	if err != nil || warned.Len() > 0 || !strings.Contains(string(out), "--rules file") {
		t.Errorf("man: %v, %s\n%s", err, warned.String(), out)
	}
}

// What the page of a text says is the text: signs of roff's own in it stay signs.
func TestRoffLeavesTextAsItIs(t *testing.T) {
	groff, err := exec.LookPath("groff")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	for _, text := range []string{`.TH is no request`, `'quoted' and "so"`, `a\b \fB --flag ~ ^C`, "`back`"} {
		cmd := exec.Command(groff, "-man", "-Tutf8", "-P-cbou")
		cmd.Stdin = strings.NewReader(".TH T 8\n.SH X\n" + roffLines(text))
		out, err := cmd.Output()
		if err != nil || !strings.Contains(string(out), "       "+text+"\n") {
			t.Errorf("%q becomes %v\n%s", text, err, out)
		}
	}
}
