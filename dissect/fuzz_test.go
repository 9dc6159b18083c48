package dissect_test

import (
	"testing"

	"sttwall/dissect"
)

// FuzzDissect holds that fields lie inside of their layer and the layers inside of the
// data, in order and without overlap, however much is cut off.
func FuzzDissect(f *testing.F) {
	for _, c := range made {
		header, inner := c.frame()
		f.Add(header, inner, len(inner), false)
		f.Add(header, inner[:len(inner)*2/3], len(inner), true)
	}
	f.Fuzz(func(t *testing.T, header, inner []byte, length int, ovn bool) {
		layers := dissect.Dissect(&dissect.Frame{Header: header, Data: inner, Length: length, OVN: ovn})
		checkOrder(t, layers, len(header), len(inner))
	})
}

func checkOrder(t *testing.T, layers []dissect.Layer, header, inner int) {
	t.Helper()
	const most = 2000
	end, fields := 0, 0
	for i, l := range layers {
		size := inner
		if l.InHeader {
			if size = header; i != 0 {
				t.Errorf("layer %d, %s, is in the frame header", i, l.Name)
			}
		}
		if i > 0 && layers[i-1].InHeader {
			end = 0
		}
		if l.Name == "" || l.Offset < end || l.Length < 0 || l.Offset+l.Length > size {
			t.Fatalf("layer %d, %q, at %d+%d: the one before ends at %d, the data at %d", i, l.Name, l.Offset, l.Length, end, size)
		}
		end = l.Offset + l.Length
		bit := 8 * l.Offset
		for _, f := range l.Fields {
			from, to := 8*f.Offset, 8*(f.Offset+f.Length)
			if f.Bits > 0 {
				from, to = from+f.Bit, from+f.Bit+f.Bits
			}
			if f.Name == "" || from < bit || to <= from || to > 8*end || f.Bits > 0 && (to+7)/8 != f.Offset+f.Length {
				t.Fatalf("%s, field %q, bits %d to %d: the one before ends at %d, the layer at %d", l.Name, f.Name, from, to, bit, 8*end)
			}
			bit = to
		}
		fields += len(l.Fields)
	}
	if fields > most {
		t.Errorf("%d fields of %d bytes", fields, inner)
	}
}

// TestEveryPrefixIsNamed cuts the frames of the table off at every byte.
func TestEveryPrefixIsNamed(t *testing.T) {
	for _, c := range made {
		header, inner := c.frame()
		for n := range len(inner) + 1 {
			layers := dissect.Dissect(&dissect.Frame{Header: header, Data: inner[:n], Length: len(inner)})
			checkOrder(t, layers, len(header), n)
			if n < len(inner) && !tellsOfCut(layers) {
				t.Errorf("%s: nothing says that only %d of %d bytes are there", c.name, n, len(inner))
			}
		}
	}
}

func tellsOfCut(layers []dissect.Layer) bool {
	for _, l := range layers {
		if l.Note != "" {
			return true
		}
	}
	return false
}
