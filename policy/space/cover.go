package space

// Answer is what is known of a question.
type Answer uint8

// The answers. The zero value is no knowledge.
const (
	Unknown Answer = iota // the budget was spent
	Yes
	No
)

// String returns the answer as a word.
func (a Answer) String() string {
	switch a {
	case Yes:
		return "yes"
	case No:
		return "no"
	}
	return "unknown"
}

// Budget bounds the work on questions. A step is one comparison of a product with
// another one. The zero Budget is spent.
type Budget struct{ Steps int }

func (b *Budget) take(n int) bool {
	b.Steps -= n
	return b.Steps >= 0
}

// Spent reports whether nothing is left.
func (b *Budget) Spent() bool { return b.Steps <= 0 }

// Covering is the answer to [Cover].
type Covering struct {
	Answer Answer
	// Used are the indexes of products that together cover, sorted; not always
	// the fewest. Valid iff the answer is Yes.
	Used []int
	// Left is a part of the product that nothing covers, with at least one
	// possible packet in it. Valid iff the answer is No.
	Left Product
}

// Cover finds out whether each possible packet of p is in one of the products.
//
// It is a search like that for a satisfying assignment (Davis, Putnam, Logemann,
// Loveland): take away from p the product that leaves the fewest pieces, and go
// on with each piece and the products that meet it. A field in which all
// that are left together do not reach everywhere ends it at once.
func Cover(p *Product, by []*Product, budget *Budget) Covering {
	s := search{by: by, budget: budget, used: make([]bool, len(by))}
	candidates := make([]int32, len(by))
	for i := range candidates {
		candidates[i] = int32(i)
	}
	c := Covering{Answer: s.covered(*p, candidates)}
	switch c.Answer {
	case Yes:
		for i, used := range s.used {
			if used {
				c.Used = append(c.Used, i)
			}
		}
	case No:
		c.Left = s.left
	}
	return c
}

type search struct {
	by     []*Product
	budget *Budget
	used   []bool
	left   Product
}

func (s *search) covered(p Product, candidates []int32) Answer {
	if !p.Possible() {
		return Yes
	}
	if !s.budget.take(1 + len(candidates)) {
		return Unknown
	}
	// One that was used before is preferred, so that fewer are used.
	meeting, whole := make([]int32, 0, min(len(candidates), 64)), int32(-1)
	for _, i := range candidates {
		q := s.by[i]
		if !q.Overlaps(&p) {
			continue
		}
		if q.Covers(&p) && (whole < 0 || s.used[i] && !s.used[whole]) {
			whole = i
		}
		meeting = append(meeting, i)
	}
	switch {
	case whole >= 0:
		s.used[whole] = true
		return Yes
	case len(meeting) == 0:
		s.left = p
		return No
	}
	if s.missed(&p, meeting) {
		return No
	}
	best := s.simplest(&p, meeting)
	s.used[best] = true
	others := meeting[:0]
	for _, i := range meeting {
		if i != best {
			others = append(others, i)
		}
	}
	answer := Yes
	for _, piece := range p.Subtract(s.by[best]) {
		switch s.covered(piece, others) {
		case No:
			return No
		case Unknown:
			if s.budget.Spent() {
				return Unknown
			}
			answer = Unknown
		}
	}
	return answer
}

// missed looks for a field in which no candidate reaches some values of p, and
// takes those values out of p where they are impossible.
func (s *search) missed(p *Product, candidates []int32) bool {
	sets := make([]Set, 0, len(candidates))
	for f := range Fields {
		sets = sets[:0]
		for _, i := range candidates {
			if s.by[i][f].Covers(p[f]) {
				sets = nil
				break
			}
			sets = append(sets, s.by[i][f])
		}
		if len(sets) == 0 {
			sets = make([]Set, 0, len(candidates))
			continue
		}
		if !s.budget.take(len(sets)) {
			return false
		}
		reached := f.Union(sets...)
		rest := *p
		rest[f] = f.Subtract(p[f], reached)
		if rest[f].IsEmpty() {
			continue
		}
		if rest.Possible() {
			s.left = rest
			return true
		}
		p[f] = p[f].Intersect(reached)
	}
	return false
}

// simplest returns the candidate that leaves the fewest pieces of p.
func (s *search) simplest(p *Product, candidates []int32) int32 {
	best, fewest := candidates[0], int(Fields)+1
	for _, i := range candidates {
		q, n := s.by[i], 0
		for f := range q {
			if q[f].ranges != nil && !q[f].Covers(p[f]) {
				n++
			}
		}
		if n < fewest || n == fewest && s.used[i] && !s.used[best] {
			best, fewest = i, n
		}
	}
	return best
}
