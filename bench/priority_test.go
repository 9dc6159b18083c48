package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestASessionIsPutFirstAndBack(t *testing.T) {
	for _, c := range []struct{ name, before, first, back string }{
		{"a session", "/autogroup-7 nice 0\n", "-20", "0"},
		{"one that was made nice before", "/autogroup-7 nice 5\n", "-20", "5"},
		{"a process of no session", "", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "autogroup")
			writes(t, file, c.before)
			undo, err := sessionFirst(file)
			must(t, err)
			holds(t, file, c.first)
			must(t, undo())
			holds(t, file, c.back)
		})
	}
	t.Run("a kernel without sessions' shares", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "autogroup")
		undo, err := sessionFirst(file)
		must(t, err)
		must(t, undo())
		if _, err := os.Stat(file); err == nil {
			t.Error("the file was made")
		}
	})
}

func holds(t *testing.T, file, want string) {
	t.Helper()
	if got, err := os.ReadFile(file); err != nil || string(got) != want {
		t.Errorf("%s holds %q, %v; want %q", file, got, err, want)
	}
}
