package eventlog

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestTargetsAreRead(t *testing.T) {
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"/var/log/sttwall/eve.json": "/var/log/sttwall/eve.json",
		"file:/a//b/../eve.json":    "/a/eve.json",
		"eve.json":                  filepath.Join(here, "eve.json"),
		"file:syslog:":              filepath.Join(here, "syslog:"),
		"syslog:":                   "syslog:local5",
		"syslog:daemon":             "syslog:daemon",
		"journald:":                 "journald:",
	} {
		to, err := ParseTarget(text)
		if err != nil || to.String() != want {
			t.Errorf("%q: got %q, %v, want %q", text, to, err, want)
		}
	}
	for text, want := range map[string]string{
		"": "no file", "file:": "no file", "syslog:mail\x1b": "want one of auth, authpriv, daemon, local0", "journald:x": "nothing may stand there",
	} {
		if _, err := ParseTarget(text); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

func TestAConfigurationThatIsWrongSaysSo(t *testing.T) {
	fine := func() Config {
		return Config{Targets: []Target{{path: "/x"}}, Log: slog.New(slog.DiscardHandler)}
	}
	if _, err := New(fine()); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*Config){
		"no logger":                 func(c *Config) { c.Log = nil },
		"0 targets, want 1 to 8":    func(c *Config) { c.Targets = nil },
		"9 targets, want 1 to 8":    func(c *Config) { c.Targets = make([]Target, MaxTargets+1) },
		"/x is there twice":         func(c *Config) { c.Targets = append(c.Targets, c.Targets[0]) },
		"-1s: must not be negative": func(c *Config) { c.Stats = -time.Second },
	} {
		c := fine()
		change(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
