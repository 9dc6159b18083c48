package control

import (
	"time"

	"sttwall/conntrack"
)

// meterEvery is how far two readings of a meter are apart at least.
const meterEvery = 500 * time.Millisecond

// meters know how much went through each flow between two readings, by its place
// in the flow table: 48 bytes for each place.
type meters [][]meter

type meter struct {
	version uint32    // of the flow that has the place
	at      uint32    // ms on the firewall's clock, as far as they fit: when it was read
	packets [2]uint32 // as they were read
	bytes   [2]uint64
	// A second, in each direction.
	packetRate, byteRate [2]float32
}

// grow makes room for all places that were ever taken.
func (m *meters) grow(flows *conntrack.Table) {
	if *m == nil {
		*m = make(meters, flows.Shards())
	}
	for i := range *m {
		(*m)[i] = withRoom((*m)[i], flows.Places(i))
	}
}

// withRoom returns a list of n, or of some more: they are taken one by one.
func withRoom(list []meter, n int) []meter {
	if n <= len(list) {
		return list
	}
	longer := make([]meter, n+n/8)
	copy(longer, list)
	return longer
}

// read reads the meter of a flow, if it is time to, and returns it. It stays valid
// until the next call.
func (m meters) read(now int64, f conntrack.Handle, created int64, packets [2]uint32, bytes [2]uint64) *meter {
	shard, index, version := f.Place()
	m[shard] = withRoom(m[shard], int(index)+1)
	one := &m[shard][index]
	at := uint32(now / int64(time.Millisecond))
	passed := time.Duration(at-one.at) * time.Millisecond
	switch {
	case one.version != version:
		// What went since it began, as far as that is known: in whole seconds.
		one.measure([2]uint32{}, [2]uint64{}, packets, bytes, max(1, float64(now-created)/1e9))
	case passed < meterEvery:
		return one
	default:
		one.measure(one.packets, one.bytes, packets, bytes, passed.Seconds())
	}
	one.version, one.at, one.packets, one.bytes = version, at, packets, bytes
	return one
}

// measure sets the rates to what went between two readings.
func (m *meter) measure(packets [2]uint32, bytes [2]uint64, packetsNow [2]uint32, bytesNow [2]uint64, seconds float64) {
	for i := range 2 {
		m.packetRate[i] = float32(float64(packetsNow[i]-packets[i]) / seconds)
		m.byteRate[i] = float32(float64(bytesNow[i]-bytes[i]) / seconds)
	}
}

// ofFlow reads the meter of a flow.
func (m meters) ofFlow(now int64, f *conntrack.Flow) *meter {
	return m.read(now, f.Handle, f.Created, f.Packets, f.Bytes)
}

// ofRow reads the meter of a flow.
func (m meters) ofRow(now int64, r *conntrack.Row) *meter {
	created, _, _ := r.Times()
	packets, bytes := r.Counts()
	return m.read(now, r.Handle(), created, packets, bytes)
}
