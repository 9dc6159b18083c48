package nfq

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	nfqueue "github.com/florianl/go-nfqueue/v2"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"sttwall/firewall"
)

func TestGoNFQueueKeepsThePromisesOfQueue(t *testing.T) { conformance(t, DriverGoNFQueue) }

func TestPacketOfAMessage(t *testing.T) {
	for _, c := range []struct {
		name    string
		message nfqueue.Attribute
		want    firewall.Packet
		ok      bool
	}{
		{"a whole packet", attribute(7, []byte("abc"), 0, nil), firewall.Packet{ID: 7, Data: []byte("abc"), Length: 3, Checksum: firewall.ChecksumGood}, true},
		{"a cut one", attribute(7, []byte("abc"), 1500, []byte{0, 0, 0, 4}), firewall.Packet{ID: 7, Data: []byte("abc"), Length: 1500, More: true}, true},
		{"a super-segment", attribute(1<<32-1, []byte("abc"), 0, []byte{0, 0, 0, 3}), firewall.Packet{ID: 1<<32 - 1, Data: []byte("abc"), Length: 3, Checksum: firewall.ChecksumPartial, GSO: true}, true},
		{"an empty packet", attribute(7, []byte{}, 0, nil), firewall.Packet{ID: 7, Data: []byte{}, Checksum: firewall.ChecksumGood}, true},
		{"a length below what was copied", attribute(7, []byte("abc"), 2, nil), firewall.Packet{ID: 7, Data: []byte("abc"), Length: 3, Checksum: firewall.ChecksumGood}, true},
		{"without an ID", nfqueue.Attribute{Payload: &[]byte{1}}, firewall.Packet{}, false},
		{"without a packet", attribute(7, nil, 0, nil), firewall.Packet{}, false},
		{"with half of its info", attribute(7, []byte("abc"), 0, []byte{0, 0}), firewall.Packet{}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := firewall.Packet{ID: 99, GSO: true} // all of it is overwritten
			ok := packetOf(&c.message, &p)
			if ok != c.ok {
				t.Fatalf("got %v, want %v", ok, c.ok)
			}
			if diff := cmp.Diff(p, c.want); ok && diff != "" {
				t.Errorf("packet (-got +want):\n%s", diff)
			}
		})
	}
}

// attribute is a message of the library. A nil payload or info and a length of
// 0 are left out.
func attribute(id uint32, payload []byte, length uint32, info []byte) nfqueue.Attribute {
	a := nfqueue.Attribute{PacketID: &id}
	if payload != nil {
		a.Payload = &payload
	}
	if length != 0 {
		a.CapLen = &length
	}
	if info != nil {
		a.SkbInfo = &info
	}
	return a
}

// FuzzPacketOf: a packet has the ID and the bytes of its message, is never
// longer in memory than on the wire, and its checksum is trusted only where the
// kernel says neither "not ready" nor "not verified".
func FuzzPacketOf(f *testing.F) {
	f.Add(uint32(1), outer{}.bytes(), uint32(0), []byte{0, 0, 0, 4})
	f.Add(uint32(2), outer{src: far6, dst: near6}.bytes(), uint32(65535), []byte{0, 0, 0, 3})
	f.Add(uint32(0), []byte{}, uint32(1<<32-1), []byte{})
	f.Fuzz(func(t *testing.T, id uint32, payload []byte, length uint32, info []byte) {
		a := attribute(id, payload, length, info)
		var p firewall.Packet
		if !packetOf(&a, &p) {
			if payload != nil && (info == nil || len(info) == 4) {
				t.Fatal("refused a message that has all its parts")
			}
			return
		}
		if p.ID != uint64(id) || !bytes.Equal(p.Data, payload) || p.Length < len(p.Data) {
			t.Fatalf("got ID %d, %d bytes of %d, want %d, %d", p.ID, len(p.Data), p.Length, id, len(payload))
		}
		if want := max(len(payload), int(length)); p.Length != want {
			t.Fatalf("got length %d, want %d", p.Length, want)
		}
		var bits uint32
		if info != nil {
			bits = binary.BigEndian.Uint32(info)
		}
		if (p.Checksum == firewall.ChecksumGood) != (bits&5 == 0) || (p.Checksum == firewall.ChecksumPartial) != (bits&1 != 0) || p.GSO != (bits&2 != 0) {
			t.Fatalf("got checksum state %d, GSO %v for info %#x", p.Checksum, p.GSO, bits)
		}
	})
}

func TestVerdictsAreSentWithoutAllocation(t *testing.T) {
	enterNS(t)
	q, err := Open(Config{Number: 3, Length: 64, Driver: DriverGoNFQueue})
	must(t, err)
	defer q.Close()
	// For packets that are not there; the kernel's answers are kept away, since
	// the library allocates for each.
	s := q.(*goNFQueue)
	must(t, s.nf.Con.SetBPF([]bpf.RawInstruction{{Op: unix.BPF_RET | unix.BPF_K, K: 0}}))
	list := []firewall.Verdict{{ID: 1, Action: firewall.Accept}, {ID: 2, Action: firewall.Accept, Payload: outer{}.bytes()}, {ID: 3}}
	must(t, q.SetVerdicts(list))
	if got := testing.AllocsPerRun(100, func() {
		if err := q.SetVerdicts(list); err != nil {
			t.Fatal(err)
		}
	}); got != 0 {
		t.Errorf("got %v allocations, want 0", got)
	}
}

// BenchmarkGoNFQueue takes packets from the kernel and accepts them. The sender
// runs on the same machine.
func BenchmarkGoNFQueue(b *testing.B) { benchmarkDriver(b, DriverGoNFQueue) }

func TestSocketErrorsAreCountedAndSurvivedUpToABound(t *testing.T) {
	q := &goNFQueue{closing: make(chan struct{}), done: make(chan struct{})}
	for range 2 * maxErrorsInARow {
		if q.onError(unix.ENOBUFS) != 0 || q.onError(fmt.Errorf("receive: %w", unix.ENOENT)) != 0 {
			t.Fatal("an overrun or a late verdict ended the queue")
		}
	}
	for range maxErrorsInARow - 1 {
		if q.onError(unix.EIO) != 0 {
			t.Fatal("an unknown error ended the queue too early")
		}
	}
	select {
	case <-q.done:
		t.Fatal("the queue is done already")
	default:
	}
	if q.onError(unix.EIO) == 0 {
		t.Fatal("unknown errors without end did not end the queue")
	}
	<-q.done
	if _, err := q.Receive(make([]firewall.Packet, 1), -1); !errors.Is(err, unix.EIO) {
		t.Errorf("receive returned %v, want %v", err, unix.EIO)
	}
	if got := [3]uint64{q.count.overruns.Load(), q.count.late.Load(), q.count.otherErrors.Load()}; got != [3]uint64{200, 200, 100} {
		t.Errorf("got %d overruns, late verdicts, other errors, want 200, 200, 100", got)
	}
}

// A worker on a real queue, with a core that holds packets in pairs.
func TestWorkerOnARealQueue(t *testing.T) {
	w := newWire(t)
	q, err := Open(Config{Number: 17})
	must(t, err)
	_, err = InstallTable(TableConfig{Ports: []uint16{testPort}, FirstQueue: 17, Queues: 1})
	must(t, err)

	seen := make(chan uint64, 100)
	core := newPairCore()
	core.lifetime = 1 << 60
	core.process = func(p *firewall.Packet) { seen <- p.ID }
	worker, err := NewWorker(WorkerConfig{Queue: q, Core: core})
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error)
	go func() { result <- worker.Run(ctx) }()

	// The kernel counts IDs from 1 in each queue: 1 waits for 0 for ever.
	for id := range uint32(6) {
		w.send(t, outer{id: id + 1}.bytes())
	}
	for range 6 {
		<-seen
	}
	cancel()
	must(t, <-result)
	if diff := cmp.Diff(w.delivered(t), []uint32{2, 3, 4, 5}); diff != "" {
		t.Errorf("delivered: the pairs, and not what was held at the end (-got +want):\n%s", diff)
	}
	w.send(t, outer{id: 8}.bytes())
	if got := w.delivered(t); len(got) != 0 {
		t.Errorf("delivered %v after the end, want nothing: the table stays", got)
	}
}
