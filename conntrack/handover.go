package conntrack

import (
	"encoding/binary"
	"errors"
	"slices"

	"sttwall/inspect"
)

// A flow that is handed over to another table, all numbers little endian:
//
//	 1 byte    which of the parts are short or missing: handed...
//	14 bytes   name without its addresses
//	 8 or 32   its addresses
//	 2 bytes   status, flags
//	16 bytes   context IDs
//	 0 to 32   outer endpoints
//	 8 bytes   age of the last packet that kept it alive, ns
//	24 bytes   packets, bytes
//	 4 bytes   age of the flow, s
//	23 bytes   what rules need to judge the first packet again
//	44 bytes   of TCP: what both sides have sent and may send
//
// What is not handed over: by which rule it passed, since the rules that hold then
// decide; and its place.
const (
	handedIPv4     = 1 << iota // the inner addresses are IPv4: 4 bytes each
	handedFromIPv4             // likewise the first outer endpoint
	handedToIPv4               // and the second
	handedNoTo                 // the second is not known
	handedTCP
	handedAll = 1<<iota - 1

	// MaxHanded is how many bytes a flow takes at most.
	MaxHanded = 1 + nameLen + 2 + 16 + 32 + 8 + 24 + 4 + 23 + 2*handedHalf

	handedHalf = 22
	// handedFlags are those that another table needs; the others belong to places.
	handedFlags = flagReversed | flagHasReply | flagCounted | flagChallenged | flagHalfOpen | flagSimultaneous | flagTold
	handedHalfs = halfScale | halfLiberal | halfFIN | halfFINAcked | halfAck | halfGuess
	// maxAge is the largest age in ns that is taken for one: a hundred years.
	maxAge = 100 * 365 * 86400 * 1_000_000_000
)

var mapped = [12]byte{10: 0xff, 11: 0xff}

func isMapped(a *[16]byte) bool { return [12]byte(a[:12]) == mapped }

// Export shows all flows that live at now to emit, in the form that [Table.Import]
// takes; those that were answered first, so that they find room where there is less. It
// ends at the first error of emit, which borrows the record and may not call the table.
func (t *Table) Export(now int64, emit func(record []byte) error) error {
	record := make([]byte, 0, MaxHanded)
	for _, waits := range []bool{false, true} {
		for n := range t.shards {
			if err := t.exportShard(now, uint32(n), waits, record, emit); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *Table) exportShard(now int64, n uint32, waits bool, record []byte, emit func([]byte) error) error {
	s := &t.shards[n]
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.used {
		e := s.at(i)
		if !e.live() || slices.Contains(unreplied[:], e.status) != waits || now >= e.expires(&t.config.Timeouts) {
			continue
		}
		if err := emit(e.appendHanded(record, s.record(i), now)); err != nil {
			return err
		}
	}
	return nil
}

// appendHanded appends a flow.
func (e *entry) appendHanded(b []byte, r *record, now int64) []byte {
	le := binary.LittleEndian
	parts := byte(0)
	if e.name[nameLen-1]&nameIPv4 != 0 {
		parts |= handedIPv4
	}
	if isMapped(&e.from[0]) {
		parts |= handedFromIPv4
	}
	switch {
	case e.from[1] == [16]byte{}:
		parts |= handedNoTo
	case isMapped(&e.from[1]):
		parts |= handedToIPv4
	}
	tcp := e.name[44] == inspect.ProtocolTCP
	if tcp {
		parts |= handedTCP
	}
	b = append(b, parts)
	b = append(b, e.name[32:]...)
	b = appendAddress(b, e.name[0:16], parts&handedIPv4 != 0)
	b = appendAddress(b, e.name[16:32], parts&handedIPv4 != 0)
	b = append(b, byte(e.status), byte(e.flags&handedFlags))
	b = le.AppendUint64(b, e.contexts[0])
	b = le.AppendUint64(b, e.contexts[1])
	b = appendAddress(b, e.from[0][:], parts&handedFromIPv4 != 0)
	if parts&handedNoTo == 0 {
		b = appendAddress(b, e.from[1][:], parts&handedToIPv4 != 0)
	}
	b = le.AppendUint64(b, uint64(max(0, now-e.last)))
	for dir := range 2 {
		b = le.AppendUint32(b, e.packets[dir])
		b = le.AppendUint64(b, e.bytes[dir])
	}
	b = le.AppendUint32(b, uint32(max(0, now/1e9-int64(r.created))))
	b = append(b, r.ethSrc[:]...)
	b = append(b, r.ethDst[:]...)
	b = le.AppendUint16(b, r.tci)
	b = le.AppendUint16(b, r.tci2)
	b = le.AppendUint16(b, r.tcpFlags)
	b = append(b, r.icmpType, r.icmpCode, r.tos, r.tags, 0)
	if r.fragmented {
		b[len(b)-1] = 1
	}
	if tcp {
		for i := range e.halves {
			h := &e.halves[i]
			for _, v := range [...]uint32{h.end, h.maxEnd, h.maxWin, h.maxAck, h.finEnd} {
				b = le.AppendUint32(b, v)
			}
			b = append(b, h.scale, byte(h.flags))
		}
	}
	return b
}

func appendAddress(b, address []byte, v4 bool) []byte {
	if v4 {
		address = address[12:]
	}
	return append(b, address...)
}

// Errors of [Table.Import]: about flows that no table can have made.
var (
	errHandedShort  = errors.New("a flow is cut off")
	errHandedParts  = errors.New("a flow has parts that nobody knows")
	errHandedName   = errors.New("the name of a flow is none")
	errHandedStatus = errors.New("the state of a flow is none that its protocol has")
	errHandedTCP    = errors.New("the windows of a flow are none")
	errHandedAge    = errors.New("the age of a flow is none")
	errHandedTwice  = errors.New("a flow is there twice")
)

// Importing says how flows become those of another table.
type Importing struct {
	// Now is the time on the table's clock, in ns; Elapsed is how long ago it was that
	// the flows were exported, in ns.
	Now, Elapsed int64
	// Tenant returns the number in this table of a tenant by the one that it had, or
	// false for a tenant that there is no more.
	Tenant func(int32) (int32, bool)
	// Unwatched: packets may have passed since that nobody has seen, so that TCP is
	// taken as it comes, as far as sequence numbers compare.
	Unwatched bool
}

// Imported counts flows.
type Imported struct {
	Flows      int // in the table now
	Over       int // whose time has passed meanwhile
	Tenantless int // of tenants that there are no more
	NoRoom     int // that the table has no room for
}

// Add adds o.
func (m *Imported) Add(o Imported) {
	m.Flows += o.Flows
	m.Over += o.Over
	m.Tenantless += o.Tenantless
	m.NoRoom += o.NoRoom
}

// Import takes flows that [Table.Export] has shown, one behind the other in list; no
// rules have accepted them yet, so that the first packet of each is judged again
// ([StateStale]). After an error, about a list that no table has written, some flows may
// be in the table. [Table.SortImported] is called behind the last.
func (t *Table) Import(c *Importing, list []byte) (done Imported, err error) {
	for len(list) > 0 && err == nil {
		var e entry
		var r record
		if list, err = e.readHanded(&r, list, c); err == nil {
			err = t.importOne(c, &e, &r, &done)
		}
	}
	return done, err
}

// handedReader takes numbers off a list.
type handedReader struct {
	rest  []byte
	short bool
}

func (h *handedReader) take(n int) []byte {
	if len(h.rest) < n {
		h.rest, h.short = make([]byte, MaxHanded), true // zeros, so that who reads may go on to the end
	}
	b := h.rest[:n]
	h.rest = h.rest[n:]
	return b
}

func (h *handedReader) u8() uint8   { return h.take(1)[0] }
func (h *handedReader) u16() uint16 { return binary.LittleEndian.Uint16(h.take(2)) }
func (h *handedReader) u32() uint32 { return binary.LittleEndian.Uint32(h.take(4)) }
func (h *handedReader) u64() uint64 { return binary.LittleEndian.Uint64(h.take(8)) }

func (h *handedReader) address(to []byte, v4 bool) {
	if v4 {
		copy(to, mapped[:])
		to = to[12:]
	}
	copy(to, h.take(len(to)))
}

// readHanded reads a flow, and what follows it in the list.
func (e *entry) readHanded(r *record, list []byte, c *Importing) (rest []byte, err error) {
	h := handedReader{rest: list}
	parts := h.u8()
	if parts&^handedAll != 0 {
		return nil, errHandedParts
	}
	copy(e.name[32:], h.take(nameLen-32))
	v4 := parts&handedIPv4 != 0
	h.address(e.name[0:16], v4)
	h.address(e.name[16:32], v4)
	e.status, e.flags = status(h.u8()), entryFlags(h.u8())
	e.contexts = [2]uint64{h.u64(), h.u64()}
	h.address(e.from[0][:], parts&handedFromIPv4 != 0)
	if parts&handedNoTo == 0 {
		h.address(e.from[1][:], parts&handedToIPv4 != 0)
	}
	age := h.u64()
	for dir := range 2 {
		e.packets[dir], e.bytes[dir] = h.u32(), h.u64()
	}
	old := h.u32()
	copy(r.ethSrc[:], h.take(6))
	copy(r.ethDst[:], h.take(6))
	r.tci, r.tci2, r.tcpFlags = h.u16(), h.u16(), h.u16()
	r.icmpType, r.icmpCode, r.tos, r.tags = h.u8(), h.u8(), h.u8(), h.u8()
	r.fragmented = h.u8() != 0
	if parts&handedTCP != 0 {
		for i := range e.halves {
			e.halves[i] = half{h.u32(), h.u32(), h.u32(), h.u32(), h.u32(), h.u8(), halfFlags(h.u8())}
		}
	}
	if h.short {
		return nil, errHandedShort
	}
	if age > maxAge {
		return nil, errHandedAge
	}
	e.last = c.Now - c.Elapsed - int64(age)
	r.created = uint32(max(0, (c.Now-c.Elapsed)/1e9-int64(old)))
	e.rule = -1
	return h.rest, e.checkHanded(r, parts, v4)
}

// checkHanded refuses what no packet can have made.
func (e *entry) checkHanded(r *record, parts byte, v4 bool) error {
	k := e.key()
	vlans := k.VLAN >> 24
	packed, reversed := k.pack()
	switch {
	case *packed.name() != e.name, reversed != (e.flags&flagReversed != 0), v4 != (e.name[nameLen-1]&nameIPv4 != 0),
		vlans > inspect.MaxTags, k.VLAN&0xffffff>>(12*vlans) != 0, int(r.tags) > inspect.MaxTags, k.Tenant < 0,
		e.from[0] == [16]byte{}:
		return errHandedName
	case e.flags&^handedFlags != 0, e.status >= statuses:
		return errHandedStatus
	}
	tcp, icmp := k.Protocol == inspect.ProtocolTCP, k.isICMP()
	switch {
	case tcp != (parts&handedTCP != 0), tcp != (e.status <= statusClose), icmp != (e.status == statusICMP || e.status == statusICMPReplied):
		return errHandedStatus
	case !tcp && e.flags&(flagChallenged|flagHalfOpen|flagSimultaneous) != 0:
		return errHandedStatus
	}
	if e.flags &^= flagHalfOpen; e.status == statusSynSent || e.status == statusSynReceived {
		e.flags |= flagHalfOpen
	}
	for i := range e.halves {
		if h := &e.halves[i]; h.scale > maxScale || h.maxWin > maxWindow || h.flags&^handedHalfs != 0 {
			return errHandedTCP
		}
	}
	return nil
}

// importOne puts a flow into the table, or counts why not.
func (t *Table) importOne(c *Importing, e *entry, r *record, done *Imported) error {
	tenant, ok := c.Tenant(int32(binary.BigEndian.Uint32(e.name[36:])))
	switch {
	case !ok:
		done.Tenantless++
		return nil
	case c.Now >= e.expires(&t.config.Timeouts):
		done.Over++
		return nil
	}
	binary.BigEndian.PutUint32(e.name[36:], uint32(tenant))
	if c.Unwatched && e.status <= statusTimeWait {
		e.unwatched()
	}
	k := e.key()
	p, _ := k.pack()
	h := t.hash(&p)
	s, _ := t.shardOf(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, found := s.find(&p, h); found {
		return errHandedTwice
	}
	if t.flows.Add(1) > int64(t.config.MaxFlows) {
		t.flows.Add(-1)
		done.NoRoom++
		return nil
	}
	i, at, ok := s.insert(&p, h, t.memory)
	if !ok {
		t.flows.Add(-1)
		done.NoRoom++
		return nil
	}
	t.endpoints.add(e.from[0], noLimit) // more than its share may have moved to it
	e.version = at.version
	*at = *e
	r.hash = s.record(i).hash
	*s.record(i) = *r
	s.lists[e.status].push(s, i)
	of := t.tenants.of(tenant)
	of.flows.Add(1)
	if e.flags&flagHalfOpen != 0 {
		of.halfOpen.Add(1)
	}
	if e.flags&flagCounted != 0 {
		t.sources.add(sourceOf(tenant, k.Src), noLimit)
	}
	done.Flows++
	return nil
}

// unwatched has a TCP flow take what comes next: both sides may have sent any amount
// that sequence numbers can tell.
func (e *entry) unwatched() {
	for i := range e.halves {
		h := &e.halves[i]
		if h.maxWin == 0 {
			continue // it has sent nothing yet
		}
		h.maxEnd, h.maxWin = h.end+maxWindow, maxWindow
		h.flags |= halfGuess
	}
}

// SortImported puts flows that were imported in the order of their last packets, in
// which they are given up and forgotten.
func (t *Table) SortImported() {
	type aged struct {
		last int64
		n    uint32
	}
	var order []aged
	for at := range t.shards {
		s := &t.shards[at]
		s.mu.Lock()
		for st := range s.lists {
			l := &s.lists[st]
			order = order[:0]
			for n := l.head; n != 0; n = s.record(n - 1).next {
				order = append(order, aged{s.at(n - 1).last, n - 1})
			}
			slices.SortFunc(order, func(a, b aged) int {
				switch {
				case a.last < b.last:
					return -1
				case a.last > b.last:
					return 1
				}
				return 0
			})
			*l = list{}
			for _, o := range order {
				l.push(s, o.n)
			}
		}
		s.mu.Unlock()
	}
}
