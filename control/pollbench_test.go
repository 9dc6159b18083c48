package control

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

// manyRules is a firewall with so many rules, a hundred for each tenant.
func manyRules(t testing.TB, count int) *core {
	t.Helper()
	var rules strings.Builder
	for i := range count {
		if i%100 == 0 {
			fmt.Fprintf(&rules, "tenant \"t%d\" {\n context_ids = [%d]\n", i/100, 100+i/100)
		}
		fmt.Fprintf(&rules, " rule \"r%d\" {\n  action = \"accept\"\n  services = [\"tcp/%d\"]\n }\n", i, 1+i)
		if i%100 == 99 {
			rules.WriteString("}\n")
		}
	}
	return newCore(t, rules.String())
}

// What a screen asks each second, through the socket.
func BenchmarkPoll(b *testing.B) {
	ctx := context.Background()
	for _, bench := range []struct {
		name string
		ask  func(*Client) error
	}{
		{"status", func(c *Client) error { _, err := c.Status(ctx); return err }},
		{"history", func(c *Client) error { _, err := c.History(ctx); return err }},
		{"health", func(c *Client) error { _, err := c.Health(ctx); return err }},
		{"drops", func(c *Client) error { _, err := c.Drops(ctx); return err }},
		{"tenants=100", func(c *Client) error { _, err := c.Tenants(ctx); return err }},
		{"rules=10000", func(c *Client) error { _, err := c.Rules(ctx); return err }},
	} {
		b.Run(bench.name, func(b *testing.B) {
			s := serve(b, Config{Firewall: manyRules(b, 10_000)})
			for range historySamples {
				s.history.add(moment{Sample: Sample{Time: s.started.UTC(), Packets: 123456, Bytes: 123456789, Accepted: 123456, Flows: 100000}})
			}
			c := s.dial(b)
			b.ReportAllocs()
			for b.Loop() {
				if err := bench.ask(c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
