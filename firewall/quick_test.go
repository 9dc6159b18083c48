package firewall

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"sttwall/policy"
	"sttwall/stt"
)

// choices make random packets, or those that the input of a fuzz target asks for.
type choices interface{ IntN(n int) int }

func (s *script) IntN(n int) int {
	v := s.next()
	if n > 256 {
		v = v<<8 | s.next()
	}
	return v % n
}

// headersEnd is behind the headers of all captured packets, in bytes.
const headersEnd = 140

// damaged is a packet with something about it changed.
func damaged(c choices, p Packet) Packet {
	data := bytes.Clone(p.Data)
	if c.IntN(8) == 0 && len(data) > 60 && data[0]>>4 == 4 {
		data = overIPv6(data)
	}
	for range c.IntN(3) {
		at := c.IntN(min(len(data), headersEnd))
		switch c.IntN(4) {
		case 0:
			data[at] ^= 1 << c.IntN(8)
		case 1:
			data[at] = byte(c.IntN(256))
		case 2:
			data[at] = 0
		case 3:
			data[at]++
		}
	}
	if at := innerTCPAt(data); at > 0 && c.IntN(4) == 0 {
		flags := []byte{0x10, 0x18, 0x11, 0x04, 0x14, 0x02, 0x12}
		data[at+13] = flags[c.IntN(len(flags))]
		field := data[at+4+4*c.IntN(2):]
		binary.BigEndian.PutUint32(field, binary.BigEndian.Uint32(field)+uint32(c.IntN(3000))-1500)
	}
	if c.IntN(8) == 0 && len(data) > 70 {
		data = lengthened(data, 1+c.IntN(headersEnd))
	}
	if c.IntN(8) == 0 && len(data) > 70 {
		data[stt.SegmentHeaderLen+20+6] ^= byte(stt.TagPresent >> 8)
	}
	switch c.IntN(4) {
	case 0:
	case 1:
		mend(data, false)
	default:
		mend(data, true)
	}
	p.Data, p.Length = data, len(data)
	switch c.IntN(16) {
	case 0:
		p.Data = data[:c.IntN(min(len(data), 2*headersEnd))+1] // the rest was not copied
	case 3, 4:
		// Nor was it here, but it can be had; bytes behind the inner packet among it.
		p.Data, p.More = data[:max(1, len(data)-c.IntN(min(len(data), 2*headersEnd)))], true
	case 5:
		p.More = true
	case 1:
		p.Length -= c.IntN(4)
	case 2:
		p.Data = append(data, make([]byte, c.IntN(8))...) // padding of the link
		p.Length = len(p.Data)
	}
	switch c.IntN(8) {
	case 0:
		p.Checksum = ChecksumGood
	case 1:
		p.Checksum, p.GSO = ChecksumPartial, true
	case 2:
		p.GSO = !p.GSO
	case 3:
		p.Checksum = ChecksumState(c.IntN(3))
	}
	return p
}

// overIPv6 puts another outer header before the segment.
func overIPv6(data []byte) []byte {
	high := [...]byte{0x20, 0x01, 0x0d, 0xb8}
	b := []byte{0x60 | data[1]>>4, data[1] << 4, 0, 0, 0, 0, 6, data[8]}
	binary.BigEndian.PutUint16(b[4:], uint16(len(data)-20))
	b = append(append(append(b, high[:]...), make([]byte, 8)...), data[12:16]...)
	b = append(append(append(b, high[:]...), make([]byte, 8)...), data[16:20]...)
	return append(b, data[20:]...)
}

// lengthened puts n more bytes behind the inner frame of a packet that holds all of it.
func lengthened(data []byte, n int) []byte {
	l3, field, header := 20, 2, 0
	if data[0]>>4 == 6 {
		l3, field, header = 40, 4, 40
	}
	if len(data)+n > 60000 {
		return data
	}
	data = append(data, make([]byte, n)...)
	binary.BigEndian.PutUint16(data[field:], uint16(len(data)-header))
	binary.BigEndian.PutUint16(data[l3+4:], uint16(len(data)-l3-stt.SegmentHeaderLen))
	mend(data, false)
	return data
}

// innerTCPAt is where the inner TCP header most likely is; 0 if nowhere.
func innerTCPAt(data []byte) int {
	at := 20
	if data[0]>>4 == 6 {
		at = 40
	}
	at += stt.SegmentHeaderLen + stt.FrameHeaderLen
	switch {
	case len(data) < at+54+20:
		return 0
	case data[at+12] == 0x08 && data[at+23] == 6:
		return at + 34
	case data[at+12] == 0x86 && data[at+20] == 6:
		return at + 54
	}
	return 0
}

// Whatever comes, the quick way decides, counts, tells and remembers as the general
// way does: the captures, each packet followed by some that are like it.
func TestTheQuickWayAgreesWithTheGeneralWay(t *testing.T) {
	files := captured(t)
	plain, again, offered := 0, 0, 0
	for variant, rules := range waysRules {
		for i, file := range slices.Sorted(maps.Keys(files)) {
			t.Run(fmt.Sprint(file, "/", variant), func(t *testing.T) {
				seed := rand.Uint64()
				r := rand.New(rand.NewPCG(seed, 7))
				t.Logf("seed %d", seed)
				w := newTwoWays(t, rules)
				if i%4 == variant {
					w.crowd()
				}
				for at, p := range files[file] {
					w.offer(p)
					w.pass(time.Duration(r.IntN(3)) * time.Millisecond)
					var batch []Packet
					for range r.IntN(12) {
						batch = append(batch, damaged(r, files[file][max(0, at-r.IntN(3))]))
					}
					if r.IntN(2) == 0 {
						w.offerAll(batch...)
					} else {
						for _, p := range batch {
							w.offerAll(p)
						}
					}
					switch r.IntN(100) {
					case 0:
						w.pass(time.Duration(r.IntN(60)) * time.Second)
					case 1:
						w.setRules(waysRules[r.IntN(len(waysRules))])
					case 2:
						w.setRules(rules)
					case 3:
						w.compareAll()
					}
				}
				w.compareAll()
				plain, again, offered = plain+w.plain, again+w.again, offered+w.offered
			})
		}
	}
	t.Logf("%d of %d packets were plain, %d came again", plain, offered, again)
	if plain < (offered-again)/10 || again < offered/100 {
		t.Errorf("%d of %d packets were plain, %d came again", plain, offered, again)
	}
}

// Every byte of the headers of packets of known flows, with all kinds of values.
func TestTheQuickWayAgreesWhateverAHeaderHolds(t *testing.T) {
	files := captured(t)
	for _, file := range slices.Sorted(maps.Keys(files)) {
		t.Run(file, func(t *testing.T) {
			packets := files[file]
			w := newTwoWays(t, waysRules[len(file)%len(waysRules)])
			done := map[string]int{}
			for _, p := range packets {
				w.offer(p)
				// Some of each kind and length of headers.
				kind := "other"
				if w.quick.fw.quick.read[0].plain {
					kind = fmt.Sprint(w.quick.fw.quick.read[0].packet.HeaderLen, w.quick.fw.quick.read[0].packet.Key().Src.Is4(), p.GSO)
				}
				if done[kind]++; done[kind] != 4 {
					continue
				}
				end := min(len(p.Data), headersEnd)
				for _, over := range []bool{false, true} {
					base := p
					if over && p.Data[0]>>4 == 4 && len(p.Data) > 60 {
						base.Data = overIPv6(p.Data)
						base.Length = len(base.Data)
						mend(base.Data, false)
						end = min(len(base.Data), headersEnd+20)
					}
					for at := range end {
						for _, value := range []byte{base.Data[at] ^ 1, base.Data[at] ^ 0x10, base.Data[at] ^ 0x80, base.Data[at] + 1, 0, 0xff} {
							for _, level := range []int{0, 1, 2} {
								one := base
								one.Data = bytes.Clone(base.Data)
								one.Data[at] = value
								if level > 0 {
									mend(one.Data, level == 2)
								}
								w.offer(one)
							}
						}
						one := base
						one.Data = base.Data[:at] // cut off by the kernel
						w.offer(one)
						one.More = true // which has the rest
						w.offerAll(one)
						if one.Checksum == ChecksumUnverified {
							one.Checksum = ChecksumGood
							w.offerAll(one)
						}
					}
				}
			}
			w.compareAll()
		})
	}
}

func FuzzQuickAgrees(f *testing.F) {
	var packets []Packet
	files := captured(f)
	for _, file := range slices.Sorted(maps.Keys(files)) {
		packets = append(packets, files[file][:min(len(files[file]), 40)]...)
	}
	for i := range 20 {
		seed := binary.BigEndian.AppendUint16(nil, uint16(i*len(packets)/20))
		r := rand.New(rand.NewPCG(uint64(i), 1))
		for range 200 {
			seed = append(seed, byte(r.IntN(256)))
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		s := &script{input}
		w := newTwoWays(t, waysRules[s.IntN(2)])
		at := s.IntN(len(packets))
		for !s.done() && w.offered < 300 {
			switch s.IntN(8) {
			case 0:
				at = s.IntN(len(packets))
			case 1:
				w.pass(time.Duration(s.IntN(256)) * time.Second)
			case 2:
				w.setRules(waysRules[s.IntN(2)])
			case 3, 4:
				w.offer(packets[at%len(packets)])
				at++
			case 5:
				var batch []Packet
				for range s.IntN(8) {
					batch = append(batch, damaged(s, packets[(at+s.IntN(4))%len(packets)]))
				}
				if len(batch) > 0 {
					w.offerAll(batch...)
				}
			default:
				w.offerAll(damaged(s, packets[at%len(packets)]))
			}
		}
		w.compareAll()
	})
}

// The address of an outer IPv6 header that is a mapped IPv4 one is not that of IPv4.
func TestAMappedOuterAddressIsNotPlain(t *testing.T) {
	w := newTwoWays(t, waysRules[0])
	p := path()
	p.Src, p.Dst = netip.MustParseAddr("10.47.1.1"), netip.MustParseAddr("10.47.2.1")
	data := cut(p, 5, sttFrame(stt.FrameHeader{ContextID: 400}, innerUDP(t, 10)), 0)[0]
	w.offer(Packet{Data: data, Length: len(data)})
	w.offer(Packet{Data: data, Length: len(data)})
	if w.plain != 2 || w.slow.fw.Counters().FramesAccepted.Load() != 2 {
		t.Fatalf("%d packets were plain", w.plain)
	}
	data = overIPv6(data)
	copy(data[8:], append(make([]byte, 10), 0xff, 0xff))
	mend(data, false)
	w.offer(Packet{Data: data, Length: len(data)})
	if w.plain != 2 {
		t.Error("it was plain")
	}
}

// Whoever does not want quiet frames is told of all others, whichever way they take.
func TestQuietFramesAreToldWhereSomebodyWantsThem(t *testing.T) {
	for _, off := range []bool{false, true} {
		b := newBench(t, benchConfig{rules: waysRules[0]})
		b.fw.quick.off = off
		wanted := false
		b.fw.wantsQuiet = func() bool { return wanted }
		p := path()
		p.Src, p.Dst = netip.MustParseAddr("10.47.1.1"), netip.MustParseAddr("10.47.2.1")
		send := func(context uint64) {
			data := cut(p, 5, sttFrame(stt.FrameHeader{ContextID: context}, innerUDP(t, 10)), 0)[0]
			b.sendAll(Packet{Data: data, Length: len(data)}, Packet{Data: data, Length: len(data)})
		}
		told := func(want int, what string) {
			t.Helper()
			if len(b.events) != want {
				t.Errorf("off %v: told of %d frames, want %d: %s", off, len(b.events), want, what)
			}
		}
		send(400)
		told(1, "the one that begins the flow")
		send(200)
		told(3, "what would have been dropped but for audit mode")
		send(7)
		told(5, "what is dropped")
		wanted = true
		send(400)
		told(7, "all, from the next packet on")
		if last := b.events[6]; !last.Quiet() || !last.HasInner || last.Decision.Tenant != "d" || b.events[2].Quiet() || b.events[0].Quiet() {
			t.Errorf("off %v: %+v", off, last)
		}
		also := 0
		b.fw.AlsoTell(func(*FrameEvent) { also++ }, func() bool { return false })
		wanted = false
		send(400)
		told(7, "none")
		b.fw.AlsoTell(func(*FrameEvent) { also++ }, nil)
		send(400)
		if told(9, "all, since another observer wants them"); also != 4 {
			t.Errorf("the others are told of %d, want 4", also)
		}
	}
}

func TestTheQuickWayAllocatesNothing(t *testing.T) {
	for _, many := range []bool{false, true} {
		w := newTwoWays(t, waysRules[0])
		if many {
			w.crowd()
		}
		b := w.quick
		b.fw.observer = nil
		p := path()
		p.Src, p.Dst = netip.MustParseAddr("10.47.1.1"), netip.MustParseAddr("10.47.2.1")
		var packets []Packet
		for range 70 {
			data := cut(p, 5, sttFrame(stt.FrameHeader{ContextID: 400}, innerUDP(t, 10)), 0)[0]
			packets = append(packets, Packet{Data: data, Length: len(data)})
		}
		packets[3].Data = packets[3].Data[:30] // not plain
		if got := testing.AllocsPerRun(100, func() {
			b.out.Reset()
			b.fw.ProcessBatch(b.now, packets, &b.out)
		}); got != 0 {
			t.Errorf("many flows: %v: %v allocations", many, got)
		}
		if got := b.fw.Counters().FramesAccepted.Load(); got < 69*100 {
			t.Errorf("%d frames are accepted", got)
		}
	}
}

// What the captures have no example of: each frame is sent three times, so that it may
// be one of a known flow.
func TestTheQuickWayAgreesAboutOddFrames(t *testing.T) {
	tcp, udp := innerTCP(t, 1000, 5201, 100), innerUDP(t, 100)
	trailing := func(frame []byte, rest ...byte) []byte { return append(bytes.Clone(frame), rest...) }
	with := func(frame []byte, at int, b ...byte) []byte {
		frame = bytes.Clone(frame)
		copy(frame[at:], b)
		mendInner(frame, false)
		return frame
	}
	part, header := partial(tcp, 400, 0)
	const ipDst = 14 + 16
	for _, tt := range []struct {
		name   string
		header stt.FrameHeader
		inner  []byte
		plain  bool
	}{
		{"TCP", stt.FrameHeader{ContextID: 400}, tcp, true},
		{"TCP with a wrong checksum", stt.FrameHeader{ContextID: 400}, append(bytes.Clone(tcp[:len(tcp)-1]), tcp[len(tcp)-1]^1), true},
		{"TCP with a wrong checksum that is called good", stt.FrameHeader{ContextID: 400, Flags: stt.FlagChecksumVerified}, append(bytes.Clone(tcp[:len(tcp)-1]), tcp[len(tcp)-1]^1), true},
		{"TCP and bytes behind it", stt.FrameHeader{ContextID: 400}, trailing(tcp, 1, 2, 3), true},
		{"TCP and zeros behind it", stt.FrameHeader{ContextID: 400}, trailing(tcp, 0, 0), true},
		{"a partial checksum", header, part, true},
		{"a partial checksum, and bytes behind it", header, trailing(part, 1), false},
		{"UDP", stt.FrameHeader{ContextID: 400}, udp, true},
		{"UDP and bytes behind it", stt.FrameHeader{ContextID: 400}, trailing(udp, 1, 2, 3), true},
		{"UDP shorter than its packet", stt.FrameHeader{ContextID: 400}, with(udp, 34+4, 0, 50), true},
		{"UDP longer than its packet", stt.FrameHeader{ContextID: 400}, with(udp, 34+4, 0, 200), false},
		{"UDP shorter than its header", stt.FrameHeader{ContextID: 400}, with(udp, 34+4, 0, 7), false},
		{"from an endpoint that is not the tenant's", stt.FrameHeader{ContextID: 300}, udp, false},
		{"to a group", stt.FrameHeader{ContextID: 400}, with(udp, ipDst, 224, 0, 0, 1), false},
		{"to another group", stt.FrameHeader{ContextID: 400}, with(udp, ipDst, 239, 255, 255, 255), false},
		{"to all", stt.FrameHeader{ContextID: 400}, with(udp, ipDst, 255, 255, 255, 255), false},
		{"to itself", stt.FrameHeader{ContextID: 400}, with(udp, ipDst, udp[26:30]...), true},
		{"to its own port", stt.FrameHeader{ContextID: 400}, with(with(udp, ipDst, udp[26:30]...), 36, udp[34:36]...), true},
		{"of context ID 0", stt.FrameHeader{}, udp, false},
		{"with a tag", stt.FrameHeader{ContextID: 500, TCI: 0x102a}, tcp, true},
		{"with a priority only", stt.FrameHeader{ContextID: 500, TCI: 0xb000}, tcp, true},
		{"with V alone", stt.FrameHeader{ContextID: 500, TCI: 0x1000}, tcp, false},
		{"with a tag without V", stt.FrameHeader{ContextID: 500, TCI: 42}, tcp, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, as := range []string{"whole", "cut", "longer than it is", "unfinished"} {
				w := newTwoWays(t, waysRules[0])
				p := path()
				p.Src, p.Dst = netip.MustParseAddr("10.47.2.1"), netip.MustParseAddr("10.47.1.1")
				data := cut(p, 5, sttFrame(tt.header, tt.inner), 0)[0]
				for range 3 {
					one := Packet{Data: data, Length: len(data)}
					w.pass(time.Second)
					switch as {
					case "cut":
						one.Data, one.Checksum = data[:len(data)-20], ChecksumGood // the rest was not copied
					case "longer than it is":
						one.Length--
					case "unfinished":
						one.Checksum = ChecksumPartial
					}
					w.offer(one)
				}
				w.compareAll()
				if plain := w.plain == 3; plain != (tt.plain && (as == "whole" || as == "cut")) {
					t.Errorf("%s: %d of 3 are plain", as, w.plain)
				}
			}
		})
	}
}

// Sources and context IDs take each other's places, and are never taken for each other.
func TestARouteIsThatOfItsSourceAndContextID(t *testing.T) {
	for _, rules := range waysRules {
		b := newBench(t, benchConfig{rules: rules})
		st := b.shared.current.Load()
		var routes quickRoutes
		routes.follow(st)
		r := rand.New(rand.NewPCG(4, 4))
		contexts := []uint64{100, 200, 300, 400, 500, 600, 0x0102030405060708, 3<<40 | 7<<24 | 100, 1<<56 | 200, 1 << 63}
		met := map[bool]int{}
		for range 20 * quickPlaces {
			high, low := uint64(0), uint64(mappedIPv4)<<32|10<<24|47<<16|uint64(r.IntN(4))<<8|uint64(r.IntN(40))
			switch r.IntN(4) {
			case 0:
				high, low = 0x20010db8<<32|uint64(r.IntN(3))<<30, low<<32>>32
			case 1:
				low ^= 1 << 20 // no endpoint
			}
			want := quickRoute{high: high, low: low, context: contexts[r.IntN(len(contexts))], known: true}
			want.there = routed(st, &want)
			got := routes.find(high, low, want.context, &b.fw.packet)
			if met[want.there]++; (got != nil) != want.there || got != nil && *got != want {
				t.Fatalf("got %+v, want %+v", got, want)
			}
		}
		if met[true] < 100 || met[false] < 100 {
			t.Error(met)
		}
	}
}

// routed fills in a route by what the general way asks, and reports whether there is one.
func routed(st *standing, r *quickRoute) bool {
	src := addressOf(r.high, r.low)
	d, found := st.policy.Find(r.context)
	if !found || !st.endpoints.Contains(src) {
		return false
	}
	tenant := st.policy.Tenant(d.TenantIndex)
	r.tenant, r.id = d.TenantIndex, st.tenants[d.TenantIndex]
	r.ovn, r.anyEndpoint, r.loose = tenant.OVN, tenant.AnyEndpoint, tenant.TCPLoose
	k := policy.Packet{ContextID: r.context, From: src}
	return tenant.AntiSpoof == nil && st.policy.Admit(&k, &d) && !d.Audit
}

// A frame is counted for its own tenant, and told as that one's, whichever packet of the
// same batch has taken the place of its route meanwhile.
func TestAFrameIsItsTenantsWhateverComesBehindIt(t *testing.T) {
	w := newTwoWays(t, `
settings {
  endpoints = ["10.47.0.0/16"]
}
tenant "first" {
  context_ids = [1]
  default_action = "accept"
}
tenant "second" {
  context_ids = ["2-3000"]
  default_action = "accept"
}
`)
	p := path()
	p.Src, p.Dst = netip.MustParseAddr("10.47.1.1"), netip.MustParseAddr("10.47.2.1")
	packet := func(context uint64) Packet {
		data := cut(p, 5, sttFrame(stt.FrameHeader{ContextID: context}, innerUDP(t, 10)), 0)[0]
		return Packet{Data: data, Length: len(data)}
	}
	const low = mappedIPv4<<32 | 10<<24 | 47<<16 | 1<<8 | 1
	var routes quickRoutes
	other := uint64(2)
	for routes.place(0, low, other) != routes.place(0, low, 1) {
		other++
	}
	for _, tt := range []struct {
		name    string
		context uint64
	}{{"another tenant's", other}, {"nobody's", 1 << 20}} {
		for tt.context == 1<<20 && routes.place(0, low, tt.context) != routes.place(0, low, 1) {
			tt.context += 1 << 32
		}
		w.offer(packet(1))
		w.offer(packet(tt.context))
		w.offer(packet(1), packet(tt.context), packet(1))
	}
	w.compareAll()
}

// A part of a packet that lacks bytes behind the inner one moves nothing where it is to
// come again.
func TestTheQuickWayMovesNothingForAPartThatComesAgain(t *testing.T) {
	w := newTwoWays(t, `
settings {
  endpoints = ["10.47.0.0/16"]
}
tenant "audited" {
  context_ids = [1]
  mode = "audit"
  tcp_loose = true
}
tenant "other" {
  context_ids = [2]
  tcp_loose = true
  default_action = "accept"
}
`)
	p := path()
	p.Src, p.Dst = netip.MustParseAddr("10.47.1.1"), netip.MustParseAddr("10.47.2.1")
	for _, context := range []uint64{1, 2} {
		inner := append(innerTCP(t, 1000, 80, 100), make([]byte, 50)...)
		data := cut(p, 5, sttFrame(stt.FrameHeader{ContextID: context}, inner), 0)[0]
		whole := Packet{Data: data, Length: len(data), Checksum: ChecksumGood}
		part := whole
		part.Data, part.More = data[:len(data)-20], true
		w.offer(whole)
		if w.plain == 0 {
			t.Fatal("it is not plain")
		}
		w.offer(part)
		if len(w.quick.out.List) != 1 || w.quick.out.List[0].Action != Again {
			t.Errorf("got %+v, want again", w.quick.out.List)
		}
		w.compareAll()
		w.offer(whole)
		w.compareAll()
	}
}

// A super-segment of a known flow leaves as it came only where its frame ID may.
func TestTheQuickWayAgreesAboutFrameIDs(t *testing.T) {
	for _, guard := range []time.Duration{0, time.Minute} {
		w := newTwoWays(t, waysRules[0])
		for _, b := range []*bench{w.quick, w.slow} {
			b.fw.ids.guard.Store(b.now + int64(guard))
		}
		p := path()
		p.Src, p.Dst = netip.MustParseAddr("10.47.1.1"), netip.MustParseAddr("10.47.2.1")
		send := func(id uint32) (rewritten bool) {
			data := cut(p, id, sttFrame(stt.FrameHeader{ContextID: 400}, innerUDP(t, 3000)), 0)[0]
			w.offer(Packet{Data: data, Length: len(data), GSO: true, Checksum: ChecksumPartial})
			return w.quick.events[0].Rewritten
		}
		var got []bool
		for _, id := range []uint32{1, 2, 2, 3, 1} {
			got = append(got, send(id))
		}
		w.pass(2 * frameIDWindow)
		w.quick.fw.ids.turnAt(w.quick.now)
		w.slow.fw.ids.turnAt(w.slow.now)
		w.pass(2 * frameIDWindow)
		got = append(got, send(1), send(1))
		want := []bool{false, false, true, false, true, false, true}
		if guard > 0 {
			want = []bool{true, true, true, true, true, false, true}
		}
		if !slices.Equal(got, want) || w.plain != len(want) {
			t.Errorf("guard %v: got %v, want %v; %d were plain", guard, got, want, w.plain)
		}
	}
}
