package benchreport

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the expected files anew")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(got), string(want)); diff != "" {
		t.Errorf("%s (-got +want):\n%s", name, diff)
	}
}

// measured are three rounds of two kinds. In the last one the host does something else
// as well, and everything takes twice as long.
func measured() []Sample {
	var out []Sample
	for _, slow := range []float64{1, 1.1, 2} {
		for _, k := range []struct {
			packet string
			size   uint64
			rates  [3]float64
		}{{"150", 150, [3]float64{1_800_000, 780_000, 741_000}}, {"gso64k", 64_000, [3]float64{400_000, 360_000, 361_000}}} {
			for i, way := range Ways {
				packets := uint64(k.rates[i] / slow)
				s := Sample{
					Way: way, Packet: k.packet, Packets: packets, Bytes: packets * k.size, Elapsed: time.Second,
					CPU:     time.Duration(slow * float64(time.Second) / k.rates[i]),
					Latency: &Latency{time.Duration(4000*(i+1)) * time.Duration(slow), time.Duration(19_000 * (i + 1)), time.Duration(310_000 * (i + 1))},
				}
				if way == Rules && k.packet == "gso64k" {
					s.Lost = 2
				}
				out = append(out, s)
			}
		}
	}
	return out
}

func result() Result {
	r := Result{
		Host: Host{
			Version: "sttwall v1.2.3", Time: time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC), Kernel: "6.18.5",
			Processor: "Some Processor <8> @ 3.0 GHz", CPUs: 2,
		},
		Setup: Setup{
			Queues: 1, Flows: 1000, Rounds: 3, Duration: 1, Driver: "fast",
			Rules: "rules.hcl: 2 tenants, 40 rules", Flow: "context 100, tcp 10.0.0.1:32768 > 10.0.0.2:443, from 10.47.0.1 to 10.47.0.2, by acme/web",
		},
	}
	r.Rows = Summarize(r.Setup, measured())
	return r
}

func TestARatioIsThatOfItsRound(t *testing.T) {
	rows := Summarize(Setup{Queues: 2, Flows: 7}, measured())
	if len(rows) != 6 {
		t.Fatalf("%d rows, want one for each way and kind", len(rows))
	}
	for i, want := range []struct {
		ratio, accept, pps, slowest float64
	}{{1, 780. / 1800 * 0, 1_636_363, 900_000}, {780. / 1800, 1, 709_090, 390_000}, {741. / 1800, 741. / 780, 673_636, 370_500}} {
		r := rows[i]
		if i == 0 {
			want.accept = 1800. / 780
		}
		const much = 1e-5 // packets are whole
		if near := func(a, b float64) bool { return a > b*(1-much) && a < b*(1+much) }; !near(r.Ratio, want.ratio) || !near(r.OfAccept, want.accept) || !near(r.PPS, want.pps) || !near(r.Slowest, want.slowest) {
			t.Errorf("got %+v, want %+v", r, want)
		}
		if r.Way != Ways[i] || r.Packet != "150" || r.Flows != 7 || (r.Queues == 0) != (i == 0) {
			t.Errorf("row %d is %+v", i, r)
		}
	}
	if rows[5].Lost != 6 || rows[4].Lost != 0 {
		t.Errorf("lost %d and %d, want 6 and 0", rows[5].Lost, rows[4].Lost)
	}
	if l := rows[0].Latency; l == nil || l.P50 != 4000 || l.P999 != 310_000 {
		t.Errorf("latency %+v", l)
	}
}

func TestWhatWasNotMeasuredIsLeftOut(t *testing.T) {
	none := Sample{Way: Forward, Packet: "150"} // of no time
	queue := Sample{Way: Accept, Packet: "150", Packets: 10, Bytes: 1500, Elapsed: time.Second}
	rows := Summarize(Setup{}, []Sample{none, queue})
	if len(rows) != 1 || rows[0].Ratio != 0 || rows[0].OfAccept != 1 || rows[0].Latency != nil {
		t.Fatalf("got %+v", rows)
	}
	r := result()
	r.Rows = rows
	if rows[0].Rounds != 1 {
		t.Errorf("%d rounds", rows[0].Rounds)
	}
	var out bytes.Buffer
	if err := r.Write(&out); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "accept-all           10    0.00      -   1.00       -       -       -       -\n") {
		t.Errorf("got\n%s", &out)
	}
	if !strings.Contains(out.String(), "\n150 bytes (1 of 3 rounds)\n") {
		t.Errorf("does not say that rounds are missing:\n%s", &out)
	}
	if strings.Contains(string(r.SVG()), "latency") {
		t.Error("a plot of no latencies")
	}
}

func TestTheTable(t *testing.T) {
	r := result()
	var out bytes.Buffer
	if err := r.Write(&out); err != nil {
		t.Fatal(err)
	}
	golden(t, "table.txt", out.Bytes())
	for line := range strings.Lines(out.String()) {
		if len(line) > 81 {
			t.Errorf("%d columns: %s", len(line)-1, line)
		}
	}
}

func TestDoubtsAreSaid(t *testing.T) {
	r := Result{Host: Host{CPUs: 4}, Setup: Setup{Queues: 3}, Rows: []Row{{PPS: 1000, Slowest: 900, Fastest: 1100}}}
	if got := r.Doubts(); len(got) > 0 {
		t.Errorf("got %q", got)
	}
	r.Queues, r.Rows[0].Fastest = 4, 1200
	got := r.Doubts()
	if len(got) != 2 || !strings.HasPrefix(got[0], "4 queues on 4 processors: ") || !strings.Contains(got[1], " differ by up to 30\u00a0%: ") {
		t.Errorf("got %q", got)
	}
	r.Rows[0].Fastest = 3000
	if got = r.Doubts(); len(got) != 2 || !strings.Contains(got[1], " not to be relied on") {
		t.Errorf("got %q", got)
	}
}

func TestJSON(t *testing.T) {
	r := result()
	out, err := json.MarshalIndent(&r, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "result.json", append(out, '\n'))
}

func TestThePicture(t *testing.T) {
	r := result()
	svg := r.SVG()
	golden(t, "result.svg", svg)
	decoder := xml.NewDecoder(bytes.NewReader(svg))
	shapes := map[string]int{}
	for {
		token, err := decoder.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok {
			shapes[e.Name.Local]++
		}
	}
	// A bar for each row, three in the legend, the paper; two dots for each row.
	if shapes["rect"] != 6+3+1 || shapes["circle"] != 12 {
		t.Errorf("shapes: %v", shapes)
	}
}

func TestNumbersAreShort(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{Thousands(0), "0"}, {Thousands(999.6), "1,000"}, {Thousands(1234567), "1,234,567"}, {Thousands(-123456), "-123,456"},
		{digits(0.954), "0.95"}, {digits(9.999), "10.0"}, {digits(99.96), "100"}, {digits(187.4), "187"},
		{timeText(0), "0 ns"}, {timeText(999), "999 ns"}, {timeText(1000), "1.0 us"}, {timeText(9_960), "10 us"}, {timeText(1_234_000), "1.2 ms"},
		{timeText(999_600_000), "1.0 s"}, {timeText(90 * time.Second), "90.0 s"},
		{Title("1500"), "1,500 bytes"}, {Title("45"), "frames of 45 segments"}, {Title("other"), "other"},
	} {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
}
