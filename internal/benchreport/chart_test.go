package benchreport

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"testing"
	"time"
)

func bars() Chart {
	return Chart{
		Title: "Of forwarding", Subtitle: "Linux 6.18, Some Processor <8>", Axis: "of forwarding's packets a second",
		Groups: []Group{
			{Title: Title("150"), Marks: []Mark{
				{Name: "forward", Tone: Plain, Bar: 1, Label: "1.00 · 1,100,000/s"}, {Name: "c_batch", Tone: Peer, Bar: 0.41, Label: "0.41 · 451,000/s"},
				{Name: "sttwall, 1,000 rules", Tone: Own, Bar: 0.4, Label: "0.40 · 440,000/s"}, {Name: "missing", Tone: Peer, Label: "-"},
			}},
			{Title: Title("gso64k"), Marks: []Mark{{Name: "go_nfqueue", Tone: Peer, Bar: 0.03, Label: "0.03 · 12,000/s"}}},
		},
	}
}

func spans() Chart {
	us := time.Microsecond
	return Chart{Title: "Latency", Axis: "p50, p99, p99.9", Groups: []Group{{Title: "150 bytes", Marks: []Mark{
		{Name: "c_loop", Tone: Peer, Span: &Latency{13 * us, 3300 * us, 4100 * us}},
		{Name: "sttwall", Tone: Own, Span: &Latency{12 * us, 1900 * us, 2900 * us}},
	}}}}
}

func TestAChartHasItsMarksInTheirGroups(t *testing.T) {
	for name, c := range map[string]Chart{"bars.svg": bars(), "spans.svg": spans(), "": {}} {
		got := c.SVG()
		if name != "" {
			golden(t, name, got)
		}
		for d := xml.NewDecoder(bytes.NewReader(got)); ; {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%q: no XML: %v", name, err)
			}
		}
	}
}

func TestTicksAreRoundAndReachTheLongestBar(t *testing.T) {
	for _, most := range []float64{0.0004, 0.43, 1, 1.04, 7, 950, 2100, 12_345} {
		c := Chart{Groups: []Group{{Marks: []Mark{{Bar: most}}}}}
		a := c.axis()
		if n := len(a.ticks); n < 3 || n > 12 {
			t.Errorf("up to %v: %d ticks: %v", most, n, a.ticks)
		}
		if a.to < most*0.999 || a.to > 2*most {
			t.Errorf("up to %v: the axis ends at %v", most, a.to)
		}
		if end := a.at(most); end > pictureWidth-chartLabels+0.01 {
			t.Errorf("up to %v: the bar ends at %v", most, end)
		}
	}
}
