package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"sttwall/stt"
)

// attemptBound is how long a client of the live demo tries something: what is
// dropped is not answered.
const attemptBound = 1500 * time.Millisecond

// standBound is how long a connection of the live demo may stand still.
const standBound = 10 * time.Second

// traffic is what goes on in the live demo until it is closed: a fixed number of
// clients, each with one thing at a time.
type traffic struct {
	lab     *Lab
	pace    time.Duration // pauses are divided by it
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup
	closers []io.Closer
	actors  uint64
}

// startTraffic starts services and clients in a lab with three tenants.
func (l *Lab) startTraffic(pace int) (*traffic, error) {
	if err := l.addLiveAddresses(); err != nil {
		return nil, err
	}
	t := &traffic{lab: l, pace: time.Duration(max(pace, 1))}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	for _, h := range liveTenants {
		if err := t.serveLive(h); err != nil {
			return nil, errors.Join(fmt.Errorf("lab: services of %s: %w", h.tenant.name, err), t.Close())
		}
	}
	t.startAcme()
	t.startGlobex()
	t.startInitech()
	t.startForgers()
	return t, nil
}

// Close ends clients and services.
func (t *traffic) Close() error {
	t.cancel()
	var errs []error
	for _, c := range t.closers {
		errs = append(errs, c.Close())
	}
	t.running.Wait()
	return errors.Join(errs...)
}

func (t *traffic) startAcme() {
	c := client{t, AcmeA}
	t.browse(c, browser{from: liveDesk, to: liveWeb, port: portHTTP, pause: 700 * time.Millisecond})
	t.browse(c, browser{from: liveWorker, to: liveWeb, port: portHTTP, pause: 1100 * time.Millisecond})
	t.browse(c, browser{from: liveDesk6, to: liveWeb6, port: portHTTP, pause: 1500 * time.Millisecond})
	// No rule is about HTTPS.
	t.browse(c, browser{from: liveDesk, to: liveWeb, port: portHTTPS, pause: 1500 * time.Millisecond})
	t.lookUp(c, liveDesk, 900*time.Millisecond)
	t.lookUp(c, liveAdmin, 1700*time.Millisecond)
	t.ping(c, liveAdmin, liveWeb, time.Second)
	t.ping(c, liveDesk6, liveWeb6, 2*time.Second)
	t.session(c, session{from: liveAdmin, to: netip.AddrPortFrom(liveWeb, portSSH), pause: time.Second})
	t.bulk(c, bulk{from: liveWorker, to: netip.AddrPortFrom(liveStorage, portRsync), rate: 2_500_000})
	t.log(c, liveWorker, 600*time.Millisecond)
	t.log(c, liveDesk, 1300*time.Millisecond)
	t.try(c, liveAdmin, netip.AddrPortFrom(liveStorage, portTelnetd), 7*time.Second)
}

func (t *traffic) startGlobex() {
	c := client{t, GlobexA}
	t.browse(c, browser{from: liveWorker, to: liveWeb, port: portHTTP, pause: 900 * time.Millisecond})
	t.browse(c, browser{from: liveAdmin, to: liveWeb, port: portHTTP, pause: 2 * time.Second})
	t.lookUp(c, liveWorker, 1300*time.Millisecond)
	t.session(c, session{from: liveWorker, to: netip.AddrPortFrom(liveStorage, portPostgres), pause: 700 * time.Millisecond, query: true})
	t.ping(c, liveDesk, liveWeb, 3*time.Second)                                    // stopped
	t.try(c, liveDesk, netip.AddrPortFrom(liveWeb, portSMTP), 4*time.Second)       // rejected
	t.try(c, liveDesk, netip.AddrPortFrom(liveStorage, portPostgres), time.Minute) // passes
}

func (t *traffic) startInitech() {
	c := client{t, InitechA}
	t.browse(c, browser{from: liveWorker, to: liveWeb, port: portHTTP, pause: 1600 * time.Millisecond})
	t.lookUp(c, liveWorker, 2*time.Second)
	// What no rule is about yet.
	t.ping(c, liveAdmin, liveWeb, 2500*time.Millisecond)
	t.session(c, session{from: liveAdmin, to: netip.AddrPortFrom(liveStorage, portPostgres), pause: 3 * time.Second, query: true})
}

// client is a tenant's host on side A.
type client struct {
	*traffic
	place Place
}

func (c client) dial(ctx context.Context, network string, from netip.Addr, to netip.AddrPort) (net.Conn, error) {
	return c.lab.dial(ctx, flow{place: c.place, network: network, from: netip.AddrPortFrom(from, 0), to: to})
}

// act calls f again and again until the traffic ends, with pauses around pause. What
// f tries may fail: that is what the demo shows.
func (t *traffic) act(pause time.Duration, f func(ctx context.Context, r *rand.Rand)) {
	t.actors++
	r := rand.New(rand.NewPCG(t.actors, 0x57_54_57))
	t.running.Go(func() {
		for t.wait(pause/2 + time.Duration(r.Int64N(int64(pause)))) {
			f(t.ctx, r)
		}
	})
}

// wait waits for d, by the traffic's pace, and reports whether the traffic goes on.
func (t *traffic) wait(d time.Duration) bool {
	timer := time.NewTimer(d / t.pace)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-t.ctx.Done():
		return false
	}
}

// browser asks a web server for pages, some over each connection.
type browser struct {
	from, to netip.Addr
	port     uint16
	pause    time.Duration
}

func (t *traffic) browse(c client, b browser) {
	paths := []string{"/", "/", "/news", "/news", "/report.csv", "/picture.jpg"}
	to := netip.AddrPortFrom(b.to, b.port)
	t.connect(c, connection{from: b.from, to: to, pause: b.pause}, func(conn net.Conn, r *rand.Rand) error {
		answers := bufio.NewReader(conn)
		for range 1 + r.IntN(6) {
			request, err := http.NewRequestWithContext(t.ctx, http.MethodGet, "http://"+to.String()+paths[r.IntN(len(paths))], nil)
			if err != nil {
				return err
			}
			conn.SetDeadline(time.Now().Add(attemptBound))
			if err := request.Write(conn); err != nil {
				return err
			}
			response, err := http.ReadResponse(answers, request)
			if err != nil {
				return err
			}
			if _, err := io.Copy(io.Discard, response.Body); err != nil {
				return err
			}
			if !t.wait(b.pause/2 + time.Duration(r.Int64N(int64(b.pause)))) {
				return nil
			}
		}
		return nil
	})
}

// connection is one over TCP that a client makes again and again, with pauses
// around pause in between.
type connection struct {
	from  netip.Addr
	to    netip.AddrPort
	pause time.Duration
}

// connect makes the connections and has talk use them; they are closed when it
// returns, and when the traffic ends.
func (t *traffic) connect(c client, f connection, talk func(net.Conn, *rand.Rand) error) {
	t.act(f.pause, func(ctx context.Context, r *rand.Rand) {
		dialling, end := context.WithTimeout(ctx, attemptBound)
		conn, err := c.dial(dialling, "tcp", f.from, f.to)
		end()
		if err != nil {
			return
		}
		defer conn.Close()
		defer context.AfterFunc(ctx, func() { conn.Close() })()
		talk(conn, r) // its errors are what the firewall makes of it
	})
}

var liveNames = []string{"www.example.", "mail.example.", "cdn.example.", "db.example.", "missing.example."}

// lookUp asks the DNS server for names.
func (t *traffic) lookUp(c client, from netip.Addr, pause time.Duration) {
	t.act(pause, func(ctx context.Context, r *rand.Rand) {
		query, err := ask(uint16(r.Uint32()), liveNames[r.IntN(len(liveNames))])
		if err == nil {
			c.say(ctx, from, netip.AddrPortFrom(liveDNS, portDNS), query, true)
		}
	})
}

// log sends lines that nobody answers.
func (t *traffic) log(c client, from netip.Addr, pause time.Duration) {
	t.act(pause, func(ctx context.Context, r *rand.Rand) {
		line := fmt.Appendf(nil, "<13>1 - %s app %d - - it works", from, r.Uint32())
		c.say(ctx, from, netip.AddrPortFrom(liveStorage, portSyslogd), line, false)
	})
}

// say sends a datagram, and waits for one if it is to be answered.
func (c client) say(ctx context.Context, from netip.Addr, to netip.AddrPort, message []byte, answered bool) {
	conn, err := c.dial(ctx, "udp", from, to)
	if err != nil {
		return
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	conn.SetDeadline(time.Now().Add(attemptBound))
	if _, err := conn.Write(message); err == nil && answered {
		conn.Read(make([]byte, 1<<11))
	}
}

// try connects, and that is all.
func (t *traffic) try(c client, from netip.Addr, to netip.AddrPort, pause time.Duration) {
	t.connect(c, connection{from, to, pause}, func(net.Conn, *rand.Rand) error { return nil })
}

// session is a connection that stays, with little on it.
type session struct {
	from  netip.Addr
	to    netip.AddrPort
	pause time.Duration
	query bool // eight bytes are answered with some thousand; else with themselves
}

func (t *traffic) session(c client, s session) {
	answer := make([]byte, 12_000)
	t.connect(c, connection{s.from, s.to, s.pause}, func(conn net.Conn, r *rand.Rand) error {
		for t.wait(s.pause/4 + time.Duration(r.Int64N(int64(s.pause)))) {
			request, n := make([]byte, 8), 8
			if request[0] = byte(r.Uint32()); s.query {
				n = 1000 + int(request[0])*40
			}
			conn.SetDeadline(time.Now().Add(standBound))
			if _, err := conn.Write(request); err != nil {
				return err
			}
			if _, err := io.ReadFull(conn, answer[:n]); err != nil {
				return err
			}
		}
		return nil
	})
}

// bulk is a transfer with pauses.
type bulk struct {
	from netip.Addr
	to   netip.AddrPort
	rate int // bytes a second at most
}

func (t *traffic) bulk(c client, b bulk) {
	const tick = 50 * time.Millisecond
	data := make([]byte, b.rate/int(time.Second/tick))
	t.connect(c, connection{b.from, b.to, 2 * time.Second}, func(conn net.Conn, r *rand.Rand) error {
		ticks := 120 + r.IntN(160)
		for i := range ticks {
			if !t.wait(tick) {
				return nil
			}
			// Up and down in waves, so that there is something to see.
			wave := math.Sin(math.Pi*float64(i)/float64(ticks)) * (0.75 + 0.25*math.Sin(float64(i)/5))
			conn.SetDeadline(time.Now().Add(standBound))
			if _, err := conn.Write(data[:int(wave*float64(len(data)))]); err != nil {
				return err
			}
		}
		return nil
	})
}

// ping sends echo requests, all of one flow.
func (t *traffic) ping(c client, from, to netip.Addr, pause time.Duration) {
	network, request := "ip4:icmp", byte(8)
	if to.Is6() {
		network, request = "ip6:ipv6-icmp", 128
	}
	id, sequence := uint16(0x5700+t.actors), uint16(0)
	t.act(pause, func(context.Context, *rand.Rand) {
		var conn *net.IPConn
		if err := c.lab.Do(c.place, func() (err error) {
			conn, err = net.DialIP(network, &net.IPAddr{IP: from.AsSlice()}, &net.IPAddr{IP: to.AsSlice()})
			return err
		}); err != nil {
			return
		}
		defer conn.Close()
		sequence++
		packet := append([]byte{request, 0, 0, 0, byte(id >> 8), byte(id), byte(sequence >> 8), byte(sequence)}, "are you there?"...)
		if to.Is4() { // the kernel sums ICMPv6 itself
			sum := stt.Checksum(packet)
			packet[2], packet[3] = byte(sum>>8), byte(sum)
		}
		conn.Write(packet)
	})
}
