package main

import (
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"sttwall/policy"
)

func TestInterfacesOfEndpointsThatDoNotExistAreSaid(t *testing.T) {
	for _, c := range []struct {
		name    string
		foreign bool
		want    int
	}{{"lo", false, 0}, {"nosuch0", false, 1}, {"lo", true, 1}, {"nosuch0", true, 2}} {
		var said strings.Builder
		bound := []policy.BoundEndpoint{{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Interface: c.name}, {Prefix: netip.MustParsePrefix("10.1.0.0/16"), Interface: c.name}}
		warnInterfaces(slog.New(slog.NewTextHandler(&said, nil)), bound, c.foreign)
		if n := strings.Count(said.String(), "level=WARN"); n != c.want {
			t.Errorf("%+v: got %d warnings, want %d:\n%s", c, n, c.want, said.String())
		}
	}
}
