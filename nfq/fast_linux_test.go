package nfq

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"sttwall/firewall"
)

func TestFastKeepsThePromisesOfQueue(t *testing.T) { conformance(t, DriverFast) }

// BenchmarkFast: see [BenchmarkGoNFQueue].
func BenchmarkFast(b *testing.B) { benchmarkDriver(b, DriverFast) }

func TestPacketsAreTakenAndAnsweredWithoutAllocation(t *testing.T) {
	w := newWire(t)
	q, err := Open(Config{Number: 17})
	must(t, err)
	defer q.Close()
	_, err = InstallTable(TableConfig{Ports: []uint16{testPort}, FirstQueue: 17, Queues: 1})
	must(t, err)
	const batches = 20
	packet := outer{payload: make([]byte, 100)}.bytes()
	batch := make([]firewall.Packet, slots)
	if n, err := q.Receive(batch, 0); n != 0 || err != nil { // the answer to the request to begin
		t.Fatalf("got %d packets, %v, want none yet", n, err)
	}
	w.send(t, slices.Repeat([][]byte{packet}, (batches+2)*slots)...)
	w.delivered(t) // all of them are in the queue when a later packet is through
	list := make([]firewall.Verdict, slots)
	instead := outer{id: 2, payload: make([]byte, 200)}.bytes()
	kind := 0
	before := q.Stats()
	got := testing.AllocsPerRun(batches, func() {
		n, err := q.Receive(batch, -1)
		if err != nil || n != slots {
			t.Fatalf("got %d packets, %v, want %d", n, err, slots)
		}
		for i := range batch {
			list[i] = firewall.Verdict{ID: batch[i].ID, Action: firewall.Accept}
			switch {
			case kind%4 == 1 && i%3 == 0:
				list[i].Payload = instead
			case kind%4 == 2 && i%3 == 0, kind%4 == 3:
				list[i].Action = firewall.Drop
			}
		}
		kind++
		if err := q.SetVerdicts(list); err != nil {
			t.Fatal(err)
		}
	})
	if got != 0 {
		t.Errorf("got %v allocations, want 0", got)
	}
	s := q.Stats()
	if calls := s.Syscalls - before.Syscalls; calls != 2*(batches+1) {
		t.Errorf("got %d system calls for %d batches, want one to take and one to answer each", calls, batches+1)
	}
}

// What the messages of a list are is in outstanding_test.go; here the kernel
// carries them out.
func TestTheKernelCarriesOutBatchVerdicts(t *testing.T) {
	w := newWire(t)
	q, err := Open(Config{Number: 17})
	must(t, err)
	defer q.Close()
	_, err = InstallTable(TableConfig{Ports: []uint16{testPort}, FirstQueue: 17, Queues: 1})
	must(t, err)
	for i := range 12 {
		w.send(t, outer{id: uint32(i)}.bytes())
	}
	p := take(t, q, 12)
	drop := func(p firewall.Packet) firewall.Verdict { return firewall.Verdict{ID: p.ID} }
	for _, c := range []struct {
		name     string
		list     []firewall.Verdict
		messages uint64
		left     []uint32
	}{
		{"0 is held: one by one", accept(p[1], p[2]), 2, []uint32{1, 2}},
		{"a drop among them goes first", append(accept(p[0], p[3], p[4]), drop(p[5]), accept(p[6])[0]), 2, []uint32{0, 3, 4, 6}},
		{"not in the order of the kernel", accept(p[8], p[7]), 2, []uint32{8, 7}},
		{"the oldest dropped, the rest accepted", append([]firewall.Verdict{drop(p[9])}, accept(p[10], p[11])...), 2, []uint32{10, 11}},
	} {
		before := q.Stats()
		must(t, q.SetVerdicts(c.list))
		if got := q.Stats().Messages - before.Messages; got != c.messages {
			t.Errorf("%s: got %d messages, want %d", c.name, got, c.messages)
		}
		if diff := cmp.Diff(w.delivered(t), c.left); diff != "" {
			t.Errorf("%s: delivered (-got +want):\n%s", c.name, diff)
		}
	}
	if s := q.Stats(); s.Late != 0 || s.KernelKnown && s.Kernel.Waiting != 0 {
		t.Errorf("got %d late verdicts, %d packets waiting, want none", s.Late, s.Kernel.Waiting)
	}
}

// BenchmarkCopyRange is what [copyRule] weighs: a packet of which 256 bytes are
// copied, one that is copied whole, and one that comes again: the processor time of
// the thread that takes and answers them, what follows in the kernel included. The
// differences count.
func BenchmarkCopyRange(b *testing.B) {
	for _, size := range []int{1500, 9000, 64000} {
		for _, how := range []string{"part", "whole", "again"} {
			b.Run(fmt.Sprintf("packet=%d/%s", size, how), func(b *testing.B) {
				w := newWire(b)
				c := Config{Number: 17, CopyRange: 256}
				if how == "whole" {
					c.CopyRange = 0
				}
				q, err := Open(c)
				must(b, err)
				defer q.Close()
				_, err = InstallTable(TableConfig{Ports: []uint16{testPort}, FirstQueue: 17, Queues: 1})
				must(b, err)
				o := offload{checksum: true, gsoSize: 1400}
				if size == 1500 {
					o.gsoSize = 0
				}
				burst := slices.Repeat([][]byte{outer{payload: make([]byte, size-40), partial: true}.bytes()}, slots)
				batch := make([]firewall.Packet, slots)
				list := make([]firewall.Verdict, 0, slots)
				sum, sent, spent := 0, 0, int64(0)
				for left := 0; b.Loop(); left-- {
					if left > 0 {
						continue // of the burst that was answered
					}
					left = len(burst)
					w.sendOffload(b, o, burst...)
					sent += len(burst)
					spent -= threadTime(b)
					for answered := 0; answered < len(burst); {
						n, err := q.Receive(batch, patience)
						must(b, err)
						if n == 0 {
							b.Fatal("a packet is missing")
						}
						list = list[:0]
						for i := range batch[:n] {
							v := firewall.Verdict{ID: batch[i].ID, Action: firewall.Accept}
							if how == "again" && batch[i].More {
								v.Action = firewall.Again
							} else {
								answered++
							}
							sum += int(batch[i].Data[40])
							list = append(list, v)
						}
						must(b, q.SetVerdicts(list))
					}
					spent += threadTime(b)
				}
				b.ReportMetric(float64(spent)/float64(sent), "cpu-ns/packet")
			})
		}
	}
}

// threadTime is the processor time of the calling thread in ns.
func threadTime(t testing.TB) int64 {
	t.Helper()
	var now unix.Timespec
	must(t, unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &now))
	return now.Nano()
}
