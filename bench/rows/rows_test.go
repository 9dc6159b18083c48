package rows

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"sttwall/internal/benchreport"
)

func some() []Row {
	run := Run{Host: benchreport.Host{Version: "v1", Time: time.Date(2026, 11, 26, 1, 2, 3, 0, time.UTC), Kernel: "6.18.5", Processor: "P", CPUs: 2}, Go: "go1.26", Rounds: 7, Seconds: 1}
	return []Row{
		{Variant: "forward", Packet: "150", Queues: 1, Flows: 1000, PPS: 10, Each: []float64{9, 10, 11}, Ratio: 1, Run: run},
		{Variant: "c_loop", Packet: "150", Queues: 1, Flows: 1000, Latency: []Latency{{"half", 5, 1, 2, 3}}, Error: "it ended", Run: run},
	}
}

func TestRowsAreReadAsTheyWereWritten(t *testing.T) {
	var out bytes.Buffer
	if err := Write(&out, some()); err != nil {
		t.Fatal(err)
	}
	got, err := Read(&out)
	if err != nil {
		t.Fatal(err)
	}
	if want := some(); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestWhatIsNotOfOneRunIsRefused(t *testing.T) {
	var one, two bytes.Buffer
	list := some()
	if err := Write(&one, list); err != nil {
		t.Fatal(err)
	}
	for i := range list {
		list[i].Run.Time = list[i].Run.Time.Add(time.Hour)
	}
	if err := Write(&two, list); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ text, want string }{
		{"", "no rows"}, {"{", "row 1: "}, {"{}", "row 1: neither"}, {one.String() + "[]", "row 3: "},
		{one.String() + two.String(), "row 3: is of another run"},
	} {
		if _, err := Read(strings.NewReader(tt.text)); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%.40q: %v, want %s", tt.text, err, tt.want)
		}
	}
}
