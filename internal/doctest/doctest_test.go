package doctest

import (
	"os/exec"
	"regexp"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const page = "# A page: of `code`, and [links](x.md)\n" +
	"\n" +
	"Text, see [this](docs/a.md#there) and [that](#a-place) and [far](https://example.org/x).\n" +
	"    a line that is indented and goes on with the text\n" +
	"\n" +
	"    first --flag   # a comment, it's one\n" +
	"    second 'over\n" +
	"      two lines' | third\n" +
	"    fourth \\\n" +
	"      and on\n" +
	"\n" +
	"```hcl\n" +
	"    not = \"a command\"\n" +
	"# no heading\n" +
	"```\n" +
	"```sh\n" +
	"fifth\n" +
	"```\n" +
	"```\n" +
	"output [no](link.md)\n" +
	"```\n" +
	"<!-- mark -->\n" +
	"    sixth\n" +
	"\n" +
	"## A place\n" +
	"## A place\n" +
	"In text `sttwall flows --json`, `sttwall`, `other flows` and `make x`. And `[none](no.md)`\n"

func TestCommandsAreThoseOfIndentedBlocks(t *testing.T) {
	want := []Command{
		{6, "first --flag   # a comment, it's one"},
		{7, "second 'over\n  two lines' | third"},
		{9, "fourth \\\n  and on"},
		{17, "fifth"},
		{23, "sixth"},
	}
	if diff := cmp.Diff(want, Commands(page)); diff != "" {
		t.Error(diff)
	}
}

func TestAnEndOfALineInWordsIsNotTyped(t *testing.T) {
	for text, want := range map[string]string{"a --b   # c": "a --b", "a 'b # c'": "a 'b # c'", "a": "a"} {
		if got := (Command{Text: text}).Typed(); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestWordsAreThoseOfAShell(t *testing.T) {
	for text, want := range map[string][]string{
		"sttwall flows --audit    # what":       {"sttwall", "flows", "--audit"},
		"a 'b  c' \"d\"e '' | f":                {"a", "b  c", "de", ""},
		"a b#c >file d":                         {"a", "b#c"},
		"cd bench && go run .":                  {"cd", "bench"},
		"a \\\n  b":                             {"a", "b"},
		"sttwall block 'x:y <> any' --for 1h\n": {"sttwall", "block", "x:y <> any", "--for", "1h"},
	} {
		if got := Words(text); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestWhatTheTextNames(t *testing.T) {
	want := []Command{{27, "sttwall flows --json"}, {27, "make x"}}
	if diff := cmp.Diff(want, Named(page, "sttwall", "make")); diff != "" {
		t.Error(diff)
	}
}

func TestLinksAndWhereTheyLead(t *testing.T) {
	want := []Link{{1, "x.md", ""}, {3, "docs/a.md", "there"}, {3, "", "a-place"}}
	if diff := cmp.Diff(want, Links(page)); diff != "" {
		t.Error(diff)
	}
	anchors := map[string]bool{"a-page-of-code-and-links": true, "a-place": true, "a-place-1": true}
	if diff := cmp.Diff(anchors, Anchors(page)); diff != "" {
		t.Error(diff)
	}
}

func TestACommandIsFollowedUntilItSaysWhatIsWanted(t *testing.T) {
	for script, want := range map[string]struct {
		said        string
		interrupted bool
		status      int
	}{
		"trap 'echo ^C; exit 3' INT; echo works; while :; do sleep 0.01; done": {"works\n^C\n", true, 3},
		"echo ends >&2; exit 2": {"ends\n", false, 2},
	} {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", script)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		said, interrupted, err := Follow(cmd, regexp.MustCompile("works"), time.Minute)
		if err != nil || said != want.said || interrupted != want.interrupted || cmd.ProcessState.ExitCode() != want.status {
			t.Errorf("%s: %q, %v, %v, %v; want %+v", script, said, interrupted, cmd.ProcessState, err, want)
		}
	}
}

func TestNothingIsSealedOutsideOfTheLab(t *testing.T) {
	if err := Seal(t.TempDir()); err == nil {
		t.Error("this process's file systems were made read-only")
	}
}
