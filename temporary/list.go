package temporary

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"sttwall/policy"
)

// Firewall is what a [List] drives; nfq.Inline is one.
type Firewall interface {
	// Reload puts a policy in force and returns how many flows ended. After an
	// error the one before still is.
	Reload(*policy.Policy) (ended int, err error)
	// Now is the clock of time windows, in ns. It begins at the wall clock's time
	// and never goes back.
	Now() int64
}

// Config makes a [List].
type Config struct {
	// Policy is that of the rules file. Required.
	Policy *policy.Policy
	// File is the state file, in which rules outlast a restart; "" is none.
	File string
	// Wall is the wall clock; nil means [time.Now].
	Wall func() time.Time
}

// List is the temporary rules of a running firewall.
type List struct {
	wall     func() time.Time
	firewall Firewall // nil before Start

	changing sync.Mutex // of one change at a time, and what follows
	file     file
	next     uint64 // number of the next name that is made

	held atomic.Pointer[held]
}

// held is what a change has left. It is never changed.
type held struct {
	policy *policy.Policy // with the rules
	rules  []entry        // the newest first, as they are tried
	why    []error        // by the same index: why a rule is not in force
}

// entry is a rule with its last second on the firewall's clock. Steps of the wall
// clock do not move it.
type entry struct {
	Rule
	until int64 // the first second in which it holds no more
}

// Open reads the state file. Nothing is written.
func Open(c Config) (*List, error) {
	if c.Policy == nil {
		return nil, errors.New("temporary rules without a policy")
	}
	if c.Wall == nil {
		c.Wall = time.Now
	}
	l := &List{wall: c.Wall, file: file{path: c.File}}
	s, err := l.file.read()
	if err != nil {
		return nil, err
	}
	l.next = max(1, s.Next)
	var rules []entry
	now := c.Wall()
	for i := range s.Rules {
		r, err := s.Rules[i].rule()
		if err != nil {
			return nil, fmt.Errorf("state file %s: %w", c.File, err) // read has looked already
		}
		// A wall clock that has gone back gives no rule more than its time.
		left := min(s.Rules[i].Expires.Sub(now), r.For)
		if left > 0 {
			rules = append(rules, entry{r, secondAfter(now.Add(left).UnixNano())})
		}
	}
	l.held.Store(hold(c.Policy, rules))
	return l, nil
}

// secondAfter returns the first whole second that is not before ns.
func secondAfter(ns int64) int64 { return (ns + int64(time.Second) - 1) / int64(time.Second) }

// hold puts rules in front of a policy's own.
func hold(p *policy.Policy, rules []entry) *held {
	h := &held{rules: rules}
	list := make([]policy.Temporary, len(rules))
	for i, r := range rules {
		list[i] = policy.Temporary{Name: r.Name, Action: r.Action, Pattern: r.Pattern, Expires: r.until}
	}
	h.policy, h.why = p.WithTemporary(list)
	return h
}

// Policy returns what is to be in force: the rules file's with the temporary rules
// before it.
func (l *List) Policy() *policy.Policy { return l.held.Load().policy }

// Kept reports whether the rules outlast a restart.
func (l *List) Kept() bool { return l.file.path != "" }

// Start gives the list the firewall that it changes, in which [List.Policy] is in
// force. It is called once, before the list is used by many.
func (l *List) Start(f Firewall) { l.firewall = f }

// Rules returns the rules that have not expired, the newest first.
func (l *List) Rules() []Status { return l.held.Load().status(l.now(), l.wall()) }

func (l *List) now() int64 {
	if l.firewall == nil {
		return l.wall().UnixNano()
	}
	return l.firewall.Now()
}

func (h *held) status(now int64, wall time.Time) []Status {
	out := make([]Status, 0, len(h.rules))
	for i, r := range h.rules {
		left := time.Duration(r.until*int64(time.Second) - now)
		if r.expired(now) {
			continue
		}
		s := Status{Rule: r.Rule, Left: left, Expires: wall.Add(left)}
		if h.why[i] != nil {
			s.Inactive = h.why[i].Error()
		}
		out = append(out, s)
	}
	return out
}

// expired reports whether the rule holds no more, as the policy sees it.
func (e *entry) expired(now int64) bool { return now/int64(time.Second) >= e.until }

// Add puts a rule in force, before all others, and returns it and how many flows
// it ended. The error is a [RequestError] if the request is to blame.
func (l *List) Add(r Request) (set Status, ended int, err error) {
	l.changing.Lock()
	defer l.changing.Unlock()
	if l.firewall == nil {
		return set, 0, errors.New("no firewall runs")
	}
	now := l.now()
	rules := l.alive(now)
	next := l.next
	name := r.Name
	if name == "" {
		name, next = freeName(rules, next)
	}
	e := entry{
		Rule:  Rule{Name: name, Action: r.Action, Pattern: r.Pattern, For: r.For.Round(time.Second), Set: l.wall().Round(0), UID: r.UID, Comment: r.Comment},
		until: secondAfter(now + int64(r.For.Round(time.Second))),
	}
	switch {
	case find(rules, name) >= 0:
		return set, 0, refuse("expected another name: there is a temporary rule %q; remove it first", name)
	case len(rules) == policy.MaxTemporary:
		return set, 0, refuse("there are %d temporary rules, which is the most: remove some", policy.MaxTemporary)
	}
	if err := e.check(); err != nil {
		return set, 0, err
	}
	h := hold(l.held.Load().policy, append([]entry{e}, rules...))
	if h.why[0] != nil {
		return set, 0, refuse("pattern: %v", h.why[0])
	}
	if ended, err = l.change(h, next); err != nil {
		return set, 0, err
	}
	return h.status(now, l.wall())[0], ended, nil
}

// freeName makes a name that no rule has, and that none had before.
func freeName(rules []entry, next uint64) (string, uint64) {
	for {
		name := "t" + strconv.FormatUint(next, 10)
		next++
		if find(rules, name) < 0 {
			return name, next
		}
	}
}

func find(rules []entry, name string) int {
	return slices.IndexFunc(rules, func(e entry) bool { return e.Name == name })
}

// alive returns the rules that have not expired.
func (l *List) alive(now int64) []entry {
	return slices.DeleteFunc(slices.Clone(l.held.Load().rules), func(e entry) bool { return e.expired(now) })
}

// Remove takes rules away, all that are named or none; a number N is short for
// tN. It returns them, and how many flows ended. The error is [ErrUnknown] if one
// of them is not there.
func (l *List) Remove(names ...string) (removed []Status, ended int, err error) {
	l.changing.Lock()
	defer l.changing.Unlock()
	if l.firewall == nil {
		return nil, 0, errors.New("no firewall runs")
	}
	now := l.now()
	rules := l.alive(now)
	gone := make(map[string]bool, len(names))
	for _, name := range names {
		if name != "" && strings.Trim(name, "0123456789") == "" {
			name = "t" + name
		}
		if find(rules, name) < 0 {
			return nil, 0, fmt.Errorf("%w: %q", ErrUnknown, name)
		}
		gone[name] = true
	}
	for _, s := range l.held.Load().status(now, l.wall()) {
		if gone[s.Name] {
			removed = append(removed, s)
		}
	}
	rules = slices.DeleteFunc(rules, func(e entry) bool { return gone[e.Name] })
	ended, err = l.change(hold(l.held.Load().policy, rules), l.next)
	if err != nil {
		return nil, 0, err
	}
	return removed, ended, nil
}

// Reload puts another rules file in force, with the temporary rules before it, and
// returns how many flows ended. After an error the one before still is in force.
func (l *List) Reload(p *policy.Policy) (ended int, err error) {
	l.changing.Lock()
	defer l.changing.Unlock()
	if l.firewall == nil {
		return 0, errors.New("no firewall runs")
	}
	h := hold(p, l.alive(l.now()))
	if ended, err = l.firewall.Reload(h.policy); err == nil {
		l.held.Store(h)
	}
	return ended, err
}

// change writes what is to be, and then puts it in force.
func (l *List) change(h *held, next uint64) (ended int, err error) {
	if err := l.file.write(l.state(h, next)); err != nil {
		return 0, fmt.Errorf("nothing has changed: %w", err)
	}
	if ended, err = l.firewall.Reload(h.policy); err != nil {
		err = fmt.Errorf("nothing has changed: %w", err)
		if back := l.file.write(l.state(l.held.Load(), l.next)); back != nil {
			err = fmt.Errorf("%w; but the next start would find the change: %w", err, back)
		}
		return 0, err
	}
	l.next = next
	l.held.Store(h)
	return ended, nil
}

// state is what the file is to hold: times by the wall clock as it goes now.
func (l *List) state(h *held, next uint64) state {
	now, wall := l.now(), l.wall()
	s := state{Version: stateVersion, Next: next, Rules: []stateRule{}}
	for _, r := range h.rules {
		if r.expired(now) {
			continue
		}
		s.Rules = append(s.Rules, stateRule{
			Name: r.Name, Action: r.Action.String(), Pattern: r.Pattern, Seconds: int64(r.For / time.Second),
			Set: r.Set.UTC(), Expires: wall.Add(time.Duration(r.until*int64(time.Second) - now)).UTC(), UID: r.UID, Comment: r.Comment,
		})
	}
	return s
}
