package nfq

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const procText = `    3   4711     7 2 65531     5     6        9  1
   17 4294967295    70 2    64    50    60    90000  1
65535   1     0 0     0     0     0        0  1
`

func TestProcQueueIsRead(t *testing.T) {
	for _, c := range []struct {
		name   string
		text   string
		number uint16
		want   KernelStats
		ok     bool
	}{
		{"the first line", procText, 3, KernelStats{Owner: 4711, Waiting: 7, DroppedFull: 5, DroppedBuffer: 6, Sequence: 9}, true},
		{"a line in the middle", procText, 17, KernelStats{Owner: 1<<32 - 1, Waiting: 70, DroppedFull: 50, DroppedBuffer: 60, Sequence: 90000}, true},
		{"the last number", procText, 65535, KernelStats{Owner: 1}, true},
		{"a queue that is not there", procText, 4, KernelStats{}, false},
		{"no queue at all", "", 3, KernelStats{}, false},
		{"a line cut off", "    3   4711     7 2", 3, KernelStats{}, false},
		{"no numbers", "a b c d e f g h i\n", 3, KernelStats{}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := parseProcQueue([]byte(c.text), c.number)
			if ok != c.ok || got != c.want {
				t.Errorf("got %+v, %v, want %+v, %v", got, ok, c.want, c.ok)
			}
		})
	}
}

func TestProcQueueIsReadHoweverManyThereAre(t *testing.T) {
	file := filepath.Join(t.TempDir(), "queues")
	var text []byte
	const queues = 1000
	for i := range queues {
		text = fmt.Appendf(text, "%5d %10d %5d 2 65531 %10d %10d %10d  1\n", i, 1, 2, 1<<31+3, 1<<31+4, 1<<31+i)
	}
	must(t, os.WriteFile(file, text, 0o600))
	f, err := os.Open(file)
	must(t, err)
	p := &procQueue{file: f, number: queues - 1, buf: make([]byte, 16<<10)}
	defer p.close()
	if got, ok := p.read(); !ok || got.Sequence != 1<<31+queues-1 {
		t.Errorf("got %+v, %v, want the last queue's", got, ok)
	}
}

// FuzzParseProcQueue: what is read stands in the text.
func FuzzParseProcQueue(f *testing.F) {
	f.Add([]byte(procText), uint16(17))
	f.Add([]byte("3 3 3 3 3 3 3 3"), uint16(3))
	f.Fuzz(func(t *testing.T, text []byte, number uint16) {
		s, ok := parseProcQueue(text, number)
		if !ok {
			if s != (KernelStats{}) {
				t.Fatalf("got %+v for nothing", s)
			}
			return
		}
		again := fmt.Appendf(nil, "%d %d %d 2 0 %d %d %d 1\n", number, s.Owner, s.Waiting, s.DroppedFull, s.DroppedBuffer, s.Sequence)
		got, ok := parseProcQueue(again, number)
		if diff := cmp.Diff(got, s); !ok || diff != "" {
			t.Fatalf("read again (-got +want):\n%s", diff)
		}
	})
}
