package nfq

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/mdlayher/netlink"

	"sttwall/firewall"
)

// packetMessage is an NFQNL_MSG_PACKET of the test queue with these attributes.
func packetMessage(t testing.TB, attributes ...netlink.Attribute) []byte {
	t.Helper()
	data, err := netlink.MarshalAttributes(attributes)
	must(t, err)
	start := appendHeader(nil, msgPacket, 0, testQueue)
	return endMessage(append(start, data...), 0)
}

func be32(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }

func TestPacketOfANetlinkMessage(t *testing.T) {
	id := netlink.Attribute{Type: attrPacketHeader, Data: []byte{0, 0, 0, 7, 8, 0, 0}}
	sentHere := netlink.Attribute{Type: attrPacketHeader, Data: []byte{0, 0, 0, 7, 8, 0, 3}}
	data := netlink.Attribute{Type: attrPayload, Data: []byte("abc")}
	info := func(v uint32) netlink.Attribute { return netlink.Attribute{Type: attrSKBInfo, Data: be32(v)} }
	for _, c := range []struct {
		name      string
		message   []byte
		want      firewall.Packet
		known, ok bool
	}{
		{"a whole packet", packetMessage(t, id, data), firewall.Packet{ID: 7, Data: []byte("abc"), Length: 3, Checksum: firewall.ChecksumGood}, true, true},
		{"attributes in another order, and others", packetMessage(t, data, info(4), netlink.Attribute{Type: 9, Data: make([]byte, 12)}, id),
			firewall.Packet{ID: 7, Data: []byte("abc"), Length: 3}, true, true},
		{"a cut one, with its device", packetMessage(t, id, data, netlink.Attribute{Type: attrCapLen, Data: be32(1500)}, netlink.Attribute{Type: attrInDevice, Data: be32(3)}, info(4)),
			firewall.Packet{ID: 7, Data: []byte("abc"), Length: 1500, More: true, Device: 3}, true, true},
		{"one longer than an attribute", packetMessage(t, id, netlink.Attribute{Type: attrPayload, Data: make([]byte, MaxPayload)}, netlink.Attribute{Type: attrCapLen, Data: be32(65535)}),
			firewall.Packet{ID: 7, Data: make([]byte, MaxPayload), Length: 65535, Checksum: firewall.ChecksumGood}, true, true},
		{"a super-segment", packetMessage(t, id, data, info(3)), firewall.Packet{ID: 7, Data: []byte("abc"), Length: 3, Checksum: firewall.ChecksumPartial, GSO: true}, true, true},
		{"sent by this host, of which the kernel does not say whether it has looked", packetMessage(t, sentHere, data),
			firewall.Packet{ID: 7, Data: []byte("abc"), Length: 3}, true, true},
		{"sent by this host, its checksum for a device to finish", packetMessage(t, sentHere, data, info(1)),
			firewall.Packet{ID: 7, Data: []byte("abc"), Length: 3, Checksum: firewall.ChecksumPartial}, true, true},
		{"an empty packet", packetMessage(t, id, netlink.Attribute{Type: attrPayload}), firewall.Packet{ID: 7, Checksum: firewall.ChecksumGood}, true, true},
		{"a length below what was copied", packetMessage(t, id, data, netlink.Attribute{Type: attrCapLen, Data: be32(2)}), firewall.Packet{ID: 7, Data: []byte("abc"), Length: 3, Checksum: firewall.ChecksumGood}, true, true},
		{"without an ID", packetMessage(t, data), firewall.Packet{}, false, false},
		{"with a short ID", packetMessage(t, data, netlink.Attribute{Type: attrPacketHeader, Data: []byte{1, 2, 3}}), firewall.Packet{}, false, false},
		{"without a packet", packetMessage(t, id), firewall.Packet{ID: 7}, true, false},
		{"with half of its info", packetMessage(t, id, data, netlink.Attribute{Type: attrSKBInfo, Data: []byte{0, 0}}), firewall.Packet{ID: 7}, true, false},
		{"an attribute longer than the message", append(packetMessage(t, id), 100, 0, 10, 0), firewall.Packet{ID: 7}, true, false},
		{"an attribute shorter than its header", append(packetMessage(t, id), 3, 0, 10, 0), firewall.Packet{ID: 7}, true, false},
		{"of another queue", func() []byte { m := packetMessage(t, id, data); m[18]++; return m }(), firewall.Packet{}, false, false},
		{"without a netfilter header", make([]byte, netlinkHeaderLen), firewall.Packet{}, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			binary.NativeEndian.PutUint32(c.message, uint32(len(c.message)))
			m, rest, ok := nextMessage(c.message)
			if !ok || len(rest) != 0 {
				t.Fatalf("got %v, %d bytes behind it", ok, len(rest))
			}
			p := firewall.Packet{ID: 99, GSO: true} // all of it is overwritten
			known, ok := m.packet(testQueue, &p)
			if known != c.known || ok != c.ok || known && p.ID != c.want.ID {
				t.Fatalf("got %v, %v, ID %d, want %v, %v, %d", known, ok, p.ID, c.known, c.ok, c.want.ID)
			}
			if len(p.Data) == 0 {
				p.Data = nil
			}
			if diff := cmp.Diff(p, c.want); ok && diff != "" {
				t.Errorf("packet (-got +want):\n%s", diff)
			}
		})
	}
}

// FuzzMessages: whatever a datagram holds, each byte is read once at most, no
// packet is longer in memory than on the wire, and what a packet says is what
// another library reads in the same message.
func FuzzMessages(f *testing.F) {
	id := netlink.Attribute{Type: attrPacketHeader, Data: []byte{0, 0, 0, 7, 8, 0, 0}}
	packet := packetMessage(f, id, netlink.Attribute{Type: attrSKBInfo, Data: be32(3)}, netlink.Attribute{Type: attrCapLen, Data: be32(70000)},
		netlink.Attribute{Type: attrInDevice, Data: be32(2)}, netlink.Attribute{Type: attrPayload, Data: outer{}.bytes()})
	f.Add(packet)
	f.Add(append(bytes.Clone(packet), packet...))
	f.Add(packet[:len(packet)-9])
	f.Add(endMessage(append(appendHeader(nil, msgError, 0, 0), 1, 2, 3, 4), 0))
	f.Fuzz(func(t *testing.T, datagram []byte) {
		left := len(datagram)
		for rest := datagram; len(rest) > 0; {
			m, behind, ok := nextMessage(rest)
			if !ok {
				break
			}
			if len(behind) > len(rest)-netlinkHeaderLen || len(behind)+len(m.body)+netlinkHeaderLen > left {
				t.Fatalf("%d bytes behind a message with a body of %d, in %d", len(behind), len(m.body), left)
			}
			rest, left = behind, len(behind)
			if errno, ok := m.errno(); ok != (len(m.body) >= 4) || ok && errno != -binary.NativeEndian.Uint32(m.body) {
				t.Fatalf("got error number %d, %v", errno, ok)
			}
			var p firewall.Packet
			known, ok := m.packet(testQueue, &p)
			if ok && !known || ok && p.Length < len(p.Data) {
				t.Fatalf("got %v, %v, %d bytes of %d", known, ok, len(p.Data), p.Length)
			}
			if ok {
				agrees(t, &m, &p)
			}
		}
	})
}

// agrees reads the message with mdlayher/netlink, where that can.
func agrees(t *testing.T, m *message, p *firewall.Packet) {
	t.Helper()
	d, err := netlink.NewAttributeDecoder(m.body[netfilterHeaderLen:])
	if err != nil {
		return // stricter than we are
	}
	d.ByteOrder = binary.BigEndian
	var id, device, info, length uint32
	var data []byte
	sentHere := false
	word := func(b []byte) uint32 { // of attributes that are longer, the beginning
		if len(b) < 4 {
			return 0
		}
		return binary.BigEndian.Uint32(b)
	}
	for d.Next() {
		switch d.Type() {
		case attrPacketHeader:
			id = word(d.Bytes())
			sentHere = len(d.Bytes()) > 6 && d.Bytes()[6] == 3 // NF_INET_LOCAL_OUT
		case attrInDevice:
			device = word(d.Bytes())
		case attrCapLen:
			length = word(d.Bytes())
		case attrSKBInfo:
			info = word(d.Bytes())
		case attrPayload:
			data = d.Bytes()
		}
	}
	if d.Err() != nil {
		return
	}
	if sentHere && info&1 == 0 {
		info |= 4
	}
	if uint64(id) != p.ID || int(device) != p.Device || !bytes.Equal(data, p.Data) || p.Length != max(len(data), int(length)) ||
		p.GSO != (info&2 != 0) || p.Checksum != checksumState(info) {
		t.Fatalf("got %+v, the library ID %d, device %d, length %d, info %d, %d bytes", p, id, device, length, info, len(data))
	}
}

func TestMessagesAreReadWithoutAllocation(t *testing.T) {
	datagram := packetMessage(t, netlink.Attribute{Type: attrPacketHeader, Data: []byte{0, 0, 0, 7, 8, 0, 0}}, netlink.Attribute{Type: attrPayload, Data: outer{}.bytes()})
	var p firewall.Packet
	if got := testing.AllocsPerRun(100, func() {
		m, _, ok := nextMessage(datagram)
		if _, good := m.packet(testQueue, &p); !ok || !good {
			t.Fatal("it cannot be read")
		}
	}); got != 0 {
		t.Errorf("got %v allocations, want 0", got)
	}
}
