package firewall

import (
	"bytes"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket/layers"

	"sttwall/handover"
	"sttwall/reason"
	"sttwall/stt"
)

// stateOf is what a firewall hands over.
func stateOf(t testing.TB, s *Shared, now int64) []byte {
	t.Helper()
	var b bytes.Buffer
	w := handover.NewWriter(&b)
	if err := (&handover.Header{}).Write(w); err != nil {
		t.Fatal(err)
	}
	if err := s.HandOver(now, w); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func takeOver(t testing.TB, s *Shared, c TakingOver, state []byte) (TakenOver, error) {
	t.Helper()
	r, err := handover.NewReader(bytes.NewReader(state))
	if err != nil {
		t.Fatal(err)
	}
	var h handover.Header
	if err := h.Read(r); err != nil {
		t.Fatal(err)
	}
	return s.TakeOver(c, r)
}

// handshake is one of the first two packets of a TCP connection to port 80.
func handshake(t testing.TB, answer bool, context uint64) []byte {
	t.Helper()
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: net.IP{10, 0, 0, 1}, DstIP: net.IP{10, 0, 0, 2}}
	l4 := &layers.TCP{SrcPort: 4000, DstPort: 80, SYN: true, Seq: 1000, Window: 500}
	p := path()
	if answer {
		ip.SrcIP, ip.DstIP = ip.DstIP, ip.SrcIP
		l4.SrcPort, l4.DstPort, l4.ACK, l4.Seq, l4.Ack = 80, 4000, true, 5000, 1001
		p.Src, p.Dst = p.Dst, p.Src
	}
	return cut(p, 1, sttFrame(stt.FrameHeader{ContextID: context}, inner(t, ip, l4, 0)), 0)[0]
}

// large is a frame of several packets.
func large(t testing.TB, id uint32) [][]byte {
	t.Helper()
	return cut(path(), id, sttFrame(stt.FrameHeader{ContextID: 100}, innerUDP(t, 4000)), 1460)
}

func TestTheNextInstanceKnowsWhatTheLastOneKnew(t *testing.T) {
	turned := strings.SplitAfter(testRules, "tenant \"all\"")
	all, web := "tenant \"all\""+turned[1][:strings.Index(turned[1], "tenant")], turned[1][strings.Index(turned[1], "tenant"):]
	settings := strings.TrimSuffix(turned[0], "tenant \"all\"")
	for _, tt := range []struct {
		name, rules string
		unwatched   bool
		flows       int
		reply       reason.Reason // of what becomes of an answer in a flow
		replaced    bool          // an ID that nobody has used is replaced
		ended       int           // flows that are not accepted any more
	}{
		{"the same rules", testRules, false, 2, reason.None, false, 0},
		{"tenants in another order", settings + web + all, false, 2, reason.None, false, 0},
		{"what was open in between", testRules, true, 2, reason.None, true, 0},
		{"rules that deny the flow", strings.Replace(testRules, "accept\"\n    destination", "drop\"\n    destination", 1), false, 2, reason.RuleDrop, false, 1},
		{"its tenant is gone", settings + all, false, 1, reason.ContextUnknown, false, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			old := newBench(t, benchConfig{})
			old.now += 10_000 * int64(time.Second) // another clock
			old.one(reason.None, handshake(t, false, 200))
			old.one(reason.None, large(t, 5)...)
			state := stateOf(t, old.shared, old.now)

			is := newBench(t, benchConfig{rules: tt.rules, guard: 90 * time.Second})
			done, err := takeOver(t, is.shared, TakingOver{Now: is.now, Elapsed: int64(time.Second), Unwatched: tt.unwatched}, state)
			if err != nil || done.Flows.Flows != tt.flows || done.FrameIDs == tt.unwatched {
				t.Fatalf("%+v, %v", done, err)
			}
			is.one(tt.reply, handshake(t, true, 200))
			if got := frameIDs(t, is.one(reason.None, large(t, 5)...))[0]; got == 5 {
				t.Error("an ID that the last one has used is used again")
			}
			if got := frameIDs(t, is.one(reason.None, large(t, 6)...))[0]; (got != 6) != tt.replaced {
				t.Errorf("another ID leaves as %d", got)
			}
			if tt.ended > 0 {
				// Its answer has ended it: the next finds it gone.
				is.one(reason.TenantDefault, handshake(t, true, 200))
			}
		})
	}
}

func TestTheRulesThatHoldNowEndFlowsThatWereTakenOver(t *testing.T) {
	old := newBench(t, benchConfig{})
	old.one(reason.None, handshake(t, false, 200))
	old.one(reason.None, large(t, 5)...)
	is := newBench(t, benchConfig{rules: strings.Replace(testRules, "accept\"\n    destination", "drop\"\n    destination", 1)})
	if _, err := takeOver(t, is.shared, TakingOver{Now: is.now}, stateOf(t, old.shared, old.now)); err != nil {
		t.Fatal(err)
	}
	if ended := is.shared.Rejudge(is.now); ended != 1 || is.shared.Flows().Stats().Flows != 1 {
		t.Errorf("%d flows ended, %d are left", ended, is.shared.Flows().Stats().Flows)
	}
}

func TestAStateThatIsBrokenIsAnError(t *testing.T) {
	old := newBench(t, benchConfig{})
	old.one(reason.None, handshake(t, false, 200))
	old.one(reason.None, large(t, 5)...)
	state := stateOf(t, old.shared, old.now)
	header := bytes.Index(state, []byte("}")) + 1 + 4
	for n := header; n < len(state); n++ {
		is := newBench(t, benchConfig{bits: minFrameIDBits})
		if _, err := takeOver(t, is.shared, TakingOver{Now: is.now}, state[:n]); !errors.Is(err, handover.ErrBroken) {
			t.Fatalf("cut off after %d of %d bytes: %v", n, len(state), err)
		}
		if n%50 == 0 {
			n += 50 // a table for each is not cheap
		}
	}
}

const fewRules = `
settings {
  endpoints = ["any"]
  flows     = 64
  bindings  = 64
}
tenant "all" {
  context_ids    = [100]
  default_action = "accept"
}
`

// FuzzTakeOver has a firewall take any records for a state, with right sums: what it
// takes it hands over again, and another one takes.
func FuzzTakeOver(f *testing.F) {
	old := newBench(f, benchConfig{rules: strings.Replace(fewRules, "default_action", "anti_spoof {\n  }\n  default_action", 1), bits: minFrameIDBits})
	old.one(reason.None, handshake(f, false, 100))
	old.one(reason.None, large(f, 5)...)
	r, err := handover.NewReader(bytes.NewReader(stateOf(f, old.shared, old.now)))
	if err != nil {
		f.Fatal(err)
	}
	var all []byte
	kinds := make(map[handover.Kind]bool)
	for {
		kind, payload, err := r.Next()
		if err != nil {
			f.Fatal(err)
		}
		if kind == handover.KindEnd {
			break
		}
		if kinds[kind] = true; kind != handover.KindHeader {
			all = append(append(all, byte(kind), byte(len(payload)), byte(len(payload)>>8)), payload...)
			f.Add(all, uint16(0))
		}
	}
	if len(kinds) != int(handover.KindEnd)-1 {
		f.Fatalf("the seed has kinds %v", kinds)
	}
	f.Add(all, uint16(7))
	p := compile(f, fewRules)
	shared := func(t testing.TB) *Shared {
		ids, err := NewFrameIDFilter(FrameIDConfig{Bits: minFrameIDBits, StartupGuard: 90 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		s, err := NewShared(p, ids)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	f.Fuzz(func(t *testing.T, records []byte, elapsed uint16) {
		var b bytes.Buffer
		w := handover.NewWriter(&b)
		if err := (&handover.Header{}).Write(w); err != nil {
			t.Fatal(err)
		}
		last := handover.KindTenants
		for len(records) >= 3 {
			kind, n := handover.Kind(records[0]), int(records[1])|int(records[2])<<8
			records = records[3:]
			if n = min(n, len(records)); kind < last || kind >= handover.KindEnd {
				break // the reader is tried elsewhere
			}
			last = kind
			if err := w.Record(kind, records[:n]); err != nil {
				t.Fatal(err)
			}
			records = records[n:]
		}
		if _, err := w.Close(); err != nil {
			t.Fatal(err)
		}
		now := int64(time.Hour)
		is := shared(t)
		done, err := takeOver(t, is, TakingOver{Now: now, Elapsed: int64(elapsed) * 1e6, Unwatched: elapsed%5 == 4}, b.Bytes())
		if err != nil {
			return
		}
		if n := is.Flows().Stats().Flows; n != done.Flows.Flows || n > 64 {
			t.Fatalf("%+v, but %d flows are there", done, n)
		}
		again, err := takeOver(t, shared(t), TakingOver{Now: now}, stateOf(t, is, now))
		if err != nil || again.Flows.Flows != done.Flows.Flows || again.Bindings.Bindings != done.Bindings.Bindings {
			t.Fatalf("%+v is handed over as %+v, %v", done, again, err)
		}
		is.Rejudge(now)
		if left, _ := is.Flows().TenantStats(0); left < 0 {
			t.Fatalf("%d flows are counted", left)
		}
	})
}
