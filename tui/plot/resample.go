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
	// Steps is how many steps the whole width shows; values that are there fill as
	// much of it as is theirs. 0: as many as there are values, or columns if these
	// are more.
	Steps int
	// Start numbers the first step, of all that ever were. Values that share a column
	// are then the same ones as long as they are there, so that a picture moves to
	// the left and does not shimmer.
	Start int64
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
	steps := int64(w.Steps)
	if steps < int64(len(w.Values)) {
		steps = int64(max(len(w.Values), columns))
		if w.Steps > 0 {
			steps = int64(len(w.Values))
		}
	}
	// Where values share columns, the first and the last one may not be full, and so
	// there is one column more.
	across := int64(columns)
	if steps > across {
		across--
	}
	first := func(step int64) int64 { return floorDiv(step*across, steps) }
	if across == 0 {
		first = func(int64) int64 { return 0 } // all share the one
	}
	newest := first(w.Start+int64(len(w.Values))-1) + max(1, width(first, w.Start+int64(len(w.Values))-1)) - 1
	for i, v := range w.Values {
		if math.IsNaN(v) {
			continue
		}
		step := w.Start + int64(i)
		from := first(step)
		for n := range max(1, width(first, step)) {
			at := columns - 1 - int(newest-from-n)
			if at < 0 || at >= columns {
				continue
			}
			if v = max(0, v); math.IsNaN(out[at]) || v > out[at] {
				out[at] = v
			}
		}
	}
	return out
}

// width is how many columns a step has of its own.
func width(first func(int64) int64, step int64) int64 { return first(step+1) - first(step) }

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
