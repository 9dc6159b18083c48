package chaos

import (
	"bytes"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"sttwall/internal/lab"
)

// markStart begins what all denied traffic carries, and nothing else.
var markStart = []byte("<chaos denied ")

// denied counts what must not arrive.
type denied struct {
	names []string
	sent  []atomic.Int64

	mu     sync.Mutex
	number uint64
	seen   []sighting
	total  []int // by sort
}

// sighting is a denied packet at the far side.
type sighting struct {
	at   time.Time
	sort int
}

// mostSightings bounds what is remembered of them.
const mostSightings = 1 << 20

func newDenied() *denied {
	d := &denied{}
	for _, f := range lab.Forgeries() {
		d.names = append(d.names, f.Name)
	}
	d.names = append(d.names, "datagram of a tenant's stack", "connection of a tenant's stack")
	d.sent, d.total = make([]atomic.Int64, len(d.names)), make([]int, len(d.names))
	return d
}

func (d *denied) datagrams() int   { return len(d.names) - 2 }
func (d *denied) connections() int { return len(d.names) - 1 }

func (d *denied) mark(sort int) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.number++
	return fmt.Appendf(slices.Clone(markStart), "%02d %010d>", sort, d.number)
}

// see looks at a packet that has come to the far side.
func (d *denied) see(packet []byte, outgoing bool) {
	at := bytes.Index(packet, markStart)
	if outgoing || at < 0 || len(packet) < at+len(markStart)+2 {
		return
	}
	sort, err := strconv.Atoi(string(packet[at+len(markStart):][:2]))
	if err != nil || sort >= len(d.names) {
		sort = 0
	}
	d.arrived(sort)
}

func (d *denied) arrived(sort int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.total[sort]++
	if len(d.seen) < mostSightings {
		d.seen = append(d.seen, sighting{time.Now(), sort})
	}
}

func (d *denied) datagram(_ net.PacketConn, _ []byte, _ net.Addr) { d.arrived(d.datagrams()) }
func (d *denied) connection(net.Conn)                             { d.arrived(d.connections()) }

// window is a span of time.
type window struct{ from, to time.Time }

func (w window) holds(t time.Time) bool {
	return !w.from.IsZero() && !t.Before(w.from) && (w.to.IsZero() || !t.After(w.to))
}

// arrivals returns how many denied packets have arrived in a span, inside of open and
// outside of it, and of which sorts those outside were. sort, if not empty, is the only
// one that is opened.
func (d *denied) arrivals(span, open window, sort string) (inside, outside int, sorts string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	by := make([]int, len(d.names))
	for _, s := range d.seen {
		switch {
		case !span.holds(s.at):
		case open.holds(s.at) && (sort == "" || sort == d.names[s.sort]):
			inside++
		default:
			outside++
			by[s.sort]++
		}
	}
	for sort, n := range by {
		if n > 0 {
			sorts += fmt.Sprintf("%s%d × %s", separator(sorts), n, d.names[sort])
		}
	}
	return inside, outside, sorts
}

func separator(before string) string {
	if before == "" {
		return ""
	}
	return ", "
}

// count returns how many have arrived since the last forget, in all and inside of a window.
func (d *denied) count(w window) (all, inside int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.seen {
		if w.holds(s.at) {
			inside++
		}
	}
	return len(d.seen), inside
}

// forget drops the sightings, for the next span.
func (d *denied) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seen = d.seen[:0]
}

// unseen names the sorts that have not arrived since the start.
func (d *denied) unseen() (list []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for sort, n := range d.total {
		if n == 0 {
			list = append(list, d.names[sort])
		}
	}
	return list
}

func (d *denied) sentAll() (n int64) {
	for i := range d.sent {
		n += d.sent[i].Load()
	}
	return n
}
