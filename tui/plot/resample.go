package plot

import "math"

// Glyphs says with what characters is drawn.
type Glyphs int

const (
	Unicode Glyphs = iota // block elements and braille
	ASCII
)

// Window is a run of values, one for each step of time. NaN is a step without a value.
type Window struct {
	Values []float64
	// Start numbers the first step, of all that ever were. Values that share a column
	// are then the same ones as long as they are there, so that a picture moves to
	// the left and does not shimmer.
	Start int64
}

// Each returns how many values share a column where there are so many columns.
func Each(values, columns int) int {
	if columns <= 0 || values <= columns {
		return 1
	}
	if columns == 1 {
		return values
	}
	// The first and the last may not be full, and so take one column more.
	return (values + columns - 2) / (columns - 1)
}

// resample returns a value for each column, the newest at the right; columns without a
// value are NaN. Of values that share a column the largest counts: a peak is what
// people look for.
func resample(w Window, columns int) []float64 {
	out := make([]float64, max(0, columns))
	for i := range out {
		out[i] = math.NaN()
	}
	if columns <= 0 || len(w.Values) == 0 {
		return out
	}
	each := int64(Each(len(w.Values), columns))
	if columns == 1 {
		w.Start = 0 // all of them, wherever they begin
	}
	bucket := func(i int) int64 { return floorDiv(w.Start+int64(i), each) }
	newest := bucket(len(w.Values) - 1)
	for i, v := range w.Values {
		at := columns - 1 - int(newest-bucket(i))
		if at < 0 || math.IsNaN(v) {
			continue
		}
		if v = max(0, v); math.IsNaN(out[at]) || v > out[at] {
			out[at] = v
		}
	}
	return out
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// Largest returns the largest value, 0 if there is none.
func Largest(values []float64) float64 {
	most := 0.0
	for _, v := range values {
		if v > most {
			most = v
		}
	}
	return most
}

// level says on which of so many levels, from 0 up, a value stands; all that is not
// zero is on 1 at least, so that little can be told from nothing.
func level(v, top float64, levels int) int {
	if math.IsNaN(v) || v <= 0 || top <= 0 {
		return 0
	}
	if v >= top {
		return levels
	}
	return max(1, int(v/top*float64(levels)+0.5))
}
