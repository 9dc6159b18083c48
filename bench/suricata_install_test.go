package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sttwall/bench/peers"
	"sttwall/internal/doctest"
)

// TestThePageFetchesSuricata types what the page says: what comes is the Suricata that takes
// part, and lies where it is looked for.
func TestThePageFetchesSuricata(t *testing.T) {
	page, err := os.ReadFile("README.md")
	must(t, err)
	var typed string
	for _, c := range doctest.Commands(string(page)) {
		if strings.HasPrefix(c.Text, "bench/peers/suricata-install") {
			typed = c.Text
		}
	}
	if typed == "" {
		t.Fatal("README.md has no bench/peers/suricata-install")
	}
	release, err := os.ReadFile("/etc/os-release")
	must(t, err)
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute) // 31 MB, from a mirror
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", typed)
	cmd.Dir = ".."
	out, err := cmd.CombinedOutput()
	if !strings.Contains(string(release), "VERSION_CODENAME=bookworm") {
		if err == nil || !strings.Contains(string(out), "this is not Debian 12") {
			t.Errorf("not on Debian 12: %v\n%s", err, out)
		}
		return
	}
	if err != nil {
		if os.Getenv("CI") == "" && (strings.Contains(string(out), "Failed to fetch") || strings.Contains(string(out), "no Debian mirror")) {
			t.Skipf("no mirror is in reach:\n%s", out)
		}
		t.Fatalf("%v\n%s", err, out)
	}
	if want := "unpacked into " + filepath.Join(cache, "sttwall-bench/suricata"); !strings.Contains(string(out), want) {
		t.Errorf("want %q; it said:\n%s", want, out)
	}
	t.Setenv("PATH", "") // where another one may be
	if err := peers.Suricata(peers.SuricataConfig{}).Available(); err != nil {
		t.Error(err)
	}
}
