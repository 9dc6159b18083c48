package main

import (
	"strings"
	"syscall"
	"testing"

	"sttwall/internal/gsoguard"
	"sttwall/internal/lab"
)

func TestTheGuardIsThereOrItIsSaidThatItIsNot(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	guard, err := gsoguard.Load() // as the firewall will, with the same rights
	possible := err == nil
	if possible {
		guard.Close()
	}
	const warning, remedy = "super-segments of small pieces can reach receivers on Windows", "ethtool -K IF gro off lro off"
	for _, c := range []struct {
		name, settings string
		args           []string
		starts, warns  bool
	}{
		{name: "auto", starts: true, warns: !possible},
		{name: "require", args: []string{"--gso-guard=require"}, starts: possible},
		{name: "off", args: []string{"--gso-guard=off"}, starts: true},
		{name: "no Windows", settings: `receivers = "linux"`, args: []string{"--gso-guard=require"}, starts: true},
		{name: "no table", args: []string{"--no-nft"}, starts: true, warns: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			rules := rulesFile(t, strings.Replace(smallRules, "settings {", "settings {\n  "+c.settings, 1))
			args := append([]string{"--queues", "1", "--report", "0"}, c.args...)
			if !c.starts {
				status, said := output(t, program(t, "plain", append([]string{"run", "--rules", rules, "--control", "", "--state", ""}, args...)...))
				if status != statusRefused || !strings.Contains(said, gsoguard.ErrNotPermitted.Error()) {
					t.Errorf("status %d, it said:\n%s", status, said)
				}
				return
			}
			fw := startRules(t, rules, args...)
			_, health, _ := sttwall("stats", "--control", fw.socket)
			_, said := fw.stop(t, syscall.SIGTERM)
			for who, text := range map[string]string{"the log": said, "stats": health} {
				if strings.Contains(text, warning) != c.warns || c.warns && !strings.Contains(text, remedy) {
					t.Errorf("%s says:\n%s", who, text)
				}
			}
		})
	}
}

func TestTheGuardsFlagIsChecked(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--gso-guard=on"}, "--gso-guard=on: want auto, require or off"},
		{[]string{"--gso-guard=require", "--no-nft"}, "the guard is a part of the table that is not installed then"},
	} {
		status, _, said := sttwall(append([]string{"run", "--rules", acceptAll}, c.args...)...)
		if status != statusUsage || !strings.Contains(said, c.want) {
			t.Errorf("%v: status %d, %s", c.args, status, said)
		}
	}
}
