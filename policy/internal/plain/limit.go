package plain

// bucket counts what it holds in ns of waiting: a token is worth as many as it
// takes to come back.
type bucket struct{ held, then int64 }

// > A `limit` is a token bucket that holds `burst` tokens and gets `rate` of them back.
func (in *Interpreter) take(r *Rule, now int64) bool {
	token := r.Limit.Per / r.Limit.Events // whole, as Random makes them
	size := r.Limit.burst() * token
	b := in.buckets[r]
	if b == nil {
		b = &bucket{size, now}
		in.buckets[r] = b
	}
	b.held = min(size, b.held+now-b.then)
	b.then = now
	if b.held < token {
		return false
	}
	b.held -= token
	return true
}

// > | `burst` | number | a second's worth, at least 1 | The size of the bucket. |
func (l *Limit) burst() int64 {
	if l.Burst > 0 {
		return l.Burst
	}
	return max(1, l.Events*1e9/l.Per)
}
