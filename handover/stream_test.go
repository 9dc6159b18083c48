package handover

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
)

// state is one with blocks of all kinds.
func state(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	w := NewWriter(&b)
	if err := (&Header{Program: "test", Moment: Moment{Boot: "x", Since: 7, NetNS: 9}, Stopped: 5, Table: 3, Open: true}).Write(w); err != nil {
		t.Fatal(err)
	}
	for kind := KindTenants; kind < KindEnd; kind++ {
		for i := range 3 {
			if err := w.Record(kind, bytes.Repeat([]byte{byte(kind), byte(i)}, 10)); err != nil {
				t.Fatal(err)
			}
		}
	}
	n, err := w.Close()
	if err != nil || n != int64(b.Len()) {
		t.Fatalf("%d bytes of %d, %v", n, b.Len(), err)
	}
	return b.Bytes()
}

// readAll reads a state to its end and returns what was in it, by kind.
func readAll(text []byte) (h Header, blocks map[Kind][]byte, err error) {
	r, err := NewReader(bytes.NewReader(text))
	if err != nil {
		return h, nil, err
	}
	if err := h.Read(r); err != nil {
		return h, nil, err
	}
	blocks = make(map[Kind][]byte)
	for {
		kind, payload, err := r.Next()
		if err != nil {
			return h, blocks, err
		}
		if kind == KindEnd {
			_, _, err := r.Next()
			if !errors.Is(err, ErrBroken) {
				panic("it goes on behind its end")
			}
			return h, blocks, nil
		}
		blocks[kind] = append(blocks[kind], payload...)
	}
}

func TestAStateIsReadAsItWasWritten(t *testing.T) {
	h, blocks, err := readAll(state(t))
	if err != nil {
		t.Fatal(err)
	}
	if want := (Header{Program: "test", Moment: Moment{Boot: "x", Since: 7, NetNS: 9}, Stopped: 5, Table: 3, Open: true}); h != want {
		t.Errorf("got %+v, want %+v", h, want)
	}
	for kind := KindTenants; kind < KindEnd; kind++ {
		var want []byte
		for i := range 3 {
			want = append(want, bytes.Repeat([]byte{byte(kind), byte(i)}, 10)...)
		}
		if !bytes.Equal(blocks[kind], want) {
			t.Errorf("kind %d: got %x, want %x", kind, blocks[kind], want)
		}
	}
}

func TestRecordsFillBlocksAndAreNotCut(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	w := NewWriter(&b)
	if err := (&Header{}).Write(w); err != nil {
		t.Fatal(err)
	}
	var want [][]byte
	for range 300 {
		record := make([]byte, 1+r.IntN(MaxBlock))
		record[0] = byte(len(want))
		want = append(want, record)
		if err := w.Record(KindFlows, record); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Record(KindFlows, make([]byte, MaxBlock+1)); err == nil {
		t.Error("a record that fits into no block was taken")
	}
	if _, err := w.Close(); err == nil {
		t.Error("the error is forgotten")
	}
	from, err := NewReader(&b)
	if err != nil {
		t.Fatal(err)
	}
	at := 0
	for from.Next(); at < len(want); { // behind the header
		_, payload, err := from.Next()
		if err != nil {
			if at == len(want)-1 {
				break // the last one was never written
			}
			t.Fatal(err)
		}
		for ; len(payload) > 0; at++ {
			if len(payload) < len(want[at]) || !bytes.Equal(payload[:len(want[at])], want[at]) {
				t.Fatalf("record %d is cut, or another one", at)
			}
			payload = payload[len(want[at]):]
		}
	}
}

func TestAStateThatIsNotAsItWasWrittenIsNoticed(t *testing.T) {
	good := state(t)
	for n := range good {
		if _, _, err := readAll(good[:n]); !errors.Is(err, ErrBroken) {
			t.Fatalf("cut off after %d bytes: %v", n, err)
		}
		for _, bit := range []byte{1, 0x80} {
			bad := bytes.Clone(good)
			bad[n] ^= bit
			if _, _, err := readAll(bad); !errors.Is(err, ErrBroken) {
				t.Fatalf("byte %d changed: %v", n, err)
			}
		}
	}
}

// blocksOf takes a state apart.
func blocksOf(t testing.TB, text []byte) (blocks [][]byte) {
	t.Helper()
	text = text[preambleLen:]
	for len(text) > 0 {
		n := blockHeaderLen + int(text[4]) + int(text[5])<<8 + int(text[6])<<16 + sumLen
		blocks = append(blocks, text[:n])
		text = text[n:]
	}
	return blocks
}

func TestBlocksThatAreLostRepeatedOrInAnotherOrderAreNoticed(t *testing.T) {
	good := state(t)
	blocks := blocksOf(t, good)
	if len(blocks) != int(KindEnd) {
		t.Fatalf("%d blocks", len(blocks))
	}
	for i := range blocks {
		for j := range blocks {
			bad := bytes.Clone(good[:preambleLen])
			for n := range blocks {
				switch n {
				case i:
					n = j
				case j:
					n = i
				}
				bad = append(bad, blocks[n]...)
			}
			if _, _, err := readAll(bad); (err == nil) != (i == j) || err != nil && !errors.Is(err, ErrBroken) {
				t.Errorf("blocks %d and %d in each other's place: %v", i, j, err)
			}
		}
		lost := bytes.Clone(good[:preambleLen])
		twice := bytes.Clone(lost)
		for n, b := range blocks {
			if twice = append(twice, b...); n == i {
				twice = append(twice, b...)
				continue
			}
			lost = append(lost, b...)
		}
		for _, bad := range [][]byte{lost, twice} {
			if _, _, err := readAll(bad); !errors.Is(err, ErrBroken) && i < len(blocks)-1 {
				t.Errorf("block %d lost or twice: %v", i, err)
			}
		}
	}
}

func TestWhatCannotBeWrittenIsAnError(t *testing.T) {
	w := NewWriter(failing{})
	for range 3 {
		w.Record(KindFlows, make([]byte, MaxBlock))
	}
	if _, err := w.Close(); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("got %v", err)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

// FuzzReader has any bytes read for a state: there is an error or an end, and blocks
// within their bounds.
func FuzzReader(f *testing.F) {
	good := state(f)
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := NewReader(bytes.NewReader(text))
		if err != nil {
			return
		}
		var h Header
		if h.Read(r) != nil {
			return
		}
		for last := KindHeader; ; {
			kind, payload, err := r.Next()
			if err != nil {
				return
			}
			if kind < last || kind > KindEnd || len(payload) > MaxBlock || r.Bytes() > int64(len(text)) {
				t.Fatalf("a block of kind %d behind %d, %d bytes", kind, last, len(payload))
			}
			if last = kind; kind == KindEnd {
				return
			}
		}
	})
}
