package conntrack

import "net/netip"

// share is how many flows one endpoint may begin of those that the table has room
// for: three quarters, so that nobody fills it alone.
func (c *Config) share() int { return c.MaxFlows - c.MaxFlows/4 }

// Full reports whether there is no room for another flow of an outer endpoint, unless one
// that was not answered gives up its place.
func (t *Table) Full(endpoint netip.Addr) bool {
	return t.flows.Load() >= int64(t.config.MaxFlows) ||
		t.config.share() < t.config.MaxFlows && t.endpoints.count(endpoint.As16()) >= t.config.share()
}

// ownUnanswered is how many flows of each list are looked at for one of the
// endpoint that has used up its share: most are its own.
const ownUnanswered = 64

// unanswered returns the flow that is given up first: of those that wait for an
// answer the one that was heard of the longest ago, whatever its protocol. A flood
// of one protocol would push out all that wait in another otherwise. With an
// endpoint it is one that the endpoint began, among the first of the lists.
func (s *shard) unanswered(endpoint *[16]byte) (n uint32, found bool) {
	for _, st := range unreplied[:waiting] {
		if i, ok := s.firstOf(endpoint, st); ok && (!found || s.at(i).last < s.at(n).last) {
			n, found = i, true
		}
	}
	for _, st := range unreplied[waiting:] {
		if found {
			break
		}
		n, found = s.firstOf(endpoint, st)
	}
	return n, found
}

// firstOf returns the first flow of a list, with an endpoint the first that it
// began.
func (s *shard) firstOf(endpoint *[16]byte, st status) (n uint32, found bool) {
	at := s.lists[st].head
	for range ownUnanswered {
		if at == 0 {
			break
		}
		if endpoint == nil || s.at(at - 1).from[0] == *endpoint {
			return at - 1, true
		}
		at = s.record(at - 1).next
	}
	return 0, false
}

// giveUpOf gives up such a flow, of the shard of the new one if it can.
func (t *Table) giveUpOf(endpoint [16]byte, l *lookup) bool {
	_, first := t.shardOf(t.hash(&l.packed))
	for i := range t.shards {
		if t.giveUpIn(endpoint, uint32((int(first)+i)%len(t.shards))) {
			return true
		}
	}
	return false
}

func (t *Table) giveUpIn(endpoint [16]byte, shard uint32) bool {
	s := &t.shards[shard]
	s.mu.Lock()
	defer t.leave(shard)
	n, found := s.unanswered(&endpoint)
	if found {
		t.end(s, shard, n, EndedEvicted)
		t.stats.evicted.Add(1)
	}
	return found
}

// hasUnansweredOf reports whether there is one.
func (t *Table) hasUnansweredOf(endpoint [16]byte) bool {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		_, found := s.unanswered(&endpoint)
		s.mu.Unlock()
		if found {
			return true
		}
	}
	return false
}

// reserveOf counts a flow of the endpoint that begins it, and gives up another one
// of its own where it has used up its share.
func (t *Table) reserveOf(l *lookup) bool {
	limit := t.config.share()
	if limit >= t.config.MaxFlows {
		limit = noLimit
	}
	if t.endpoints.add(l.from, limit) {
		return true
	}
	return t.giveUpOf(l.from, l) && t.endpoints.add(l.from, noLimit)
}
