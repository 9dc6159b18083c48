package probe

import (
	"bytes"
	"net/netip"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"sttwall/endpoint"
	"sttwall/stt"
)

func exampleQuestion() message {
	return message{
		Kind: question, Full: true, Session: 0x0123456789abcdef, Sequence: 7, FrameID: 99, Length: 1460,
		SrcPort: 50000, MTU: 1500, TTL: 64, TOS: 0x4a, TCI: 0x1007,
	}
}

func exampleAnswer() (message, report) {
	m := exampleQuestion()
	m.Kind = answer
	return m, report{
		Arrival: 3, Duplicates: 1, Limited: 2, BadChecksum: 4, Refused: 5,
		seen: seen{
			Header: stt.FrameHeader{TCI: 0x1007, ContextID: 1 << 60}, Changed: changedIP, FrameID: 98, Count: 20,
			Packets: []outerPacket{
				{Offset: 0, Length: 1442, TTL: 63, TOS: 0x4a, SrcPort: 50000, Window: 65535, Flags: 0x18, Data: 0x50, DF: true, FrameLength: 1460},
				{Offset: 1442, Length: 18, GSOSize: 5, Urgent: 1},
			},
		},
	}
}

// gopacket is the judge of what was not written with it.
func TestQuestionsAndAnswersAreRightDatagrams(t *testing.T) {
	q := exampleQuestion()
	a, r := exampleAnswer()
	for _, test := range []struct {
		m        *message
		r        *report
		from, to layers.UDPPort
	}{
		{&q, &report{}, 50000, Port},
		{&a, &r, Port, 50000},
	} {
		frame := appendFrame(nil, 5, test.m, test.r)
		if len(frame) != int(test.m.Length) {
			t.Errorf("got %d bytes, want %d", len(frame), test.m.Length)
		}
		p := gopacket.NewPacket(frame[stt.FrameHeaderLen:], layers.LayerTypeEthernet, gopacket.Default)
		ip, _ := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
		udp, _ := p.Layer(layers.LayerTypeUDP).(*layers.UDP)
		if p.ErrorLayer() != nil || ip == nil || udp == nil {
			t.Fatalf("not readable: %v", p)
		}
		if udp.SrcPort != test.from || udp.DstPort != test.to || ip.TOS != 0x4a {
			t.Errorf("got %v > %v, TOS %#x", udp.SrcPort, udp.DstPort, ip.TOS)
		}
		// Computed anew they are the same bytes.
		if err := udp.SetNetworkLayerForChecksum(ip); err != nil {
			t.Fatal(err)
		}
		b := gopacket.NewSerializeBuffer()
		if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
			p.Layer(layers.LayerTypeEthernet).(*layers.Ethernet), ip, udp, gopacket.Payload(udp.Payload)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b.Bytes(), frame[stt.FrameHeaderLen:]) {
			t.Error("lengths or checksums are not right")
		}
	}
}

func TestWhatWasWrittenIsReadAgain(t *testing.T) {
	q := exampleQuestion()
	a, r := exampleAnswer()
	for _, test := range []struct {
		m *message
		r *report
	}{{&q, &report{}}, {&a, &r}} {
		frame := appendFrame(nil, 5, test.m, test.r)
		var m message
		var got report
		if err := open(frame, &m, &got); err != nil {
			t.Fatal(err)
		}
		if m != *test.m || !reflect.DeepEqual(got, *test.r) {
			t.Errorf("got %+v, %+v\nwant %+v, %+v", m, got, *test.m, *test.r)
		}
		if c := differences(frame, 5, &m, &got); c != 0 {
			t.Errorf("differences %b in a frame as it was sent", c)
		}
	}
}

func TestEachChangedByteOfTheInnerFrameIsSeen(t *testing.T) {
	q := exampleQuestion()
	sent := appendFrame(nil, 5, &q, &report{})
	for at := stt.FrameHeaderLen; at < len(sent); at++ {
		frame := bytes.Clone(sent)
		frame[at] ^= 0x10
		var m message
		var r report
		err := open(frame, &m, &r)
		if inMessage := at >= headersLen && at < headersLen+messageLen; inMessage {
			if err == nil && m == q && differences(frame, 5, &m, &r) == 0 {
				t.Errorf("byte %d of the message: neither refused nor seen", at)
			}
			continue
		}
		want := changedRest
		switch {
		case at < stt.FrameHeaderLen+etherLen:
			want = changedEther
		case at < stt.FrameHeaderLen+etherLen+ipLen:
			want = changedIP
		case at < headersLen:
			want = changedUDP
		}
		if err != nil || differences(frame, 5, &m, &r) != want {
			t.Errorf("byte %d: %v, %b, want %b", at, err, differences(frame, 5, &m, &r), want)
		}
	}
}

var (
	listed   = netip.MustParseAddr("10.0.0.1")
	stranger = netip.MustParseAddr("10.0.0.9")
)

func arrived(from netip.Addr, m message) *endpoint.Arrival {
	return &endpoint.Arrival{
		From: from, FrameID: m.FrameID, Data: appendFrame(nil, 5, &m, &report{}),
		Carriers: []endpoint.Carrier{{Length: int(m.Length), TTL: 63, SrcPort: m.SrcPort, DataOffset: 5, Window: 65535, Flags: 0x18}},
	}
}

func TestWhoIsAnswered(t *testing.T) {
	short := exampleQuestion()
	short.Length = LeastFrame - 1
	least := exampleQuestion()
	least.Length, least.Full = LeastFrame, false
	ans, rep := exampleAnswer()
	toAnswer := arrived(listed, exampleQuestion())
	toAnswer.Data = appendFrame(nil, 5, &ans, &rep)
	cut := arrived(listed, exampleQuestion())
	cut.Data = cut.Data[:len(cut.Data)-1]
	for _, test := range []struct {
		name string
		f    *endpoint.Arrival
		want bool
	}{
		{"a question", arrived(listed, exampleQuestion()), true},
		{"the shortest one", arrived(listed, least), true},
		{"one that is too short for an answer", arrived(listed, short), false},
		{"a stranger's", arrived(stranger, exampleQuestion()), false},
		{"an answer", toAnswer, false},
		{"one that is shorter than it says", cut, false},
		{"the first segment of a question", &endpoint.Arrival{From: listed, Torn: true, Data: arrived(listed, exampleQuestion()).Data[:500]}, false},
		{"a tenant's frame", &endpoint.Arrival{From: listed, Data: make([]byte, 500)}, false},
		{"nothing", &endpoint.Arrival{From: listed}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			var m message
			var r report
			got := NewAnswerer(5, []netip.Addr{listed}).respond(1, test.f, &m, &r)
			if got != test.want {
				t.Errorf("got answered %v, want %v", got, test.want)
			}
			if got && (int(m.Length) > len(test.f.Data) || len(appendFrame(nil, 5, &m, &r)) != int(m.Length)) {
				t.Errorf("an answer of %d bytes to a question of %d", m.Length, len(test.f.Data))
			}
		})
	}
}

func TestTooManyQuestionsAreCountedAndNotAnswered(t *testing.T) {
	a := NewAnswerer(5, []netip.Addr{listed})
	answers := func(now int64, session uint64, n int) (got int, last report) {
		for i := range n {
			q := exampleQuestion()
			q.Session, q.Sequence = session, uint32(i)
			var m message
			var r report
			if a.respond(now, arrived(listed, q), &m, &r) {
				got, last = got+1, r
			}
		}
		return got, last
	}
	if got, _ := answers(1, 1, 2000); got != int(rateOfOne.Burst) {
		t.Errorf("got %d answers at once, want %d", got, rateOfOne.Burst)
	}
	// A new session gives no new right.
	if got, _ := answers(1, 2, 100); got != 0 {
		t.Errorf("got %d answers in another session, want none", got)
	}
	got, last := answers(1+int64(1e9), 2, 10)
	if got != 10 || last.Limited != 100 || last.Duplicates != 10 || last.Arrival != 110 {
		t.Errorf("a second later: %d answers, %+v", got, last)
	}
}

func TestTheWindowKnowsWhatCameBefore(t *testing.T) {
	var w window
	var seen = map[uint32]bool{}
	for _, s := range []uint32{0, 1, 3, 2, 3, 0, 1023, 1024, 5, 5, 1024, 3000, 2999, 2999, 1 << 31, 1 << 31, 1<<31 - 1} {
		if got := w.again(s); got != seen[s] {
			t.Errorf("%d: got again %v, want %v", s, got, seen[s])
		}
		seen[s] = true
	}
}

func TestReorderingIsThatOfRFC4737(t *testing.T) {
	for _, test := range []struct {
		numbers []uint32
		want    int
	}{
		{nil, 0}, {[]uint32{1, 2, 3}, 0}, {[]uint32{1, 3, 2, 4}, 1}, {[]uint32{4, 1, 2, 3}, 3}, {[]uint32{1, 1, 2}, 0},
	} {
		if got := early(test.numbers); got != test.want {
			t.Errorf("%v: got %d, want %d", test.numbers, got, test.want)
		}
	}
}

func TestTheLargestSizeIsFound(t *testing.T) {
	for most := 0; most <= 9100; most += 37 {
		for _, passes := range []int{0, 300, 1443, 1500, 9000, 20000} {
			tried := 0
			got, err := largest(most, func(size int) (bool, error) {
				tried++
				return size <= passes, nil
			})
			if want := min(most, passes); err != nil || got != want || tried > 40 {
				t.Errorf("of %d, %d pass: got %d after %d, %v", most, passes, got, tried, err)
			}
		}
	}
}

func FuzzAnswerer(f *testing.F) {
	q := exampleQuestion()
	a, r := exampleAnswer()
	f.Add(appendFrame(nil, 5, &q, &report{}))
	f.Add(appendFrame(nil, 5, &a, &r))
	f.Fuzz(func(t *testing.T, frame []byte) {
		if len(frame) > 65535 {
			return
		}
		var m message
		var r report
		arrival := &endpoint.Arrival{From: listed, Data: frame, Carriers: []endpoint.Carrier{{Length: len(frame)}}}
		if !NewAnswerer(5, []netip.Addr{listed}).respond(1, arrival, &m, &r) {
			return
		}
		out := appendFrame(nil, 5, &m, &r)
		if len(out) > len(frame) || len(out) != int(m.Length) {
			t.Fatalf("an answer of %d bytes, said to be %d, to a question of %d", len(out), m.Length, len(frame))
		}
		var back message
		var told report
		if err := open(out, &back, &told); err != nil || back != m {
			t.Fatalf("the answer is not readable: %v, %+v, want %+v", err, back, m)
		}
		// Nobody answers an answer.
		arrival.Data = out
		if NewAnswerer(5, []netip.Addr{listed}).respond(1, arrival, &m, &r) {
			t.Fatal("an answer was answered")
		}
	})
}

// What a series takes comes from the path.
func FuzzSeries(f *testing.F) {
	a, r := exampleAnswer()
	a.Sequence = 0
	f.Add(appendFrame(nil, 5, &a, &r), uint32(98))
	f.Fuzz(func(t *testing.T, frame []byte, id uint32) {
		if len(frame) > 65535 {
			return
		}
		s := newSeries()
		s.session = a.Session
		s.asked = []asked{{message: exampleQuestion()}}
		for range 2 * mostAnswers {
			s.take(s.asked[0].at, 5, &endpoint.Arrival{From: listed, FrameID: id, Data: frame})
		}
		if n := len(s.asked[0].answers); n > mostAnswers {
			t.Fatalf("%d answers are kept, want at most %d", n, mostAnswers)
		}
		l := newLedger(20)
		l.addAll(5, s.asked)
		l.result()
		forward, back, _, _ := s.count()
		for _, w := range []Way{forward, back} {
			if w.Lost < 0 {
				t.Fatalf("%+v", w)
			}
		}
		var m message
		var told report
		if open(frame, &m, &told) == nil {
			var again message
			var more report
			if err := open(appendFrame(nil, 5, &m, &told), &again, &more); err != nil || again != m || !cmp.Equal(more.Packets, told.Packets) {
				t.Fatalf("not the same again: %v", err)
			}
		}
	})
}
