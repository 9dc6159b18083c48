package benchreport

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
)

func TestLinesAreDrawnOnTheirAxes(t *testing.T) {
	values := make([]float64, 2000)
	for i := range values {
		values[i] = 40 + math.Sin(float64(i)/50)
	}
	values[1234] = 97 // a peak must not be lost
	l := Lines{
		Title: "Memory <&>", Subtitle: "here", Axis: "minutes", Ticks: []string{"0", "30", "60"},
		Panels: []Panel{
			{Title: "MiB", Lines: []Series{{Name: "resident", Tone: Own, Values: values}, {Name: "heap", Tone: Peer, Values: []float64{1, 2}}}},
			{Title: "nothing", Lines: []Series{{Name: "none", Tone: Plain}}},
		},
	}
	svg := l.SVG()
	for decoder := xml.NewDecoder(bytes.NewReader(svg)); ; {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"Memory &lt;&amp;&gt;", ">resident<", ">minutes<", ">100<", ">30<"} {
		if !strings.Contains(string(svg), want) {
			t.Errorf("no %s in the picture", want)
		}
	}
	if strings.Contains(string(svg), "NaN") || strings.Contains(string(svg), "Inf") {
		t.Error("a place is no number")
	}
	drawn := peaks(values)
	if len(drawn) != linesPoints {
		t.Fatalf("%d points, want %d", len(drawn), linesPoints)
	}
	most := 0.0
	for _, v := range drawn {
		most = max(most, v)
	}
	if most != 97 {
		t.Errorf("the peak is %v, want 97", most)
	}
}
