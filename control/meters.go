package control

import (
	"math"
	"time"

	"sttwall/conntrack"
	"sttwall/firewall"
)

// meterEvery is how far two readings of the meters are apart at least.
const meterEvery = 500 * time.Millisecond

// meters know how much went through each flow between two readings, by its place
// in the flow table: 48 bytes for each place.
type meters struct {
	read   int64 // the last time, on the firewall's clock; 0: never
	passed float64
	due    bool // they are read now

	shards [][]meter
}

type meter struct {
	version uint32 // of the flow that has the place
	packets [2]uint32
	bytes   [2]uint64 // as they were read
	// A second, in each direction.
	packetRate, byteRate [2]float32
}

// begin begins a look at all flows.
func (m *meters) begin(now int64, flows *conntrack.Table) {
	if m.shards == nil {
		m.shards = make([][]meter, flows.Shards())
	}
	m.due = m.read == 0 || now-m.read >= int64(meterEvery)
	if !m.due {
		return
	}
	m.passed = float64(now-m.read) / 1e9
	for i := range m.shards {
		if n := flows.Places(i); n > len(m.shards[i]) {
			m.grow(i, n)
		}
	}
}

// grow makes room for n places, and for some that are taken meanwhile.
func (m *meters) grow(shard, n int) {
	grown := make([]meter, n+n/8)
	copy(grown, m.shards[shard])
	m.shards[shard] = grown
}

// take reads the meter of a flow, if it is time to.
func (m *meters) take(now int64, r *firewall.FlowRow) {
	if !m.due {
		return
	}
	shard, index, version := r.Handle().Place()
	if int(index) >= len(m.shards[shard]) {
		m.grow(int(shard), int(index)+1)
	}
	one := &m.shards[shard][index]
	packets, bytes := r.Counts()
	if one.version == version {
		for i := range 2 {
			one.packetRate[i] = float32(float64(packets[i]-one.packets[i]) / m.passed)
			one.byteRate[i] = float32(float64(bytes[i]-one.bytes[i]) / m.passed)
		}
	} else {
		created, _, _ := r.Times()
		one.packetRate, one.byteRate = average(now, created, packets, bytes)
	}
	one.version, one.packets, one.bytes = version, packets, bytes
}

// end ends a look that has seen all flows.
func (m *meters) end(now int64) {
	if m.due {
		m.read, m.due = now, false
	}
}

// average is what went a second since a flow began: the rate of one that was not
// there when the meters were read last. Times of beginning are in whole seconds.
func average(now, created int64, packets [2]uint32, bytes [2]uint64) (packetRate, byteRate [2]float32) {
	life := math.Max(1, float64(now-created)/1e9)
	for i := range 2 {
		packetRate[i], byteRate[i] = float32(float64(packets[i])/life), float32(float64(bytes[i])/life)
	}
	return packetRate, byteRate
}

// rates returns what goes through a flow a second.
func (m *meters) rates(now int64, r *firewall.FlowRow) (packets, bytes [2]float32) {
	if one := m.of(r.Handle()); one != nil {
		return one.packetRate, one.byteRate
	}
	created, _, _ := r.Times()
	counted, length := r.Counts()
	return average(now, created, counted, length)
}

// ratesOf is likewise.
func (m *meters) ratesOf(now int64, f *conntrack.Flow) (packets, bytes [2]float32) {
	if one := m.of(f.Handle); one != nil {
		return one.packetRate, one.byteRate
	}
	return average(now, f.Created, f.Packets, f.Bytes)
}

// of returns the meter of a flow; nil if it was not there when they were read.
func (m *meters) of(h conntrack.Handle) *meter {
	shard, index, version := h.Place()
	if int(shard) >= len(m.shards) || int(index) >= len(m.shards[shard]) {
		return nil
	}
	if one := &m.shards[shard][index]; one.version == version {
		return one
	}
	return nil
}
