package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// Addresses of the live demo, the same in all tenants. Clients are on side A.
var (
	liveNet, liveNet6 = netip.MustParsePrefix("10.1.0.0/24"), netip.MustParsePrefix("fd00:10:1::/64")

	liveDesk   = netip.MustParseAddr("10.1.0.7") // the one that cannot reach port 443
	liveWorker = netip.MustParseAddr("10.1.0.11")
	liveAdmin  = netip.MustParseAddr("10.1.0.12")
	liveDesk6  = netip.MustParseAddr("fd00:10:1::7")
	liveRogue  = netip.MustParseAddr("10.1.0.66") // no host has it: its frames are forged

	liveWeb     = netip.MustParseAddr("10.1.0.80")
	liveDNS     = netip.MustParseAddr("10.1.0.53")
	liveStorage = netip.MustParseAddr("10.1.0.90")
	liveWeb6    = netip.MustParseAddr("fd00:10:1::80")
)

// Ports of the live demo's services; which of them may be reached is in live.hcl.
const (
	portSSH      = 22
	portTelnetd  = 23
	portSMTP     = 25
	portDNS      = 53
	portHTTP     = 80
	portHTTPS    = 443
	portSyslogd  = 514
	portRsync    = 873
	portPostgres = 5432
)

// liveHosts are a tenant's two namespaces.
type liveHosts struct {
	tenant  tenant
	servers Place
}

var liveTenants = []liveHosts{{acme, AcmeB}, {globex, GlobexB}, {initech, InitechB}}

// addLiveAddresses gives hosts the addresses of the live demo, beside those that
// they have.
func (l *Lab) addLiveAddresses() error {
	clients, servers := []netip.Addr{liveDesk, liveWorker, liveAdmin, liveDesk6}, []netip.Addr{liveWeb, liveDNS, liveStorage, liveWeb6}
	add := func(place Place, list []netip.Addr) error {
		return l.Do(place, func() error {
			var errs []error
			for _, a := range list {
				errs = append(errs, address(HostInterface, a, a.BitLen()))
			}
			return errors.Join(append(errs,
				route(HostInterface, liveNet.String(), netip.Addr{}, hostMTU), route(HostInterface, liveNet6.String(), netip.Addr{}, hostMTU))...)
		})
	}
	for _, h := range liveTenants {
		if err := errors.Join(add(h.tenant.client, clients), add(h.servers, servers)); err != nil {
			return fmt.Errorf("lab: %s: %w", h.tenant.name, err)
		}
	}
	return nil
}

// serveLive starts a tenant's services.
func (t *traffic) serveLive(h liveHosts) error {
	return t.lab.Do(h.servers, func() error {
		for port, handle := range map[uint16]func(net.Conn){
			portSSH: echoLive, portTelnetd: echoLive, portSMTP: echoLive, portRsync: swallow, portPostgres: feed,
		} {
			listener, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
			if err != nil {
				return err
			}
			t.closers = append(t.closers, listener)
			t.running.Go(func() { t.accept(listener, handle) })
		}
		for _, port := range []uint16{portHTTP, portHTTPS} {
			listener, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
			if err != nil {
				return err
			}
			server := &http.Server{Handler: pages(h.tenant.name), ReadHeaderTimeout: standBound, IdleTimeout: standBound}
			t.closers = append(t.closers, server)
			t.running.Go(func() { server.Serve(listener) })
		}
		// Of several addresses, a reply has to come from the one that was asked.
		for at, answer := range map[netip.AddrPort]func([]byte) []byte{
			netip.AddrPortFrom(liveDNS, portDNS): resolve, netip.AddrPortFrom(liveStorage, portSyslogd): nil,
		} {
			c, err := net.ListenPacket("udp", at.String())
			if err != nil {
				return err
			}
			t.closers = append(t.closers, c)
			t.running.Go(func() { datagrams(c, answer) })
		}
		return nil
	})
}

func (t *traffic) accept(listener net.Listener, handle func(net.Conn)) {
	for {
		c, err := listener.Accept()
		if err != nil {
			return
		}
		t.running.Go(func() {
			defer c.Close()
			defer context.AfterFunc(t.ctx, func() { c.Close() })()
			handle(c)
		})
	}
}

// idleBound is how long a service keeps a connection on which nothing comes: one
// whose flow a reload has ended says no goodbye.
const idleBound = time.Minute

// idle ends a connection on which nothing comes.
type idle struct{ net.Conn }

func (c idle) Read(b []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(idleBound)); err != nil {
		return 0, err
	}
	return c.Conn.Read(b)
}

func echoLive(c net.Conn) { io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{idle{c}}) }
func swallow(c net.Conn)  { io.Copy(io.Discard, struct{ io.Reader }{idle{c}}) }

// feed answers each request of eight bytes with some thousand.
func feed(c net.Conn) {
	rows := make([]byte, 12_000)
	for b := make([]byte, 8); ; {
		if _, err := io.ReadFull(idle{c}, b); err != nil {
			return
		}
		if _, err := c.Write(rows[:1000+int(b[0])*40]); err != nil {
			return
		}
	}
}

// pages is a web site with pages of several sizes.
func pages(tenant string) http.Handler {
	mux := http.NewServeMux()
	for path, size := range map[string]int{"/{$}": 2_000, "/news": 9_000, "/report.csv": 60_000, "/picture.jpg": 250_000} {
		page := []byte(strings.Repeat(tenant+" says hello. ", size/20))
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) { w.Write(page) })
	}
	return mux
}

// datagrams answers datagrams, or with nil only takes them, until c is closed.
func datagrams(c net.PacketConn, answer func([]byte) []byte) {
	b := make([]byte, 1<<11)
	for {
		n, from, err := c.ReadFrom(b)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil || answer == nil:
		default:
			if out := answer(b[:n]); out != nil {
				c.WriteTo(out, from)
			}
		}
	}
}

// resolve answers a DNS query: all names but those below "missing" are the web
// server's.
func resolve(query []byte) []byte {
	var m dnsmessage.Message
	if m.Unpack(query) != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	m.Response, m.RecursionAvailable = true, true
	if strings.HasPrefix(q.Name.String(), "missing.") {
		m.RCode = dnsmessage.RCodeNameError
	} else {
		m.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: 60},
			Body:   &dnsmessage.AResource{A: liveWeb.As4()},
		}}
	}
	out, err := m.Pack()
	if err != nil {
		return nil
	}
	return out
}

// ask makes a DNS query.
func ask(id uint16, name string) ([]byte, error) {
	n, err := dnsmessage.NewName(name)
	if err != nil {
		return nil, err
	}
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: id, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: n, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}},
	}
	return m.Pack()
}
