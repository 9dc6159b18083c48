package endpoint

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// ping sends an ICMP echo request from the first tenant and waits for the answer.
func (s *scene) ping(t *testing.T, addresses [2]string, size int) {
	t.Helper()
	network, protocol := "ip4:icmp", 1
	var request, reply icmp.Type = ipv4.ICMPTypeEcho, ipv4.ICMPTypeEchoReply
	if netip.MustParseAddr(addresses[0]).Is6() {
		network, protocol = "ip6:ipv6-icmp", 58
		request, reply = ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply
	}
	s.tenants[0].must(t, func() error {
		conn, err := icmp.ListenPacket(network, addresses[0])
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(patience))
		data := randomBytes(size)
		message := icmp.Message{Type: request, Body: &icmp.Echo{ID: 7, Seq: size, Data: data}}
		b, err := message.Marshal(nil)
		if err != nil {
			return err
		}
		if _, err := conn.WriteTo(b, &net.IPAddr{IP: net.ParseIP(addresses[1])}); err != nil {
			return err
		}
		buf := make([]byte, 65536)
		for {
			n, _, err := conn.ReadFrom(buf)
			if err != nil {
				return fmt.Errorf("ping of %d bytes to %s: %w", size, addresses[1], err)
			}
			answer, err := icmp.ParseMessage(protocol, buf[:n])
			if err != nil || answer.Type != reply {
				continue // neighbour discovery
			}
			if echo, ok := answer.Body.(*icmp.Echo); ok && echo.Seq == size {
				if string(echo.Data) != string(data) {
					return fmt.Errorf("ping of %d bytes: other bytes came back", size)
				}
				return nil
			}
		}
	})
}

// datagrams sends UDP datagrams of these sizes from the first tenant to the
// second, and back.
func (s *scene) datagrams(t *testing.T, addresses [2]string, sizes ...int) {
	t.Helper()
	near, far := s.packetConn(t, 0, addresses), s.packetConn(t, 1, addresses)
	buf := make([]byte, 65536)
	for _, size := range sizes {
		data := randomBytes(size)
		if _, err := near.WriteTo(data, far.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		n, from, err := far.ReadFrom(buf)
		if err != nil {
			t.Fatalf("datagram of %d bytes: %v", size, err)
		}
		if _, err := far.WriteTo(buf[:n], from); err != nil {
			t.Fatal(err)
		}
		n, _, err = near.ReadFrom(buf)
		if err != nil {
			t.Fatalf("datagram of %d bytes, way back: %v", size, err)
		}
		if string(buf[:n]) != string(data) {
			t.Fatalf("datagram of %d bytes: other bytes came back", size)
		}
	}
}

// datagramTrain sends many datagrams with one call (UDP_SEGMENT, udp(7)),
// which leave a tenant's stack as one GSO packet.
func (s *scene) datagramTrain(t *testing.T, addresses [2]string) {
	t.Helper()
	const size, count, last = 1000, 20, 123
	near, far := s.packetConn(t, 0, addresses), s.packetConn(t, 1, addresses)
	data := randomBytes(size*count + last)
	control := make([]byte, unix.CmsgSpace(2))
	h := unix.Cmsghdr{Level: unix.SOL_UDP, Type: unix.UDP_SEGMENT}
	h.SetLen(unix.CmsgLen(2))
	binary.NativeEndian.PutUint64(control, h.Len)
	binary.NativeEndian.PutUint32(control[8:], uint32(h.Level))
	binary.NativeEndian.PutUint32(control[12:], uint32(h.Type))
	binary.NativeEndian.PutUint16(control[unix.CmsgLen(0):], size)
	if _, _, err := near.WriteMsgUDP(data, control, far.LocalAddr().(*net.UDPAddr)); err != nil {
		t.Fatalf("send with UDP_SEGMENT: %v", err)
	}
	buf := make([]byte, 65536)
	for len(data) > 0 {
		n, _, err := far.ReadFrom(buf)
		if err != nil {
			t.Fatalf("datagram of a train, %d bytes before the end: %v", len(data), err)
		}
		want := data[:min(size, len(data))]
		if string(buf[:n]) != string(want) {
			t.Fatalf("datagram of a train, %d bytes before the end: %d bytes, not the %d that were sent", len(data), n, len(want))
		}
		data = data[len(want):]
	}
}

// packetConn opens a UDP socket of a tenant.
func (s *scene) packetConn(t *testing.T, tenant int, addresses [2]string) *net.UDPConn {
	t.Helper()
	var conn *net.UDPConn
	s.tenants[tenant].must(t, func() (err error) {
		conn, err = net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(addresses[tenant])})
		return err
	})
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn
}

// direction is that of the bytes; the first tenant always connects.
type direction bool

const (
	forth direction = false
	back  direction = true
)

// connection makes a TCP connection between the tenants, and returns its ends:
// who sends in direction d, and who receives.
func (s *scene) connection(t testing.TB, addresses [2]string, d direction) (from, to net.Conn) {
	t.Helper()
	var listener net.Listener
	if err := s.tenants[1].run(func() (err error) {
		listener, err = net.Listen("tcp", net.JoinHostPort(addresses[1], "0"))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	_ = listener.(*net.TCPListener).SetDeadline(time.Now().Add(patience))
	if err := s.tenants[0].run(func() (err error) {
		from, err = net.DialTimeout("tcp", listener.Addr().String(), patience)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	to, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []net.Conn{from, to} {
		t.Cleanup(func() { _ = c.Close() })
		_ = c.SetDeadline(time.Now().Add(patience))
	}
	if d == back {
		return to, from
	}
	return from, to
}

// transfer sends bytes over TCP and compares their hashes.
func (s *scene) transfer(t testing.TB, addresses [2]string, size int, d direction) {
	t.Helper()
	from, to := s.connection(t, addresses, d)
	sent := make(chan error, 1)
	want := sha256.New()
	go func() {
		source := rand.NewChaCha8([32]byte{byte(size)})
		_, err := io.Copy(io.MultiWriter(from, want), io.LimitReader(source, int64(size)))
		sent <- errors.Join(err, from.(*net.TCPConn).CloseWrite())
	}()
	got := sha256.New()
	n, err := io.Copy(got, to)
	if err := errors.Join(err, <-sent); err != nil {
		t.Fatalf("transfer: after %d bytes: %v", n, err)
	}
	if n != int64(size) || string(got.Sum(nil)) != string(want.Sum(nil)) {
		t.Fatalf("transfer: got %d bytes with hash %x, want %d with %x", n, got.Sum(nil), size, want.Sum(nil))
	}
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(n), byte(n >> 8)}).Read(b)
	return b
}
