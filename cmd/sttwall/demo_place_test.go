package main

import (
	"strings"
	"testing"

	"sttwall/internal/lab"
)

func TestAPlaceThatTheDemoDoesNotHaveIsRefused(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"demo", "--place", "tap"}, `no such place: "tap": want one of routed, output, bridge, bridge-vlan, vrf, host, or all`},
		{[]string{"demo", "--place", "bridge", "--no-screen"}, "--place and --no-screen"},
		{[]string{"demo", "--place", "all", "--no-screen"}, "--place and --no-screen"},
	} {
		if status, out, stderr := sttwall(c.args...); status != statusUsage || !strings.Contains(stderr, c.want) || out != "" {
			t.Errorf("%v: status %d, %s%s", c.args, status, out, stderr)
		}
	}
}

func TestTheHelpOfDemoNamesEveryPlace(t *testing.T) {
	_, out, _ := sttwall("demo", "--help")
	for _, p := range lab.Positions() {
		if !strings.Contains(strings.Join(strings.Fields(out), " "), ". "+p.String()+": ") {
			t.Errorf("no %s in\n%s", p, out)
		}
	}
}
