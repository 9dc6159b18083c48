package plot

var (
	blocks = []rune(" ▁▂▃▄▅▆▇█")
	ascii  = []rune(" .:-=+*#@")
)

// Sparkline draws values in exactly so many columns of one line, the newest at the
// right. top is what fills a column; 0: the largest of the values. Nothing, and 0,
// are blank.
func Sparkline(w Window, columns int, top float64, with Glyphs) string {
	ramp := blocks
	if with == ASCII {
		ramp = ascii
	}
	values := resample(w, columns)
	if top <= 0 {
		top = Largest(values)
	}
	out := make([]rune, len(values))
	for i, v := range values {
		out[i] = ramp[level(v, top, len(ramp)-1)]
	}
	return string(out)
}

// Bar draws how full something is, in exactly so many columns: part of whole. Where
// there is any, it shows; and only what is full is shown as full.
func Bar(part, whole float64, columns int, with Glyphs) string {
	const eighths = 8
	if columns <= 0 {
		return ""
	}
	full, rest, edge := '█', '░', []rune(" ▏▎▍▌▋▊▉")
	if with == ASCII {
		full, rest, edge = '#', '.', nil
	}
	n := level(part, whole, columns*eighths)
	if part < whole {
		n = min(n, columns*eighths-1)
	}
	out := make([]rune, columns)
	for i := range out {
		switch filled := n - i*eighths; {
		case filled >= eighths:
			out[i] = full
		case filled > 0 && edge != nil:
			out[i] = edge[filled]
		case filled > 0 && (i == 0 || filled >= eighths/2) && part < whole && i < columns-1,
			filled > 0 && columns == 1:
			out[i] = full
		default:
			out[i] = rest
		}
	}
	return string(out)
}
