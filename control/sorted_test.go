package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"sttwall/conntrack"
)

// mixed is a firewall with flows of all kinds, begun at different times.
func mixed(t testing.TB) *core {
	fw := newCore(t, testRules)
	r := rand.New(rand.NewPCG(1, 5))
	for i := range 400 {
		var text string
		from, to := fmt.Sprintf("10.0.%d.%d", r.IntN(3), 1+r.IntN(9)), fmt.Sprintf("10.1.0.%d", 1+r.IntN(9))
		if r.IntN(3) == 0 {
			from, to = fmt.Sprintf("2001:db8::%d", 1+r.IntN(9)), fmt.Sprintf("2001:db8::1:%d", 1+r.IntN(9))
		}
		switch r.IntN(3) {
		case 0:
			text = fmt.Sprintf("tcp %s > %s syn", end(from, 1000+i), end(to, 443))
		case 1:
			text = fmt.Sprintf("udp %s > %s", end(from, 1000+i), end(to, 53))
		default:
			text = fmt.Sprintf("icmp %s > %s echo-request id %d", from, to, i)
			if strings.Contains(from, ":") {
				text = "icmpv6" + text[len("icmp"):]
			}
		}
		context := uint64(100 + 100*r.IntN(2))
		for range 1 + r.IntN(3) {
			fw.send(t, context, text, false)
		}
		if back, ok := strings.CutPrefix(text, "udp "); ok && r.IntN(2) == 0 {
			src, dst, _ := strings.Cut(back, " > ")
			fw.send(t, context, "udp "+dst+" > "+src, true)
		}
		fw.now += int64(r.IntN(3)) * int64(300*time.Millisecond)
	}
	return fw
}

func end(address string, port int) string {
	if strings.Contains(address, ":") {
		return fmt.Sprintf("[%s]:%d", address, port)
	}
	return fmt.Sprintf("%s:%d", address, port)
}

// obvious compares two flows as they are shown.
func obvious(key string, now time.Time, a, b *Flow) int {
	port := func(p *uint16) int {
		if p == nil {
			return -1
		}
		return int(*p)
	}
	verdict := func(f *Flow) string {
		if f.WouldBe != "" {
			return "audit"
		}
		return f.Verdict
	}
	// Nothing was seen before: what went since it began.
	rate := func(f *Flow) float64 {
		life := max(1, now.Sub(f.Begun).Seconds())
		return float64(float32(float64(f.Original.Bytes)/life)) + float64(float32(float64(f.Reply.Bytes)/life))
	}
	switch key {
	case "rate":
		return cmp.Compare(rate(a), rate(b))
	case "bytes":
		return cmp.Compare(a.Original.Bytes+a.Reply.Bytes, b.Original.Bytes+b.Reply.Bytes)
	case "packets":
		return cmp.Compare(a.Original.Packets+a.Reply.Packets, b.Original.Packets+b.Reply.Packets)
	case "age":
		return cmp.Compare(now.Sub(a.Begun), now.Sub(b.Begun))
	case "last":
		return a.Last.Compare(b.Last)
	case "expires":
		return a.Expires.Compare(b.Expires)
	case "tenant":
		return cmp.Compare(a.Tenant, b.Tenant)
	case "context":
		return cmp.Compare(a.Context, b.Context)
	case "protocol":
		return cmp.Compare(a.Protocol, b.Protocol)
	case "src":
		return a.Src.Compare(b.Src)
	case "dst":
		return a.Dst.Compare(b.Dst)
	case "src_port":
		return cmp.Compare(port(a.SrcPort), port(b.SrcPort))
	case "dst_port":
		return cmp.Compare(port(a.DstPort), port(b.DstPort))
	case "state":
		return cmp.Compare(a.State, b.State)
	case "verdict":
		return cmp.Compare(verdict(a), verdict(b))
	case "rule":
		return cmp.Compare(a.Rule, b.Rule)
	case "from":
		return a.From.Compare(b.From)
	case "to":
		return a.To.Compare(b.To)
	}
	panic(key)
}

func TestSortedPagesAreThoseOfAnObviousSort(t *testing.T) {
	fw := mixed(t)
	c := serve(t, Config{Firewall: fw}).dial(t)
	if len(sorters) != len(FlowSorts) {
		t.Errorf("%d can be sorted by, %d are named", len(sorters), len(FlowSorts))
	}
	for _, key := range FlowSorts {
		for _, q := range []FlowQuery{
			{},
			{Descending: true},
			{Filter: "tcp or sport:1100-1300"},
			{Filter: "host:10.0.0.0/16 packets:>1 age:>10s", Descending: true},
			{Filter: "audit dport:53 state:stream"},
			{Tenant: "acme", Filter: "rule:acme/web"},
			{Audit: true, Descending: true},
			{Tenant: "acme", Audit: true},
		} {
			name := fmt.Sprintf("%s %+v", key, q)
			all := q
			all.Descending, all.Limit = false, MaxFlows
			unsorted, err := c.Flows(context.Background(), all)
			if err != nil || unsorted.Next != "" {
				t.Fatal(name, err)
			}
			want := unsorted.Flows
			q.Sort, q.Limit = key, 37
			for q.Offset = 0; q.Offset == 0 || q.Offset < len(want); q.Offset += q.Limit {
				page, err := c.Flows(context.Background(), q)
				if err != nil {
					t.Fatal(name, err)
				}
				if q.Offset == 0 {
					slices.SortFunc(want, func(a, b Flow) int {
						c := obvious(key, unsorted.Time, &a, &b)
						if q.Descending {
							c = -c
						}
						x, err1 := conntrack.ParseHandle(a.ID)
						y, err2 := conntrack.ParseHandle(b.ID)
						if err := errors.Join(err1, err2); err != nil {
							t.Fatal(err)
						}
						return cmp.Or(c, x.Compare(y))
					})
				}
				if page.Matched != len(want) || page.Next != "" || page.Position != nil {
					t.Fatalf("%s: %d of %d flows are said to match", name, page.Matched, len(want))
				}
				for i, f := range page.Flows {
					if w := want[q.Offset+i]; f.ID != w.ID {
						t.Fatalf("%s: at %d\n got %+v\nwant %+v", name, q.Offset+i, f, w)
					}
				}
				if got := len(page.Flows); got != min(q.Limit, len(want)-q.Offset) {
					t.Fatalf("%s: %d flows from %d on", name, got, q.Offset)
				}
			}
			for _, at := range []int{0, len(want) / 2, len(want) - 1} {
				if at < 0 || at >= len(want) {
					continue
				}
				q.Offset, q.Limit, q.Find = 0, 1, want[at].ID
				if page, err := c.Flows(context.Background(), q); err != nil || page.Position == nil || *page.Position != at {
					t.Errorf("%s: flow %d is at %v, %v", name, at, page.Position, err)
				}
			}
		}
	}
	for _, q := range []FlowQuery{
		{Sort: "age", Find: "0-0-1000001"}, {Sort: "age", Find: "77777-1-1"}, {Sort: "age", Find: "0-4294967295-2"}, {Sort: "age", Offset: 100_000},
		{Sort: "age", Filter: "tenant:nobody"},
	} {
		page, err := c.Flows(context.Background(), q)
		if err != nil || page.Position != nil || page.Flows == nil || (q.Find == "") != (len(page.Flows) == 0) {
			t.Errorf("%+v: %+v, %v", q, page, err)
		}
	}
}
