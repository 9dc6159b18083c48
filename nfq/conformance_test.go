package nfq

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"sttwall/firewall"
)

// conformance holds a driver to the promises of [Queue], on a real kernel.
func conformance(t *testing.T, driver Driver) {
	open := func(c Config) (Queue, error) {
		c.Driver = driver
		return Open(c)
	}
	// bench is a wire with a table that sends STT to the queue under test.
	bench := func(t *testing.T, c Config) (*wire, Queue) {
		w := newWire(t)
		c.Number = 17
		q, err := open(c)
		must(t, err)
		t.Cleanup(func() { q.Close() })
		_, err = InstallTable(TableConfig{Ports: []uint16{testPort}, FirstQueue: 17, Queues: 1})
		must(t, err)
		return w, q
	}
	families := []struct {
		name     string
		src, dst netip.Addr
		raw      func(*wire) int
		ipLen    int
	}{
		{"IPv4", far4, near4, func(w *wire) int { return w.raw4 }, 20},
		{"IPv6", far6, near6, func(w *wire) int { return w.raw6 }, 40},
	}

	for _, f := range families {
		t.Run("a packet comes as it was sent and an accepted one leaves as it came/"+f.name, func(t *testing.T) {
			w, q := bench(t, Config{})
			sent := outer{src: f.src, dst: f.dst, id: 1, payload: []byte("hello")}.bytes()
			w.send(t, sent)
			p := take(t, q, 1)[0]
			if diff := cmp.Diff(p.Data, sent); diff != "" {
				t.Errorf("packet from the queue (-got +want):\n%s", diff)
			}
			if p.Length != len(sent) || p.GSO || p.Checksum != firewall.ChecksumUnverified {
				t.Errorf("got length %d, GSO %v, checksum state %d, want %d, false, %d", p.Length, p.GSO, p.Checksum, len(sent), firewall.ChecksumUnverified)
			}
			must(t, q.SetVerdicts(accept(p)))
			if got, want := receiveRaw(t, f.raw(w)), sent[f.ipLen:]; !bytes.Equal(got, want) {
				t.Errorf("left as %x, want %x", got, want)
			}
		})

		t.Run("a payload replaces the packet/"+f.name, func(t *testing.T) {
			w, q := bench(t, Config{})
			for _, size := range []int{0, 1, 5, 6, 1200} {
				w.send(t, outer{src: f.src, dst: f.dst, id: 1, payload: []byte("hello")}.bytes())
				p := take(t, q, 1)[0]
				instead := outer{src: f.src, dst: f.dst, id: 2, payload: bytes.Repeat([]byte{7}, size)}.bytes()
				must(t, q.SetVerdicts([]firewall.Verdict{{ID: p.ID, Action: firewall.Accept, Payload: instead}}))
				if got, want := receiveRaw(t, f.raw(w)), instead[f.ipLen:]; !bytes.Equal(got, want) {
					t.Errorf("left as %x, want %x", got, want)
				}
			}
		})

		t.Run("a super-segment comes and leaves whole/"+f.name, func(t *testing.T) {
			w, q := bench(t, Config{})
			sent := outer{src: f.src, dst: f.dst, id: 1, payload: bytes.Repeat([]byte("0123456789"), 3000), partial: true}.bytes()
			w.sendOffload(t, offload{checksum: true, gsoSize: 1400}, sent)
			p := take(t, q, 1)[0]
			if !p.GSO || p.Checksum != firewall.ChecksumPartial || !bytes.Equal(p.Data, sent) {
				t.Errorf("got GSO %v, checksum state %d, %d bytes, want true, %d, %d bytes as sent", p.GSO, p.Checksum, len(p.Data), firewall.ChecksumPartial, len(sent))
			}
			must(t, q.SetVerdicts(accept(p)))
			if got, want := len(receiveRaw(t, f.raw(w))), len(sent)-f.ipLen; got != want {
				t.Errorf("left with %d bytes, want %d", got, want)
			}
		})

		t.Run("a checksum that an offload finishes is partial/"+f.name, func(t *testing.T) {
			w, q := bench(t, Config{})
			w.sendOffload(t, offload{checksum: true}, outer{src: f.src, dst: f.dst, id: 1, payload: []byte("hello"), partial: true}.bytes())
			p := take(t, q, 1)[0]
			if p.GSO || p.Checksum != firewall.ChecksumPartial {
				t.Errorf("got GSO %v, checksum state %d, want false, %d", p.GSO, p.Checksum, firewall.ChecksumPartial)
			}
		})
	}

	t.Run("a dropped packet does not leave", func(t *testing.T) {
		w, q := bench(t, Config{})
		w.send(t, outer{id: 1}.bytes(), outer{id: 2}.bytes(), outer{id: 3}.bytes())
		p := take(t, q, 3)
		must(t, q.SetVerdicts([]firewall.Verdict{
			{ID: p[0].ID, Action: firewall.Accept},
			{ID: p[1].ID, Payload: outer{id: 9}.bytes()}, // a payload changes nothing about that
			{ID: p[2].ID, Action: firewall.Accept},
		}))
		if diff := cmp.Diff(w.delivered(t), []uint32{1, 3}); diff != "" {
			t.Errorf("delivered (-got +want):\n%s", diff)
		}
	})

	t.Run("packets leave in the order of their verdicts", func(t *testing.T) {
		w, q := bench(t, Config{})
		const n = 500
		var sent [][]byte
		var want []uint32
		for i := range n {
			sent = append(sent, outer{id: uint32(i)}.bytes())
			want = append(want, uint32(n-1-i))
		}
		w.send(t, sent...)
		p := take(t, q, n)
		slices.Reverse(p)
		must(t, q.SetVerdicts(accept(p...)))
		if diff := cmp.Diff(w.delivered(t), want); diff != "" {
			t.Errorf("delivered (-got +want):\n%s", diff)
		}
	})

	t.Run("verdicts with more payload than one datagram holds arrive in order", func(t *testing.T) {
		w, q := bench(t, Config{})
		const n = 60
		var sent [][]byte
		for i := range n {
			sent = append(sent, outer{id: uint32(i)}.bytes())
		}
		w.send(t, sent...)
		var list []firewall.Verdict
		var want []uint32
		for i, p := range take(t, q, n) {
			instead := outer{id: uint32(1000 + i), payload: make([]byte, 60000)}.bytes()
			list = append(list, firewall.Verdict{ID: p.ID, Action: firewall.Accept, Payload: instead})
			want = append(want, uint32(1000+i))
		}
		must(t, q.SetVerdicts(list))
		if diff := cmp.Diff(w.delivered(t), want); diff != "" {
			t.Errorf("delivered (-got +want):\n%s", diff)
		}
		if got := q.Stats().Verdicts; got != n {
			t.Errorf("got %d verdicts counted, want %d", got, n)
		}
	})

	t.Run("a payload that cannot be sent drops the packet and is counted", func(t *testing.T) {
		w, q := bench(t, Config{})
		bad := [][]byte{{}, {0x45}, outer{}.bytes()[:39], make([]byte, 100), make([]byte, MaxPayload+1)}
		bad[4][0] = 0x45
		for range bad {
			w.send(t, outer{id: 1}.bytes())
		}
		for i, p := range take(t, q, len(bad)) {
			must(t, q.SetVerdicts([]firewall.Verdict{{ID: p.ID, Action: firewall.Accept, Payload: bad[i]}}))
		}
		if got := w.delivered(t); len(got) != 0 {
			t.Errorf("delivered %v, want nothing", got)
		}
		if got, want := q.Stats().PayloadRefused, uint64(len(bad)); got != want {
			t.Errorf("got %d payloads refused, want %d", got, want)
		}
	})

	t.Run("a copy range cuts what is copied and not the packet", func(t *testing.T) {
		w, q := bench(t, Config{CopyRange: 64})
		sent := outer{id: 1, payload: make([]byte, 1000)}.bytes()
		w.send(t, sent, sent)
		p := take(t, q, 2)
		if len(p[0].Data) != 64 || p[0].Length != len(sent) || !bytes.Equal(p[0].Data, sent[:64]) {
			t.Errorf("got %d bytes of %d, want 64 of %d", len(p[0].Data), p[0].Length, len(sent))
		}
		must(t, q.SetVerdicts(accept(p[0])))
		if got, want := len(receiveRaw(t, w.raw4)), len(sent)-20; got != want {
			t.Errorf("accepted as it came: left with %d bytes, want %d", got, want)
		}
		instead := outer{id: 2, payload: []byte("whole")}.bytes()
		must(t, q.SetVerdicts([]firewall.Verdict{{ID: p[1].ID, Action: firewall.Accept, Payload: instead}}))
		if got, want := receiveRaw(t, w.raw4), instead[20:]; !bytes.Equal(got, want) {
			t.Errorf("accepted with a payload: left as %x, want %x", got, want)
		}
		for _, c := range []struct{ copyRange, want int }{{128, 128}, {0, len(sent)}} {
			must(t, q.SetCopyRange(c.copyRange))
			w.send(t, sent)
			if got := len(take(t, q, 1)[0].Data); got != c.want {
				t.Errorf("copy range changed to %d: got %d bytes, want %d", c.copyRange, got, c.want)
			}
		}
	})

	t.Run("a packet that is to come again comes whole, behind the others, and leaves as it came", func(t *testing.T) {
		w, q := bench(t, Config{CopyRange: 64})
		large := func(id uint32, size int) []byte {
			return outer{id: id, payload: bytes.Repeat([]byte("01234567"), 10000)[:size], partial: true}.bytes()
		}
		gso := offload{checksum: true, gsoSize: 1400}
		again := func(p firewall.Packet) firewall.Verdict { return firewall.Verdict{ID: p.ID, Action: firewall.Again} }
		first, largest := large(1, 30000), large(2, 65535-40)
		inside(t, w.far, func() error { // room for the largest and its Ethernet header
			link, err := netlink.LinkByName("far")
			if err != nil {
				return err
			}
			return errors.Join(netlink.LinkSetGSOMaxSize(link, 70000), netlink.LinkSetGSOIPv4MaxSize(link, 70000))
		})
		w.sendOffload(t, gso, first, largest)
		w.send(t, outer{id: 3, payload: make([]byte, 100)}.bytes())
		p := take(t, q, 3)
		for i, length := range []int{len(first), len(largest), 140} {
			if !p[i].More || len(p[i].Data) != 64 || p[i].Length != length {
				t.Fatalf("packet %d: got %d bytes of %d, more %v, want 64 of %d, true", i, len(p[i].Data), p[i].Length, p[i].More, length)
			}
		}
		must(t, q.SetVerdicts([]firewall.Verdict{again(p[0]), again(p[1]), accept(p[2])[0]}))
		whole := take(t, q, 2)
		for i, sent := range [][]byte{first, largest} {
			got := whole[i]
			if got.More || got.Length != len(sent) || !bytes.Equal(got.Data, sent[:min(len(sent), MaxPayload)]) || got.ID == p[i].ID || !got.GSO || got.Device != p[i].Device {
				t.Errorf("packet %d: got %d bytes of %d, more %v, GSO %v, device %d, want all that is copied of %d, device %d",
					i, len(got.Data), got.Length, got.More, got.GSO, got.Device, len(sent), p[i].Device)
			}
		}
		if diff := cmp.Diff(w.delivered(t), []uint32{3}); diff != "" {
			t.Errorf("delivered meanwhile (-got +want):\n%s", diff)
		}
		fourth := outer{id: 4, payload: make([]byte, 100)}.bytes()
		w.send(t, fourth)
		if got := take(t, q, 1)[0]; len(got.Data) != 64 {
			t.Errorf("the next packet: got %d bytes, want 64", len(got.Data))
		} else {
			must(t, q.SetVerdicts(accept(got)))
		}
		must(t, q.SetVerdicts(accept(whole...)))
		if got, want := receiveRaw(t, w.raw4), fourth[20:]; !bytes.Equal(got, want) {
			t.Errorf("left first as %d bytes, want the packet behind it", len(got))
		}
		for i, sent := range [][]byte{first, largest} {
			// Without its checksum, which the device finishes.
			got, want := receiveRaw(t, w.raw4), sent[20:]
			clear(got[16:18])
			want = bytes.Clone(want)
			clear(want[16:18])
			if !bytes.Equal(got, want) {
				t.Errorf("packet %d left with %d bytes, want %d as sent", i, len(got), len(want))
			}
		}
		if s := q.Stats(); s.Again != 2 || s.Late != 0 || s.Packets != 6 || s.KernelKnown && s.Kernel.Waiting != 0 {
			t.Errorf("got %+v, want 2 packets that came again, 6 received, none late or waiting", s)
		}
	})

	t.Run("an overrun is counted and survived", func(t *testing.T) {
		w, q := bench(t, Config{ReceiveBuffer: 8192})
		flood := make([][]byte, 2000)
		for i := range flood {
			flood[i] = outer{id: 1, payload: make([]byte, 1400)}.bytes()
		}
		w.send(t, flood...)
		received, sent := untilLast(t, w, q)
		sent += len(flood)
		s := q.Stats()
		if received >= sent || s.Overruns == 0 {
			t.Errorf("got %d of %d packets and %d overruns counted, want some lost and counted", received, sent, s.Overruns)
		}
		if s.KernelKnown && int(s.Kernel.DroppedBuffer)+received != sent {
			t.Errorf("got %d packets and %d that the kernel dropped, want %d together", received, s.Kernel.DroppedBuffer, sent)
		}
		if s.ReceiveBuffer <= 0 || s.ReceiveBuffer > 8192 {
			t.Errorf("got a receive buffer of %d bytes reported, want at most 8192", s.ReceiveBuffer)
		}
		w.send(t, outer{id: 77}.bytes())
		if got := frameID(take(t, q, 1)[0]); got != 77 {
			t.Errorf("after the overrun: got frame ID %d, want 77", got)
		}
	})

	t.Run("a full queue drops, or with fail-open overload accepts", func(t *testing.T) {
		for _, open := range []bool{false, true} {
			w, q := bench(t, Config{Length: minLength, FailOpenOverload: open})
			for i := range minLength + 4 {
				w.send(t, outer{id: uint32(i)}.bytes())
			}
			p := take(t, q, minLength)
			var want []uint32
			if open {
				want = []uint32{minLength, minLength + 1, minLength + 2, minLength + 3}
			}
			if diff := cmp.Diff(w.delivered(t), want); diff != "" {
				t.Errorf("fail-open %v: delivered while the queue is full (-got +want):\n%s", open, diff)
			}
			must(t, q.SetVerdicts(accept(p...)))
			w.send(t, outer{id: 99}.bytes())
			if got := frameID(take(t, q, 1)[0]); got != 99 {
				t.Errorf("after the queue has room again: got frame ID %d, want 99", got)
			}
			must(t, q.Close())
		}
	})

	t.Run("a verdict for a packet that is gone is counted and survived", func(t *testing.T) {
		w, q := bench(t, Config{})
		w.send(t, outer{id: 1}.bytes())
		p := take(t, q, 1)[0]
		must(t, q.SetVerdicts(accept(p)))
		must(t, q.SetVerdicts(accept(p, firewall.Packet{ID: 1 << 30})))
		w.send(t, outer{id: 2}.bytes())
		take(t, q, 1) // behind the kernel's answers
		if got := q.Stats().Late; got != 2 {
			t.Errorf("got %d late verdicts counted, want 2", got)
		}
	})

	t.Run("receive waits for its timeout, a wake or a packet", func(t *testing.T) {
		w, q := bench(t, Config{})
		batch := make([]firewall.Packet, 4)
		for _, timeout := range []time.Duration{0, time.Millisecond} {
			if n, err := q.Receive(batch, timeout); n != 0 || err != nil {
				t.Errorf("nothing there, timeout %v: got %d, %v, want 0, nil", timeout, n, err)
			}
		}
		q.Wake()
		q.Wake() // one wake wakes once, however often it is called before
		if n, err := q.Receive(batch, -1); n != 0 || err != nil {
			t.Errorf("woken before: got %d, %v, want 0, nil", n, err)
		}
		time.AfterFunc(time.Millisecond, q.Wake)
		if n, err := q.Receive(batch, -1); n != 0 || err != nil {
			t.Errorf("woken while waiting: got %d, %v, want 0, nil", n, err)
		}
		w.send(t, outer{id: 5}.bytes())
		if n, err := q.Receive(batch, -1); n != 1 || err != nil {
			t.Errorf("a packet there: got %d, %v, want 1, nil", n, err)
		}
	})

	t.Run("close ends receive and drops what is held", func(t *testing.T) {
		w, q := bench(t, Config{})
		w.send(t, outer{id: 1}.bytes(), outer{id: 2}.bytes())
		take(t, q, 1)
		result := make(chan error)
		take(t, q, 1)
		go func() {
			_, err := q.Receive(make([]firewall.Packet, 1), -1)
			result <- err
		}()
		must(t, q.Close())
		if err := <-result; !errors.Is(err, ErrClosed) {
			t.Errorf("receive returned %v, want %v", err, ErrClosed)
		}
		if _, err := q.Receive(make([]firewall.Packet, 1), -1); !errors.Is(err, ErrClosed) {
			t.Errorf("receive after close returned %v, want %v", err, ErrClosed)
		}
		if err := q.SetVerdicts(accept(firewall.Packet{ID: 1})); !errors.Is(err, ErrClosed) {
			t.Errorf("verdict after close returned %v, want %v", err, ErrClosed)
		}
		q.Wake()
		must(t, q.Close())
		w.send(t, outer{id: 3}.bytes()) // nobody listens any more
		if got := w.delivered(t); len(got) != 0 {
			t.Errorf("delivered %v, want nothing", got)
		}
	})

	t.Run("a queue number has one owner", func(t *testing.T) {
		w, q := bench(t, Config{})
		second, err := open(Config{Number: 17})
		if !errors.Is(err, ErrQueueTaken) {
			t.Errorf("got %v, %v, want %v", second, err, ErrQueueTaken)
		}
		w.send(t, outer{id: 1}.bytes())
		must(t, q.SetVerdicts(accept(take(t, q, 1)...)))
		if diff := cmp.Diff(w.delivered(t), []uint32{1}); diff != "" {
			t.Errorf("delivered by the first owner (-got +want):\n%s", diff)
		}
		must(t, q.Close())
		third, err := open(Config{Number: 17})
		must(t, err)
		must(t, third.Close())
	})

	t.Run("a queue opens under traffic and leaves nothing behind in the kernel", func(t *testing.T) {
		w := newWire(t)
		_, err := InstallTable(TableConfig{Ports: []uint16{testPort}, FirstQueue: 17, Queues: 1})
		must(t, err)
		stop, stopped := make(chan struct{}), make(chan error, 1)
		go func() {
			packet := outer{id: 1, payload: make([]byte, 100)}.bytes()
			for {
				select {
				case <-stop:
					stopped <- nil
					return
				default:
				}
				if err := w.write(offload{}, packet, packet, packet, packet, packet, packet, packet, packet); err != nil {
					stopped <- err
					return
				}
			}
		}()
		for range 30 {
			q, err := open(Config{Number: 17})
			must(t, err)
			must(t, q.SetVerdicts(accept(take(t, q, 20)...)))
			must(t, q.Close())
		}
		q, err := open(Config{Number: 17})
		must(t, err)
		defer q.Close()
		must(t, q.SetVerdicts(accept(take(t, q, 1)...)))
		close(stop)
		must(t, <-stopped)
		untilLast(t, w, q)
		if s := q.Stats(); s.KernelKnown && s.Kernel.Waiting != 0 {
			t.Errorf("got %d packets left in the kernel's queue, want 0", s.Kernel.Waiting)
		}
	})
}

// untilLast accepts what waits in a queue behind a flood of packets with frame ID 1, up to a
// last one that is sent for it: that may be lost too, and the first that is not ends it. It
// returns how many were received in all, and how many of these last ones were sent.
func untilLast(t *testing.T, w *wire, q Queue) (received, sent int) {
	t.Helper()
	batch := make([]firewall.Packet, 64)
	for last := uint32(2); last != 0; {
		w.send(t, outer{id: last}.bytes())
		sent++
		for n := 1; n > 0 && last != 0; {
			var err error
			n, err = q.Receive(batch, 100*time.Millisecond)
			must(t, err)
			received += n
			for _, p := range batch[:n] {
				if frameID(p) == last {
					last = 0
				}
			}
			must(t, q.SetVerdicts(accept(batch[:n]...)))
		}
		if last != 0 {
			last++
		}
	}
	return received, sent
}

// benchmarkDriver measures a driver on a real kernel, the sending of the
// packets included.
func benchmarkDriver(b *testing.B, driver Driver) {
	for _, c := range []struct {
		size    int
		offload offload
	}{{150, offload{}}, {1500, offload{}}, {64000, offload{checksum: true, gsoSize: 1400}}} {
		b.Run(fmt.Sprintf("frame=%d", c.size), func(b *testing.B) {
			w := newWire(b)
			q, err := Open(Config{Number: 17, Driver: driver})
			must(b, err)
			defer q.Close()
			_, err = InstallTable(TableConfig{Ports: []uint16{testPort}, FirstQueue: 17, Queues: 1})
			must(b, err)
			packet := outer{payload: make([]byte, c.size-40), partial: c.offload.checksum}.bytes()
			burst := slices.Repeat([][]byte{packet}, 32)
			batch := make([]firewall.Packet, len(burst))
			b.ReportAllocs()
			b.SetBytes(int64(c.size))
			for sent := 0; b.Loop(); {
				if sent == 0 {
					w.sendOffload(b, c.offload, burst...)
					sent = len(burst)
				}
				n, err := q.Receive(batch[:1], patience)
				must(b, err)
				if n == 0 {
					b.Fatal("a packet is missing")
				}
				must(b, q.SetVerdicts(accept(batch[:n]...)))
				sent -= n
			}
		})
	}
}
