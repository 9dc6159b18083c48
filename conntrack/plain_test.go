package conntrack

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"

	"sttwall/inspect"
)

// plainUDP reads a UDP packet between those addresses.
func plainUDP(t *Table, p *Plain, src, dst netip.Addr, sp, dp uint16) {
	l4 := make([]byte, 8)
	binary.BigEndian.PutUint16(l4[0:], sp)
	binary.BigEndian.PutUint16(l4[2:], dp)
	var ip []byte
	if src.Is4() {
		ip = make([]byte, 20)
		ip[9] = inspect.ProtocolUDP
		copy(ip[12:], src.AsSlice())
		copy(ip[16:], dst.AsSlice())
	} else {
		ip = make([]byte, 40)
		ip[6] = inspect.ProtocolUDP
		copy(ip[8:], src.AsSlice())
		copy(ip[24:], dst.AsSlice())
	}
	t.ReadPlain(p, ip, l4)
}

// A packet has the same key and hash, whoever has read it: or its flow would be two.
func TestAPlainPacketHasTheSameKeyAndHash(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	table := newTable(t, 1)
	for range 10_000 {
		var a, b [16]byte
		for i := range a {
			a[i], b[i] = byte(r.Uint32()), byte(r.Uint32())
			if r.IntN(8) == 0 {
				b[i] = a[i]
			}
		}
		src, dst := netip.AddrFrom16(a), netip.AddrFrom16(b)
		if r.IntN(2) == 0 {
			src, dst = netip.AddrFrom4([4]byte(a[12:])), netip.AddrFrom4([4]byte(b[12:]))
		}
		if r.IntN(8) == 0 {
			dst = src
		}
		k := Key{Tenant: r.Int32N(MaxTenants), VLAN: r.Uint32() & 0x2ffffff, Src: src, Dst: dst, Protocol: inspect.ProtocolUDP,
			SrcPort: uint16(r.Uint32()), DstPort: uint16(r.Uint32())}
		p := Plain{Tenant: k.Tenant, VLAN: k.VLAN, Context: r.Uint64() >> r.IntN(65), OVN: r.IntN(4) == 0}
		if !p.OVN {
			k.Context = p.Context
		}
		plainUDP(table, &p, src, dst, k.SrcPort, k.DstPort)
		want, reversed := k.pack()
		if p.terms.packed != want || p.terms.reversed != reversed || p.hash != table.hash(&want) {
			t.Fatalf("seed %d: %+v: got %x, %t, %x; want %x, %t, %x", seed, k,
				p.terms.packed, p.terms.reversed, p.hash, want, reversed, table.hash(&want))
		}
		if got := p.Key(); got != k {
			t.Fatalf("seed %d: got %+v, want %+v", seed, got, k)
		}
	}
}

// Each bit of a key has a say in each bit of its hash, of IPv4 and IPv6: with any secret
// about half of the bits change with it.
func TestEachBitOfAKeyHasASayInItsHash(t *testing.T) {
	const secrets = 400
	for name, k := range map[string]Key{
		"IPv4": {Tenant: 3, Context: 7, VLAN: 1<<24 | 5, Src: client, Dst: server, Protocol: 6, SrcPort: 40000, DstPort: 443},
		"IPv6": {Tenant: 3, Context: 7, Src: netip.MustParseAddr("fd00::1"), Dst: netip.MustParseAddr("fd00::2"), Protocol: 6, SrcPort: 40000, DstPort: 443},
	} {
		p, _ := k.pack()
		var tables [secrets]Table
		for i := range tables {
			tables[i].secret = makeSecret()
		}
		for bit := range 8 * packedLen {
			if name == "IPv4" && (bit/8 < 12 || bit/8 >= 16 && bit/8 < 28) || bit/8 == nameLen-1 {
				continue // the same in all keys; or which kind of key it is
			}
			o := p
			o[bit/8] ^= 1 << (bit % 8)
			var changed [64]int
			for i := range tables {
				d := tables[i].hash(&p) ^ tables[i].hash(&o)
				for b := range changed {
					changed[b] += int(d >> b & 1)
				}
			}
			// Ten standard deviations about the half.
			for b, n := range changed {
				if n < secrets/2-100 || n > secrets/2+100 {
					t.Errorf("%s: bit %d of the key changes bit %d of %d in %d hashes", name, bit, b, n, secrets)
				}
			}
		}
	}
}

// Keys that make a pattern are as many to a shard, and search as far, as keys that make
// none: ports in a row, addresses in a row, both, with a step of a power of two.
func TestKeysThatMakeAPatternDoNotCrowd(t *testing.T) {
	const flows = 1 << 14
	for name, key := range map[string]func(i uint32) (netip.Addr, uint16, uint16){
		"ports":     func(i uint32) (netip.Addr, uint16, uint16) { return client, uint16(i), 53 },
		"addresses": func(i uint32) (netip.Addr, uint16, uint16) { return addressAt(i), 5353, 53 },
		"both":      func(i uint32) (netip.Addr, uint16, uint16) { return addressAt(i >> 7), uint16(i&0x7f) << 9, 53 },
		"steps":     func(i uint32) (netip.Addr, uint16, uint16) { return addressAt(i << 10), 5353, 53 },
	} {
		table := newTable(t, flows)
		var l lookup
		for i := range uint32(flows) {
			src, sp, dp := key(i)
			l.key = Key{Context: 1, Src: src, Dst: server, Protocol: inspect.ProtocolUDP, SrcPort: sp, DstPort: dp}
			l.packed, _ = l.key.pack()
			h := table.hash(&l.packed)
			s, _ := table.shardOf(h)
			if _, _, ok := s.insert(&l.packed, h, table.memory); !ok {
				t.Fatalf("%s: no room for flow %d", name, i)
			}
		}
		for i := range table.shards {
			s := &table.shards[i]
			run, longest := 0, 0
			for _, slot := range s.slots {
				if run++; slot == 0 {
					run = 0
				}
				longest = max(longest, run)
			}
			if longest > 100 {
				t.Errorf("%s: shard %d of %d has %d flows, and a run of %d slots", name, i, len(table.shards), s.count, longest)
			}
		}
	}
}

func addressAt(i uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
}

// An entry that was found ahead is looked at again under the lock: the flow may have
// ended since, and its place may be another's.
func TestAFlowThatEndsAfterItWasExpectedIsNotFound(t *testing.T) {
	table := newTable(t, 1)
	first, second := other(inspect.ProtocolUDP, 1000, 53, false), other(inspect.ProtocolUDP, 1001, 53, false)
	begun := meet(table, 1, first, Limits{})
	var p Plain
	var r Result
	expect := func() {
		p = Plain{Context: 100, Bytes: 50, Trusted: true, From: clientHost.As16()}
		plainUDP(table, &p, client, server, 1000, 53)
		table.ExpectSlot(&p)
		table.ExpectEntry(&p)
	}
	expect()
	if p.terms.expected == 0 {
		t.Fatal("the flow was not found ahead")
	}
	if table.TrackPlain(1, 1, &p, &r); r.State != StateOriginal || r.Handle != begun.Handle {
		t.Errorf("a flow that was expected: %+v, want %v", r, begun.Handle)
	}

	expect()
	table.End(begun.Handle)
	if table.TrackPlain(1, 1, &p, &r); r.State != StateNew {
		t.Errorf("a flow that has ended: %s", word(r))
	}

	begun = meet(table, 1, first, Limits{})
	expect()
	table.End(begun.Handle)
	if next := meet(table, 1, second, Limits{}); next.Handle.index != begun.Handle.index {
		t.Fatalf("the place is not used again: %v, then %v", begun.Handle, next.Handle)
	}
	if table.TrackPlain(1, 1, &p, &r); r.State != StateNew {
		t.Errorf("a flow whose place is another's: %s", word(r))
	}

	table.End(meet(table, 1, second, Limits{}).Handle)
	begun = meet(table, 1, first, Limits{})
	if table.TrackPlain(1, 1, &p, &r); r.State != StateOriginal || r.Handle != begun.Handle {
		t.Errorf("a flow that has begun again there: %+v, want %v", r, begun.Handle)
	}
	if p.terms.expected == 0 || table.Stats().Flows != 1 {
		t.Errorf("%d flows", table.Stats().Flows)
	}
	recount(t, table)

	// Of a packet that is read again nothing is known ahead.
	plainUDP(table, &p, client, server, 1001, 53)
	if p.terms.expected != 0 {
		t.Error("what was expected of another packet is still there")
	}
}
