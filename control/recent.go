package control

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"sttwall/binding"
	"sttwall/conntrack"
	"sttwall/filter"
	"sttwall/firewall"
	"sttwall/limit"
	"sttwall/reason"
	"sttwall/stt"
)

// Bounds of what is kept of dropped frames: some 1.3 MB.
const (
	// recentRare is how many of the frames are kept that are the first of their kind
	// for a while; recentAll how many of the others. Where there is no room the oldest
	// goes.
	recentRare = 256
	recentAll  = MaxRecent - recentRare
	// RecentSnap is how many bytes are kept of each inner frame.
	RecentSnap = 512
	// kinds is how many kinds of drops, a tenant and a reason each, are told apart;
	// others share.
	kinds = 256
)

// allRate is how many frames are kept of all kinds together, and rareRate how many of
// each kind besides: a flood of one must not hide the others. What is over both is
// counted.
var (
	allRate  = limit.Rate{Events: 500, Per: time.Second, Burst: 250}
	rareRate = limit.Rate{Events: 1, Per: time.Second, Burst: 4}
)

// Recent keeps frames that were dropped, rejected, or let pass by audit mode alone. It
// is ready after [NewRecent].
//
//	worker -> Observe -> first of its kind lately? -> rare ─┐
//	                  └> less than 500 a second?  ---> all ─┴-> list (by Seq)
//
// A worker that finds no token goes on after two loads and a count; one that finds a
// reader at its place goes on too.
type Recent struct {
	every   limit.Bucket
	each    [kinds]limit.Bucket
	seq     atomic.Uint64 // of the newest
	skipped atomic.Uint64
	rare    dropRing
	all     dropRing
}

// dropRing is a ring of the newest of some frames.
type dropRing struct {
	next  atomic.Uint64
	slots []keptDrop
}

// keptDrop is a place for a frame. Whoever writes only tries to lock it.
type keptDrop struct {
	mu     sync.Mutex
	seq    uint64 // 0: empty
	frame  firewall.FrameEvent
	moves  [binding.MaxClaims]binding.Move
	data   [stt.FrameHeaderLen + RecentSnap]byte // see bytesOf
	length int                                   // of data
}

// NewRecent returns an empty one.
func NewRecent() *Recent {
	r := &Recent{rare: dropRing{slots: make([]keptDrop, recentRare)}, all: dropRing{slots: make([]keptDrop, recentAll)}}
	r.every.Init(allRate)
	for i := range r.each {
		r.each[i].Init(rareRate)
	}
	return r
}

// Observe takes what a worker tells of a frame; it is a [firewall.Config.Observer]. It
// never waits and allocates nothing.
func (r *Recent) Observe(e *firewall.FrameEvent) {
	if e.Verdict != firewall.Drop && !e.Decision.Audit {
		return
	}
	to := &r.rare
	if !r.each[kindOf(e)].Take(e.Decided, 1) {
		if to = &r.all; !r.every.Take(e.Decided, 1) {
			r.skipped.Add(1)
			return
		}
	}
	if !to.put(e, &r.seq) {
		r.skipped.Add(1)
	}
}

// kindOf is a number for tenant and reason.
func kindOf(e *firewall.FrameEvent) uint32 {
	why := e.Reason
	if why == reason.None {
		why = e.Decision.Would
	}
	return (uint32(e.Decision.TenantIndex+1)*uint32(reason.Count) + uint32(why)) * 0x9e3779b1 >> 24 % kinds
}

// put copies a frame into the ring; false if somebody is at its place.
func (g *dropRing) put(e *firewall.FrameEvent, seq *atomic.Uint64) bool {
	k := &g.slots[(g.next.Add(1)-1)%uint64(len(g.slots))]
	if !k.mu.TryLock() {
		return false
	}
	defer k.mu.Unlock() // whatever happens
	k.seq = 0           // until all of it is there
	k.frame = *e
	k.length = copy(k.data[:], bytesOf(e))
	k.frame.Forget()
	k.frame.Moves = k.moves[:copy(k.moves[:], e.Moves)]
	k.seq = seq.Add(1)
	return true
}

// visit shows all frames, in no order. A worker that comes to the one that is shown
// leaves its own out.
func (g *dropRing) visit(show func(*keptDrop)) {
	for i := range g.slots {
		k := &g.slots[i]
		k.showTo(show)
	}
}

func (k *keptDrop) showTo(show func(*keptDrop)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.seq != 0 {
		show(k)
	}
}

// list returns the newest frames that a query selects, the oldest first.
func (r *Recent) list(q *FrameQuery, selects *filter.Filter, wall func(int64) time.Time) RecentDrops {
	var (
		found  []uint64
		record filter.Record
	)
	both := func(show func(*keptDrop)) {
		r.rare.visit(show)
		r.all.visit(show)
	}
	both(func(k *keptDrop) {
		if k.seq <= q.After {
			return
		}
		if frameRecord(&record, &k.frame); selects.Match(&record) {
			found = append(found, k.seq)
		}
	})
	slices.Sort(found)
	if len(found) > q.Limit {
		found = found[len(found)-q.Limit:]
	}
	out := RecentDrops{Frames: make([]Frame, 0, len(found)), Skipped: r.skipped.Load()}
	both(func(k *keptDrop) {
		if _, is := slices.BinarySearch(found, k.seq); is {
			f := frameOf(&k.frame, k.data[:k.length], q.Snap, wall)
			f.Seq = k.seq
			out.Frames = append(out.Frames, f)
		}
	})
	slices.SortFunc(out.Frames, func(a, b Frame) int { return cmp.Compare(a.Seq, b.Seq) })
	return out
}

// bytesOf are the bytes that are kept of a frame: the inner frame, or where its header
// was not read the beginning of the STT frame.
func bytesOf(e *firewall.FrameEvent) []byte {
	if e.HasHeader {
		return e.InnerData
	}
	return e.Beginning
}

// frameOf tells of a frame with no more than the first snap bytes of its inner frame;
// data is that of bytesOf, and is copied.
func frameOf(e *firewall.FrameEvent, data []byte, snap int, wall func(int64) time.Time) Frame {
	f := Frame{
		Verdict: frameVerdict(e), Event: eventOf(e, wall), FrameID: e.FrameID, SrcPort: e.SrcPort, Segments: e.Segments,
		InnerBytes: max(0, e.FrameLength-stt.FrameHeaderLen), State: frameState(e), Rewritten: e.Rewritten,
	}
	switch {
	case e.HasHeader:
		f.Header = stt.AppendFrameHeader(nil, &e.Header)
	case len(data) < stt.FrameHeaderLen:
		return f
	default:
		f.Header, data = slices.Clone(data[:stt.FrameHeaderLen]), data[stt.FrameHeaderLen:]
	}
	f.Data = slices.Clone(data[:min(len(data), snap)])
	return f
}

// frameState is what a frame was to the flow table; "" if that was not asked.
func frameState(e *firewall.FrameEvent) string {
	switch {
	case !e.HasInner || e.Decision.TenantIndex < 0:
		return ""
	case e.Reason == reason.ContextReserved, e.Reason == reason.TenantEndpoint, e.Reason == reason.BindingDeclared, e.Reason == reason.BindingLearned:
		return ""
	case e.Begins:
		return conntrack.StateNew.String()
	}
	return e.State.String()
}

// frameVerdict is the verdict by which filters know what became of a frame.
func frameVerdict(e *firewall.FrameEvent) string {
	switch eventType(e) {
	case EventReject:
		return "reject"
	case EventWouldDrop:
		return "audit"
	}
	return e.Verdict.String()
}

// recentDrops shows frames that were dropped lately.
func (s *Server) recentDrops(r *http.Request) (any, error) {
	q, selects, err := frameQuery(r, "filter", "snap", "limit", "after")
	if err != nil {
		return nil, err
	}
	if s.config.Recent == nil {
		return nil, refuse(http.StatusNotFound, "this sttwall keeps no frames that it drops")
	}
	return s.config.Recent.list(&q, selects, s.wall()), nil
}

// frameQuery reads the parameters of a request for frames, of which those are known.
func frameQuery(r *http.Request, known ...string) (q FrameQuery, selects *filter.Filter, err error) {
	if err := onlyQuery(r, known...); err != nil {
		return q, nil, err
	}
	values := r.URL.Query()
	if selects, err = parseFilter(values.Get("filter")); err != nil {
		return q, nil, err
	}
	q = FrameQuery{Filter: values.Get("filter"), Snap: DefaultSnap, Limit: DefaultRecent}
	if q.Snap, err = numberOf(values, "snap", DefaultSnap, MaxSnap); err != nil {
		return q, nil, err
	}
	if q.Limit, err = numberOf(values, "limit", DefaultRecent, MaxRecent); err != nil {
		return q, nil, err
	}
	if text := values.Get("after"); text != "" {
		if q.After, err = strconv.ParseUint(text, 10, 64); err != nil {
			return q, nil, refuse(http.StatusBadRequest, "after=%.40q: want the seq of a frame", text)
		}
	}
	for name, into := range map[string]*bool{"outer": &q.Outer, "explain": &q.Explain} {
		if text := values.Get(name); text != "" {
			if *into, err = strconv.ParseBool(text); err != nil {
				return q, nil, refuse(http.StatusBadRequest, "%s=%.40q: want true or false", name, text)
			}
		}
	}
	return q, selects, nil
}

// numberOf reads a number from 1 to most; usual where it is not given.
func numberOf(values url.Values, name string, usual, most int) (int, error) {
	text := values.Get(name)
	if text == "" {
		return usual, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		return 0, refuse(http.StatusBadRequest, "%s=%.40q: want a number from 1 to %d", name, text, most)
	}
	return n, nil
}
