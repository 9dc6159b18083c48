package firewall

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"sttwall/handover"
)

// fullDisk takes so many bytes, and then no more.
type fullDisk struct{ left int }

var errFull = errors.New("no space left")

func (d *fullDisk) Write(b []byte) (int, error) {
	if len(b) > d.left {
		return d.left, errFull
	}
	d.left -= len(b)
	return len(b), nil
}

// A state that cannot be written whole is said not to be, wherever the disk is full.
func TestAStateThatFindsNoRoomIsAnError(t *testing.T) {
	old := newBench(t, benchConfig{rules: bindingRules, bits: minFrameIDBits})
	old.one(0, handshake(t, false, 100))
	old.one(0, large(t, 5)...)
	whole := len(stateOf(t, old.shared, old.now))
	early := 0 // seen before the end was written
	for room := range whole {
		w := handover.NewWriter(&fullDisk{left: room})
		header := (&handover.Header{}).Write(w)
		err := old.shared.HandOver(old.now, w)
		if header == nil && err != nil {
			early++
		}
		if err != nil && !errors.Is(err, errFull) {
			t.Fatalf("room for %d of %d bytes: %v", room, whole, err)
		}
		if _, err := w.Close(); !errors.Is(err, errFull) {
			t.Fatalf("room for %d of %d bytes: closed with %v", room, whole, err)
		}
	}
	if early == 0 {
		t.Error("handing over went on to the end each time")
	}
}

const bindingRules = `
settings {
  endpoints = ["any"]
  flows     = 64
  bindings  = 64
}
tenant "all" {
  context_ids = [100]
  anti_spoof {
  }
  default_action = "accept"
}
`

// Records whose sums are right, but that no instance writes, are an error: one that takes
// half of a state over would not know it.
func TestARecordThatNobodyWritesIsAnError(t *testing.T) {
	le := binary.LittleEndian
	tenant := func(id uint32, length int, name string) []byte {
		return append(le.AppendUint16(le.AppendUint32(nil, id), uint16(length)), name...)
	}
	filter := func(bits byte, turn, guard uint64) []byte {
		return le.AppendUint64(le.AppendUint64(append(make([]byte, 64), bits), turn), guard)
	}
	line := func(number uint32) []byte { return append(le.AppendUint32(nil, number), make([]byte, lineBits/8)...) }
	type record struct {
		kind    handover.Kind
		payload []byte
	}
	good := record{handover.KindFilter, filter(minFrameIDBits, 0, 0)}
	lines := uint32(1 << minFrameIDBits / lineBits)
	for _, tt := range []struct {
		name    string
		broken  bool
		records []record
	}{
		{"nothing", false, nil},
		{"a tenant", false, []record{{handover.KindTenants, tenant(0, 3, "all")}}},
		{"a tenant that is cut off", true, []record{{handover.KindTenants, tenant(0, 3, "")[:5]}}},
		{"a tenant whose name is cut off", true, []record{{handover.KindTenants, tenant(0, 4, "all")}}},
		{"a tenant below zero", true, []record{{handover.KindTenants, tenant(1<<31, 3, "all")}}},
		{"a tenant twice", true, []record{{handover.KindTenants, append(tenant(0, 3, "all"), tenant(0, 3, "web")...)}}},
		{"a flow that is none", true, []record{{handover.KindFlows, []byte{1, 2, 3}}}},
		{"a binding that is none", true, []record{{handover.KindBindings, []byte{1, 2, 3}}}},
		{"a filter", false, []record{good}},
		{"a filter that is cut off", true, []record{{handover.KindFilter, good.payload[1:]}}},
		{"a filter twice", true, []record{good, good}},
		{"a filter that is too small", true, []record{{handover.KindFilter, filter(minFrameIDBits-1, 0, 0)}}},
		{"a filter that is too large", true, []record{{handover.KindFilter, filter(maxFrameIDBits+1, 0, 0)}}},
		{"a filter that is turned in a year", true, []record{{handover.KindFilter, filter(minFrameIDBits, maxGuard, 0)}}},
		{"a filter that is guarded for ever", true, []record{{handover.KindFilter, filter(minFrameIDBits, 0, maxGuard+1)}}},
		{"lines of no filter", true, []record{{handover.KindLines, line(0)}}},
		{"its last line", false, []record{good, {handover.KindLines, line(lines - 1)}}},
		{"a line behind the last", true, []record{good, {handover.KindLines, line(lines)}}},
		{"a line twice", true, []record{good, {handover.KindLines, append(line(4), line(4)...)}}},
		{"a line of the older bitmap before one of the other", true, []record{good, {handover.KindLines, append(line(olderMap), line(4)...)}}},
		{"a line that is cut off", true, []record{good, {handover.KindLines, line(0)[:20]}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b bytes.Buffer
			w := handover.NewWriter(&b)
			if err := (&handover.Header{}).Write(w); err != nil {
				t.Fatal(err)
			}
			for _, r := range tt.records {
				if err := w.Record(r.kind, r.payload); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := w.Close(); err != nil {
				t.Fatal(err)
			}
			is := newBench(t, benchConfig{rules: fewRules, bits: minFrameIDBits})
			_, err := takeOver(t, is.shared, TakingOver{Now: int64(time.Hour)}, b.Bytes())
			if errors.Is(err, handover.ErrBroken) != tt.broken || !tt.broken && err != nil {
				t.Errorf("error %v", err)
			}
		})
	}
}
