package control

import "testing"

func TestContextIDsAreReadAsInRulesFiles(t *testing.T) {
	for text, want := range map[string]uint64{
		"0": 0, "100": 100, "010": 10, "0x64": 100, "0x0010": 16, "18446744073709551615": 1<<64 - 1, "0xffffffffffffffff": 1<<64 - 1,
	} {
		if got, err := ParseContextID(text); err != nil || uint64(got) != want {
			t.Errorf("%s: got %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "-1", "+1", "1_000", "0b1", "0o7", "0x", "1e3", " 1", "18446744073709551616"} {
		if got, err := ParseContextID(text); err == nil {
			t.Errorf("%q: got %d, want an error", text, got)
		}
	}
}
