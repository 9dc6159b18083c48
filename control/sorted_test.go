package control

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
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
			// Some are below all IPv4-mapped ones.
			from, to = fmt.Sprintf("2001:db8::%d", 1+r.IntN(9)), fmt.Sprintf("::2:%d", 1+r.IntN(9))
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
		checkSorted(t, c, key)
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

// Flows that other rules have accepted are shown, and sorted, by those of now.
func TestSortedPagesFollowAReload(t *testing.T) {
	fw := mixed(t)
	c := serve(t, Config{Firewall: fw}).dial(t)
	if _, err := c.Flows(context.Background(), FlowQuery{Sort: "rule"}); err != nil {
		t.Fatal(err)
	}
	other := strings.Replace(testRules, `tenant "globex" {`, `tenant "a-globex" {`, 1)
	other = strings.Replace(other, `rule "web" {`, `rule "names" {
    action   = "accept"
    services = ["udp/53"]
  }
  rule "all" {
    action = "accept"
    mode   = "audit"
  }
  rule "web" {`, 1)
	p := compile(t, other)
	fw.shared.SetPolicy(p) // and no flow is judged yet
	fw.put(p)
	for _, key := range []string{"rule", "verdict", "tenant", "rate"} {
		checkSorted(t, c, key)
	}
}

// checkSorted compares sorted pages with all flows and an obvious sort.
func checkSorted(t *testing.T, c *Client, key string) {
	t.Helper()
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

func TestRatesAreOfWhatWentBetweenTwoLooks(t *testing.T) {
	fw := newCore(t, testRules)
	s := serve(t, Config{Firewall: fw})
	ask := func() map[uint16]Flow {
		t.Helper()
		page, err := s.dial(t).Flows(context.Background(), FlowQuery{Sort: "rate", Descending: true})
		if err != nil {
			t.Fatal(err)
		}
		flows := make(map[uint16]Flow)
		for _, f := range page.Flows {
			flows[*f.SrcPort] = f
		}
		return flows
	}
	send := func(n int, port int, back bool) {
		t.Helper()
		text := fmt.Sprintf("udp 10.0.0.1:%d > 10.0.0.2:53", port)
		if back {
			text = fmt.Sprintf("udp 10.0.0.2:53 > 10.0.0.1:%d", port)
		}
		for range n {
			if !fw.send(t, 100, text, back) {
				t.Fatal("dropped")
			}
		}
	}
	check := func(what string, f Flow, packets, reply float64) {
		t.Helper()
		each := float64(f.Original.Bytes) / float64(f.Original.Packets)
		if *f.OriginalRate != (Rate{packets, packets * each}) || *f.ReplyRate != (Rate{reply, reply * each}) {
			t.Errorf("%s: %+v, %+v a second, want %v, %v packets", what, *f.OriginalRate, *f.ReplyRate, packets, reply)
		}
	}
	fw.now = fw.now / 1e9 * 1e9
	send(40, 1, false)
	fw.now += int64(4 * time.Second)
	send(1, 2, false)
	flows := ask()
	check("first look, on average", flows[1], 10, 0)
	check("first look, just begun", flows[2], 1, 0)

	fw.now += int64(2 * time.Second)
	send(6, 1, false)
	send(3, 1, true)
	send(8, 3, false)
	flows = ask()
	check("two seconds later", flows[1], 3, 1.5)
	check("nothing since", flows[2], 0, 0)
	check("new", flows[3], 8, 0)

	fw.now += int64(meterEvery - time.Millisecond)
	send(100, 1, false)
	send(5, 4, false)
	flows = ask()
	check("too soon for another reading", flows[1], 3, 1.5)
	check("new, between readings", flows[4], 5, 0)
	fw.now += int64(time.Millisecond)
	flows = ask()
	check("half a second after the last reading", flows[1], 200, 0)

	// Single flows are read when they are asked for.
	fw.now += int64(time.Second)
	send(7, 1, false)
	ids := []string{flows[4].ID, "1-2-999", flows[1].ID, "9999-1-1"}
	page, err := s.dial(t).Flows(context.Background(), FlowQuery{IDs: ids})
	if err != nil || len(page.Flows) != 2 || page.Matched != 2 || page.Flows[0].ID != ids[0] || page.Flows[1].ID != ids[2] {
		t.Fatalf("by their IDs: %+v, %v", page, err)
	}
	check("by its ID, nothing since", page.Flows[0], 0, 0)
	check("by its ID", page.Flows[1], 7, 0)
	check("read already", ask()[1], 7, 0)

	// Another flow in the place of one that is over shares nothing with it.
	fw.now += int64(time.Hour)
	for port := 1000; port < 2000; port++ {
		send(1, port, false)
	}
	for port, f := range ask() {
		check(fmt.Sprintf("port %d", port), f, 1, 0)
	}
}

func TestLooksTakeNoMoreThanTheirShare(t *testing.T) {
	const d = 100 * time.Millisecond // a look
	cost := lookShare * d
	var b budget
	for _, tt := range []struct {
		name  string
		now   time.Duration
		spend bool
		wait  time.Duration
	}{
		{"at first", time.Hour, false, 0},
		{"one costs what was saved up", time.Hour, true, cost - lookSaved},
		{"a second one", time.Hour, true, 2*cost - lookSaved},
		{"later", time.Hour + cost, false, cost - lookSaved},
		{"no more is saved up", 2 * time.Hour, true, cost - lookSaved},
	} {
		if tt.spend {
			b.spend(tt.now, cost)
		}
		if got := b.wait(tt.now); got != tt.wait {
			t.Errorf("%s: wait %v, want %v", tt.name, got, tt.wait)
		}
	}
}

func TestWhereThereIsNoTimeForALookTheLastOneAnswers(t *testing.T) {
	fw := newCore(t, testRules)
	now := time.Hour
	s := serve(t, Config{Firewall: fw}, func(s *Server) { s.look.clock = func() time.Duration { return now } })
	c, ctx := s.dial(t), context.Background()
	send := func(port int) { fw.send(t, 100, fmt.Sprintf("udp 10.0.0.1:%d > 10.0.0.2:53", port), false) }
	send(1)
	q := FlowQuery{Sort: "src_port"}
	if page, err := c.Flows(ctx, q); err != nil || page.Matched != 1 {
		t.Fatalf("%+v, %v", page, err)
	}
	send(2)
	if page, err := c.Flows(ctx, q); err != nil || page.Matched != 2 {
		t.Fatalf("there is time: %+v, %v", page, err)
	}
	send(3)
	if page, err := c.Flows(ctx, FlowQuery{Sort: "src_port", Offset: 1}); err != nil || page.Matched != 2 || len(page.Flows) != 1 {
		t.Fatalf("another part, at once: %+v, %v", page, err)
	}
	fw.send(t, 100, "udp 10.0.0.1:1 > 10.0.0.2:53", false)
	s.look.mu.Lock()
	s.look.budget.paid = now + time.Second
	s.look.mu.Unlock()
	q.Offset, q.Limit, q.Find = 0, 1, ""
	page, err := c.Flows(ctx, q)
	if err != nil || page.Matched != 2 || len(page.Flows) != 1 || page.Flows[0].Original.Packets != 2 {
		t.Errorf("the last look, the counts of now: %+v, %v", page, err)
	}
	q.Offset = 1
	if page, err = c.Flows(ctx, q); err != nil || page.Matched != 2 || len(page.Flows) != 1 || *page.Flows[0].SrcPort != 2 {
		t.Errorf("another part of the last look: %+v, %v", page, err)
	}

	// Another order waits for the next look.
	waited := make(chan error, 1)
	go func() {
		page, err := c.Flows(ctx, FlowQuery{Sort: "src_port", Descending: true})
		if err == nil && page.Matched != 3 {
			err = fmt.Errorf("%+v", page)
		}
		waited <- err
	}()
	gone, stop := context.WithCancel(ctx)
	stop()
	if _, err := c.Flows(gone, FlowQuery{Sort: "age"}); !errors.Is(err, context.Canceled) {
		t.Errorf("one that does not wait: %v", err)
	}
	s.look.mu.Lock()
	now += 2 * time.Second
	s.look.mu.Unlock()
	if err := <-waited; err != nil {
		t.Error(err)
	}

	s.look.mu.Lock()
	s.look.budget.paid = now + lookWait + time.Second
	s.look.mu.Unlock()
	var refused *Error
	if _, err := c.Flows(ctx, FlowQuery{Sort: "age"}); !errors.As(err, &refused) || refused.Code != http.StatusServiceUnavailable || !strings.Contains(refused.Message, "in 11s") {
		t.Errorf("longer than one waits: %v", err)
	}
	// While others were at work, somebody else has used up the time.
	selects, err := parseFilter("")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.look.page(ctx, s.Server, &FlowQuery{Sort: "age"}, selects); err != errLookAgain {
		t.Errorf("no time any more: %v", err)
	}
	if _, err := s.look.page(gone, s.Server, &FlowQuery{Sort: "src_port", Descending: true, Limit: 10}, selects); err != nil {
		t.Errorf("the last look: %v", err)
	}

	// What nobody needs is given back.
	s.look.mu.Lock()
	now += lookIdle - 1
	s.look.mu.Unlock()
	s.look.rest()
	if !s.look.seen || s.look.meters == nil || s.look.found == nil {
		t.Error("it is forgotten too soon")
	}
	s.look.mu.Lock()
	now++
	s.look.mu.Unlock()
	s.look.rest()
	if s.look.seen || s.look.meters != nil || s.look.found != nil || s.look.names.policy != nil {
		t.Error("it is kept")
	}
}

func TestALookThatNobodyWaitsForEnds(t *testing.T) {
	fw := filled(t, 3*breath)
	s := serve(t, Config{Firewall: fw})
	gone, stop := context.WithCancel(context.Background())
	stop()
	selects, err := parseFilter("")
	if err != nil {
		t.Fatal(err)
	}
	q := &FlowQuery{Sort: "rate", Limit: 10}
	if _, err := s.look.page(gone, s.Server, q, selects); !errors.Is(err, context.Canceled) || s.look.seen {
		t.Errorf("%v", err)
	}
	if page, err := s.look.page(context.Background(), s.Server, q, selects); err != nil || page.(FlowPage).Matched < 2*breath {
		t.Errorf("%v", err)
	}
}

func TestTheWindowOfAListIsSorted(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	handles := make([]conntrack.Handle, 300)
	for i := range handles {
		var err error
		if handles[i], err = conntrack.ParseHandle(fmt.Sprintf("%d-%d-1", i%7, i)); err != nil {
			t.Fatal(err)
		}
	}
	for range 2000 {
		list := make([]sortable, r.IntN(len(handles)))
		for i := range list {
			list[i] = sortable{class: uint8(r.IntN(2)), hi: uint64(r.IntN(3)), lo: uint64(r.IntN(1 + r.IntN(300))), flow: handles[i]}
		}
		descending := r.IntN(2) == 0
		want := slices.Clone(list)
		slices.SortFunc(want, func(a, b sortable) int {
			c := cmp.Or(cmp.Compare(a.class, b.class), cmp.Compare(a.hi, b.hi), cmp.Compare(a.lo, b.lo))
			if descending {
				c = -c
			}
			return cmp.Or(c, a.flow.Compare(b.flow))
		})
		switch r.IntN(4) { // orders that choices of a middle do not like
		case 0:
			list = slices.Clone(want)
		case 1:
			list = slices.Clone(want)
			slices.Reverse(list)
		}
		from := r.IntN(len(list) + 2)
		to := from + r.IntN(len(list)+2)
		got := window(list, from, to, descending)
		if !slices.Equal(got, want[min(from, len(want)):min(to, len(want))]) {
			t.Fatalf("%d to %d of %d", from, to, len(list))
		}
	}
}

func TestParametersOfSortedPagesAreChecked(t *testing.T) {
	s := serve(t, Config{})
	for query, want := range map[string]string{
		"sort=size":                            "sort=\"size\": want one of rate, ",
		"sort=":                                "",
		"desc=true":                            "desc is for sorted pages",
		"offset=0":                             "offset is for sorted pages",
		"find=1-2-3":                           "find is for sorted pages",
		"sort=rate&after=1-2":                  "after is for pages in no order",
		"sort=rate&desc=maybe":                 "desc=\"maybe\": want true or false",
		"sort=rate&offset=-1":                  "offset=\"-1\": want 0 to 16777216",
		"sort=rate&offset=1e3":                 "want 0 to 16777216",
		"sort=rate&offset=9999999999999999999": "want 0 to 16777216",
		"sort=rate&find=1-2":                   "find: flow ID \"1-2\": want three numbers, such as 20-1-7",
		"sort=rate&find=1-2--3":                "find: flow ID",
		"sort=rate&find=1-2-3-4":               "find: flow ID",
		"sort=rate&find=1-2-99999999999":       "find: flow ID",
		"sort=rate&sort=age":                   "the parameter sort is given twice",
		"id=":                                  "id: flow ID \"\": want three numbers",
		"id=1-2-3,":                            "id: flow ID \"\": want three numbers",
		"id=1-2-3&sort=rate":                   "knows no parameter \"sort\": it takes id",
		"id=1-2-3,1-2-3":                       "",
		"id=" + strings.Repeat("1-2-3,", MaxFlowIDs) + "1-2-3": "id names 257 flows: want at most 256",
		"sort=rate&limit=0":                           "limit=\"0\": want 1 to 10000",
		"sort=rate&offset=16777216&desc=1&find=1-2-3": "",
	} {
		code, body := raw(t, s.connect(t), get("/v1/flows?"+query))
		var refused Error
		if err := json.Unmarshal([]byte(body), &refused); err != nil {
			t.Fatal(err)
		}
		if want == "" && code != http.StatusOK || want != "" && (code != http.StatusBadRequest || !strings.Contains(refused.Message, want)) {
			t.Errorf("%s: %d %s, want %q", query, code, body, want)
		}
	}
}
