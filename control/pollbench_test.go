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
	rules := func(b *testing.B) *core { return manyRules(b, 10_000) }
	for _, bench := range []struct {
		name string
		ask  func(*Client) error
		of   func(*testing.B) *core
	}{
		{"status", func(c *Client) error { _, err := c.Status(ctx); return err }, rules},
		{"history", func(c *Client) error { _, err := c.History(ctx); return err }, rules},
		{"health", func(c *Client) error { _, err := c.Health(ctx); return err }, rules},
		{"drops", func(c *Client) error { _, err := c.Drops(ctx); return err }, rules},
		{"tenants=100", func(c *Client) error { _, err := c.Tenants(ctx); return err }, rules},
		{"rules=10000", func(c *Client) error { _, err := c.Rules(ctx); return err }, rules},
		{"flows=100000", func(c *Client) error {
			_, err := c.Flows(ctx, FlowQuery{Sort: "rate", Descending: true, Limit: 200})
			return err
		}, func(b *testing.B) *core { return filled(b, 100_000) }},
	} {
		b.Run(bench.name, func(b *testing.B) {
			s := serve(b, Config{Firewall: bench.of(b)})
			for range historySamples {
				s.history.add(moment{Sample: Sample{Time: s.started.UTC(), Packets: 123456, Bytes: 123456789, Accepted: 123456, Flows: 100000}})
			}
			c := s.dial(b)
			b.ReportAllocs()
			for b.Loop() {
				s.look.mu.Lock()
				s.look.budget = budget{paid: -lookSaved} // as if a second had passed
				s.look.mu.Unlock()
				if err := bench.ask(c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
