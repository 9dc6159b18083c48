package evasion

import "testing"

func TestReceiversDifferWhereMoreIsMissingThanLinuxHasLost(t *testing.T) {
	for _, c := range []struct {
		name           string
		linux, windows []string
		lost           int
		differ         bool
	}{
		{"the same", []string{"a", "b"}, []string{"a", "b"}, 0, false},
		{"one is missing", []string{"a"}, []string{"a", "b"}, 0, true},
		{"the one that was lost is missing", []string{"a", "c"}, []string{"a", "b", "c"}, 1, false},
		{"two are missing, one was lost", []string{"a"}, []string{"a", "b", "c"}, 1, true},
		{"another one", []string{"a", "x"}, []string{"a", "b"}, 1, true},
		{"one more", []string{"a", "b", "c"}, []string{"a", "b"}, 1, true},
		{"another order", []string{"b", "a"}, []string{"a", "b"}, 1, true},
	} {
		if why := differ(c.linux, c.windows, c.lost); why != "" != c.differ {
			t.Errorf("%s: got %q", c.name, why)
		}
	}
}
