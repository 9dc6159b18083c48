package binding

// accounts say how many bindings of a shard each endpoint has, and which of them
// it gives up first.
type accounts struct {
	share int // of one endpoint
	of    map[endpoint]uint32
	list  []account
	free  []uint32
	heap  []uint32 // of accounts: none has more bindings than its parent
}

type account struct {
	endpoint   endpoint
	count      int
	place      int    // in the heap
	head, tail uint32 // entry+1: its bindings, the longest there first
}

func (a *accounts) init(share int) { a.share, a.of = share, make(map[endpoint]uint32) }

// full reports whether an endpoint has all that it may have.
func (a *accounts) full(e endpoint) bool {
	i, ok := a.of[e]
	return ok && a.list[i].count >= a.share
}

// open returns the account of an endpoint.
func (a *accounts) open(e endpoint) uint32 {
	if i, ok := a.of[e]; ok {
		return i
	}
	var i uint32
	if n := len(a.free); n > 0 {
		i, a.free = a.free[n-1], a.free[:n-1]
	} else {
		i = uint32(len(a.list))
		a.list = append(a.list, account{})
	}
	a.list[i] = account{endpoint: e, place: len(a.heap)}
	a.heap = append(a.heap, i)
	a.of[e] = i
	return i
}

// add counts one binding more or less; an account without any is closed.
func (a *accounts) add(i uint32, n int) {
	x := &a.list[i]
	x.count += n
	if n > 0 {
		a.up(x.place)
		return
	}
	a.down(x.place)
	if x.count > 0 {
		return
	}
	last := len(a.heap) - 1
	place := x.place
	a.swap(place, last)
	a.heap = a.heap[:last]
	if place < last {
		// What took its place may belong further down, or further up.
		a.down(place)
		a.up(place)
	}
	delete(a.of, x.endpoint)
	a.free = append(a.free, i)
}

func (a *accounts) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if a.list[a.heap[parent]].count >= a.list[a.heap[i]].count {
			return
		}
		a.swap(i, parent)
		i = parent
	}
}

func (a *accounts) down(i int) {
	for {
		most := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(a.heap); child++ {
			if a.list[a.heap[child]].count > a.list[a.heap[most]].count {
				most = child
			}
		}
		if most == i {
			return
		}
		a.swap(i, most)
		i = most
	}
}

func (a *accounts) swap(i, j int) {
	a.heap[i], a.heap[j] = a.heap[j], a.heap[i]
	a.list[a.heap[i]].place, a.list[a.heap[j]].place = i, j
}

// enlist puts an entry behind the others of its endpoint.
func (s *shard) enlist(n uint32) {
	e := s.at(n)
	e.account = s.accounts.open(e.endpoint)
	s.push(n)
	s.accounts.add(e.account, 1)
}

// delist takes an entry out of the account of its endpoint.
func (s *shard) delist(n uint32) {
	s.unlink(n)
	s.accounts.add(s.at(n).account, -1)
}

func (s *shard) push(n uint32) {
	e := s.at(n)
	a := &s.accounts.list[e.account]
	e.touched = false
	e.prev, e.next = a.tail, 0
	if a.tail != 0 {
		s.at(a.tail - 1).next = n + 1
	} else {
		a.head = n + 1
	}
	a.tail = n + 1
}

func (s *shard) unlink(n uint32) {
	e := s.at(n)
	a := &s.accounts.list[e.account]
	if e.prev != 0 {
		s.at(e.prev - 1).next = e.next
	} else {
		a.head = e.next
	}
	if e.next != 0 {
		s.at(e.next - 1).prev = e.prev
	} else {
		a.tail = e.prev
	}
}

// makeRoom sees to it that an endpoint may have one binding more. Whoever has most
// gives one up where the shard is full, which is never less than an even part.
func (t *Table) makeRoom(now int64, s *shard, e endpoint) bool {
	if s.accounts.full(e) && !t.giveUp(now, s, e) {
		return false
	}
	return s.count < s.capacity || t.giveUp(now, s, s.accounts.list[s.accounts.heap[0]].endpoint)
}

// lookedAt is how many bindings are looked at to give up one.
const lookedAt = 8

// giveUp forgets a binding of an endpoint: the one that was learned first, but
// what was claimed again since it was looked at last is passed over. It reports
// whether there was one.
func (t *Table) giveUp(now int64, s *shard, e endpoint) bool {
	a := s.accounts.of[e]
	for range min(lookedAt, s.accounts.list[a].count) {
		n := s.accounts.list[a].head - 1
		if x := s.at(n); !x.touched || x.over(now) {
			s.remove(n)
			t.stats.evicted.Add(1)
			return true
		}
		s.unlink(n)
		s.push(n)
	}
	return false
}

// expireSome forgets bindings whose time is over, of the next few entries.
func (t *Table) expireSome(s *shard, now int64, budget int) {
	for range min(budget, int(s.used)) {
		if s.hand++; s.hand >= s.used {
			s.hand = 0
		}
		if e := s.at(s.hand); e.live() && e.over(now) {
			s.remove(s.hand)
			t.stats.expired.Add(1)
		}
	}
}
