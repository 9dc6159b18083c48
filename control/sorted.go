package control

import (
	"context"
	"errors"
	"math"
	"net/http"
	"sync"
	"time"

	"sttwall/conntrack"
	"sttwall/filter"
	"sttwall/firewall"
	"sttwall/policy"
)

const (
	// lookShare is what part of a processor looks at all flows may take, as a
	// divisor, over time: two percent. Packets need the processors more.
	lookShare = 50
	// lookSaved is how much of it can be saved up while nobody asks.
	lookSaved = 5 * time.Second
	// lookWait is how long a question waits that another look would answer.
	lookWait = 10 * time.Second
	// lookAgain is how long other parts of what a look has found are answered from it,
	// though there were time for another one.
	lookAgain = 100 * time.Millisecond
	// lookIdle is how long what a look needs is kept without a question.
	lookIdle = time.Minute
)

// selection says which flows a sorted page is of, and in which order.
type selection struct {
	tenant     string
	audit      bool
	filter     string
	sort       string
	descending bool
}

// part says which of them are on the page, and what else is asked.
type part struct {
	offset, limit int
	find          string
}

func selectionOf(q *FlowQuery) selection {
	return selection{q.Tenant, q.Audit, q.Filter, q.Sort, q.Descending}
}

// look is the last look at all flows, from which sorted pages are made: one walk
// through the table, that keeps 32 bytes of each flow that is wanted. The next
// ones use its memory again.
type look struct {
	clock func() time.Duration // that never goes back

	mu     sync.Mutex // of all below
	budget budget
	asked  time.Duration // for the last time
	looked time.Duration // for the last time
	part   part          // that was asked for then
	of     selection     // valid if seen
	seen   bool
	now    int64 // of the look, on the firewall's clock
	found  []sortable
	meters meters
	names  nameOrder

	// Scratch, for one flow.
	meter    *meter
	view     firewall.FlowView
	record   filter.Record
	decision policy.Decision
}

// budget bounds the time that looks, or answers, take.
type budget struct{ paid time.Duration } // when all that was spent is made up for

func (b *budget) wait(now time.Duration) time.Duration { return max(0, b.paid-now) }

// spend takes what something costs: its time, so many times over as the share is of a
// processor.
func (b *budget) spend(now, cost time.Duration) {
	b.paid = max(b.paid, now-lookSaved) + cost
}

// errLookAgain: another has used up the time.
var errLookAgain = errors.New("too many looks at all flows")

// sortedPage answers with a sorted page, when there is time for it.
func (s *Server) sortedPage(w http.ResponseWriter, r *http.Request, q *FlowQuery, selects *filter.Filter) error {
	for {
		if err := s.look.await(r.Context(), selectionOf(q)); err != nil {
			return err
		}
		err := s.answerInTurn(w, r, func() (any, error) { return s.look.page(r.Context(), s, q, selects) })
		if !errors.Is(err, errLookAgain) {
			return err
		}
	}
}

// await returns when a page of the selection can be made.
func (l *look) await(ctx context.Context, of selection) error {
	for {
		l.mu.Lock()
		wait := l.wait(of)
		l.mu.Unlock()
		switch {
		case wait == 0:
			return nil
		case wait > lookWait:
			return refuse(http.StatusServiceUnavailable,
				"sorting this many flows takes so long that packets would notice: ask again in %v, or for what was asked before", wait.Round(time.Second))
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// wait is how long a page of the selection has to wait: the last look may do.
func (l *look) wait(of selection) time.Duration {
	if l.seen && l.of == of {
		return 0
	}
	return l.budget.wait(l.clock())
}

// page makes a page, of a new look if there is time for one, else of the last one.
func (l *look) page(ctx context.Context, s *Server, q *FlowQuery, selects *filter.Filter) (any, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fw, of := s.config.Firewall, selectionOf(q)
	now := fw.Now()
	flows := fw.Shared().FlowLook(now)
	is := part{q.Offset, q.Limit, q.Find}
	switch began := l.clock(); {
	case l.seen && l.of == of && l.names.policy == flows.Policy() && l.part != is && began-l.looked < lookAgain:
		l.asked = began
	case l.budget.wait(began) == 0:
		var err error
		took := processorTime(func() { err = l.run(ctx, fw.Shared(), flows, now, of, selects) })
		l.asked = l.clock()
		l.looked = l.asked
		l.budget.spend(began, lookShare*took)
		if err != nil {
			return nil, err
		}
	case l.seen && l.of == of:
		l.asked = began
	default:
		return nil, errLookAgain
	}
	l.part = is
	wall := s.wall()
	page := FlowPage{Time: wall(now), Flows: []Flow{}, Matched: len(l.found)}
	if q.Find != "" {
		find, _ := conntrack.ParseHandle(q.Find) // it was, and well
		page.Position = l.position(find)
	}
	for _, one := range window(l.found, q.Offset, q.Offset+q.Limit, q.Descending) {
		if !flows.Flow(one.flow, &l.view) {
			continue // it is over
		}
		f := flowOf(&l.view, wall)
		f.OriginalRate, f.ReplyRate = l.meters.ofFlow(now, &l.view.Flow).shown()
		page.Flows = append(page.Flows, f)
	}
	return page, nil
}

// named makes a page of the flows that are asked for by their IDs.
func (l *look) named(s *Server, handles []conntrack.Handle) FlowPage {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = l.clock()
	fw := s.config.Firewall
	now, wall := fw.Now(), s.wall()
	flows := fw.Shared().FlowLook(now)
	page := FlowPage{Time: wall(now), Flows: []Flow{}}
	if l.meters == nil {
		l.meters.grow(fw.Shared().Flows())
	}
	for _, h := range handles {
		if !flows.Flow(h, &l.view) {
			continue // it is over, or was never there
		}
		f := flowOf(&l.view, wall)
		f.OriginalRate, f.ReplyRate = l.meters.ofFlow(now, &l.view.Flow).shown()
		page.Flows = append(page.Flows, f)
	}
	page.Matched = len(page.Flows)
	return page
}

// shown shows the rates of both directions, in tenths.
func (m *meter) shown() (original, reply *Rate) {
	rate := func(i int) *Rate {
		tenths := func(x float32) float64 { return math.Round(float64(x)*10) / 10 }
		return &Rate{Packets: tenths(m.packetRate[i]), Bytes: tenths(m.byteRate[i])}
	}
	return rate(0), rate(1)
}

// run looks at all flows. After an error nothing was seen.
func (l *look) run(ctx context.Context, shared *firewall.Shared, flows *firewall.FlowLook, now int64, of selection, selects *filter.Filter) error {
	p := flows.Policy()
	if l.names.policy != p {
		l.names = newNameOrder(p)
	}
	l.seen, l.now, l.found = false, now, l.found[:0]
	l.meters.grow(shared.Flows())
	looked := 0
	key := sorters[of.sort]
	flows.Rows(func(r *firewall.FlowRow) bool {
		if looked++; looked%breath == 0 && ctx.Err() != nil {
			return false
		}
		l.meter = l.meters.ofRow(now, r.Row)
		if l.selects(r, &of, selects) {
			l.found = append(l.found, sortable{flow: r.Handle()})
			key(l, r, &l.found[len(l.found)-1])
		}
		return true
	})
	if err := ctx.Err(); err != nil {
		return err
	}
	l.seen, l.of = true, of
	return nil
}

// selects reports whether a flow is wanted.
func (l *look) selects(r *firewall.FlowRow, of *selection, selects *filter.Filter) bool {
	all := selects.All()
	if of.tenant == "" && !of.audit && all {
		return true
	}
	r.View(&l.view)
	if of.tenant != "" && l.view.Tenant != of.tenant || of.audit && !l.view.Decision.Audit {
		return false
	}
	if all {
		return true
	}
	flowRecord(&l.record, l.now, &l.view)
	return selects.Match(&l.record)
}

// position is where a flow stands among those that were found; nil if it does not.
func (l *look) position(h conntrack.Handle) *int {
	for i := range l.found {
		if l.found[i].flow != h {
			continue
		}
		at := 0
		for j := range l.found {
			if l.found[j].before(&l.found[i], l.of.descending) {
				at++
			}
		}
		return &at
	}
	return nil
}

// rest gives memory back that nobody has needed for long.
func (l *look) rest() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.clock()-l.asked >= lookIdle {
		l.seen, l.found, l.meters, l.meter, l.names = false, nil, nil, nil, nameOrder{}
		l.view, l.decision = firewall.FlowView{}, policy.Decision{}
		l.record = filter.Record{}
	}
}
