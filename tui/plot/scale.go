package plot

import "math"

// steps are the tops of axes, between 1 and 10 of their power of ten; halves of them are
// short numbers too.
var steps = [...]float64{1, 1.5, 2, 3, 4, 5, 6, 8, 10}

// Ceiling returns the smallest number for the top of an axis that is not below v: 1, 1.5,
// 2, 3, 4, 5, 6 or 8 times a power of ten. It is 1 for what is no positive number.
func Ceiling(v float64) float64 {
	switch {
	case !(v > 0):
		return 1
	case v > math.MaxFloat64/10:
		return math.MaxFloat64
	case v < 1e-300: // powers of ten end there
		return v
	}
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, s := range steps {
		// What misses a step by rounding alone is on it.
		if v <= s*power*(1+1e-12) {
			return s * power
		}
	}
	return 10 * power
}

// patience is after how many values in a row that need less a scale gives way.
const patience = 10

// Scale is the top of an axis that grows at once, so that nothing is cut off, and
// shrinks slowly, so that the picture does not jump. Its zero value is ready.
type Scale struct {
	top float64
	// lower counts the values in a row for which less would do, most is the
	// largest of them.
	lower int
	most  float64
}

// Next tells it the largest value that is shown, and returns the top for it.
func (s *Scale) Next(largest float64) float64 {
	if math.IsNaN(largest) || largest < 0 {
		largest = 0
	}
	want := Ceiling(largest)
	switch {
	case want >= s.top || s.top == 0:
		s.top, s.lower, s.most = want, 0, 0
	default:
		s.most = max(s.most, largest)
		if s.lower++; s.lower >= patience {
			s.top, s.lower, s.most = Ceiling(s.most), 0, 0
		}
	}
	return s.top
}
