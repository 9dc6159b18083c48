package tui

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"charm.land/bubbles/v2/key"
)

const keysBegin, keysEnd = "<!-- keys -->\n", "<!-- end -->"

// keyTables are the tables of docs/tui.md.
func keyTables() string {
	var out strings.Builder
	for _, g := range newKeyMap(false).groups() {
		fmt.Fprintf(&out, "| %s | |\n| --- | --- |\n", strings.ToLower(g.title[:1])+g.title[1:])
		for _, b := range g.keys {
			fmt.Fprintf(&out, "| `%s` | %s |\n", strings.ReplaceAll(b.Help().Key, " ", "` `"), b.Help().Desc)
		}
		out.WriteString("\n")
	}
	return strings.TrimSuffix(out.String(), "\n")
}

func TestTheDocumentationHasEveryKeyAndScreen(t *testing.T) {
	const path = "../docs/tui.md"
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(data), keysBegin)
	got, after, ended := strings.Cut(rest, keysEnd)
	if !found || !ended {
		t.Fatalf("%s has no %q and %q", path, keysBegin, keysEnd)
	}
	if want := keyTables(); got != want {
		if *update {
			if err := os.WriteFile(path, []byte(before+keysBegin+want+keysEnd+after), 0o644); err != nil {
				t.Fatal(err)
			}
		} else {
			t.Errorf("the keys should be\n%s", want)
		}
	}
	text := string(data)
	for _, s := range screens(&env{now: time.Now}) {
		if !strings.Contains(text, "| "+s.Title()+" | ") {
			t.Errorf("the screen %s is not there", s.Title())
		}
	}
	if keys, tabs := len(newKeyMap(false).Screen.Keys()), len(ScreenTitles()); keys != tabs {
		t.Errorf("%d keys for %d screens", keys, tabs)
	}
	for _, bound := range []string{fmt.Sprintf("%dx%d at least", minWidth, minHeight)} {
		if !strings.Contains(text, bound) {
			t.Errorf("it does not say %q", bound)
		}
	}
	for _, name := range append(Themes, ThemeAuto) {
		if !strings.Contains(text, "`"+name+"`") && !strings.Contains(text, "--theme "+name+"`") {
			t.Errorf("the theme %s is not there", name)
		}
	}
}

// Every key of the map is in a group, and no two that work at the same place are the
// same.
func TestEveryKeyIsToldAndNoneTwice(t *testing.T) {
	k := newKeyMap(false)
	told := make(map[string]bool)
	for _, g := range k.groups() {
		for _, b := range g.keys {
			told[b.Help().Key+b.Help().Desc] = true
		}
	}
	for field, value := range reflect.ValueOf(*k).Fields() {
		if b := value.Interface().(key.Binding); !told[b.Help().Key+b.Help().Desc] {
			t.Errorf("%s is not in the help", field.Name)
		}
	}
	for _, g := range k.groups()[:2] {
		for _, other := range k.groups()[:2] {
			for i, a := range g.keys {
				for j, b := range other.keys {
					if g.title == other.title && i == j {
						continue
					}
					for _, one := range a.Keys() {
						for _, same := range b.Keys() {
							if one == same {
								t.Errorf("%s is %q and %q", one, a.Help().Desc, b.Help().Desc)
							}
						}
					}
				}
			}
		}
	}
}
