package load

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"sttwall/stt"
)

// everyTraffic is each kind of packet with each inner protocol.
func everyTraffic() (list []Traffic) {
	for p := range packets {
		for _, inner := range []Inner{TCP, UDP} {
			list = append(list, Traffic{Packet: Packet(p), Inner: inner, Flows: 40_000})
		}
	}
	return list
}

// made is what the source is to send of a step: the frames, and the marks that they
// are given in turn.
func made(t *testing.T, e *Ends, traffic Traffic, s step, marks []mark) (list [][]byte) {
	t.Helper()
	templates, err := frames(e, traffic, s, [6]byte{2, 0, 0, 0, 0, 1}, [6]byte{2, 0, 0, 0, 0, 2})
	if err != nil {
		t.Fatal(err)
	}
	segments := 1
	if s == stepData {
		segments = packets[traffic.Packet].segments
	}
	for i, m := range marks {
		m.clientLow, m.inner, m.back = e.clientLow(), traffic.Inner, s.back()
		m.outerPartial = traffic.super(s)
		m.innerPartial = s == stepData && traffic.PacketLen() != 150 && traffic.PacketLen() != 1500
		for j := range segments {
			b := bytes.Clone(templates[(i*segments+j)%len(templates)])
			m.write(b)
			list = append(list, b)
		}
	}
	return list
}

// reader puts frames together again, and checks all that can be checked of a packet.
type reader struct {
	ends    Ends
	traffic Traffic
	step    step
	parts   map[uint32]*whole // by frame ID
	done    []*whole
}

// whole is a frame, and what it came in.
type whole struct {
	id       uint32
	port     uint16
	bytes    []byte
	have     int
	offsets  []uint16
	clientAt string // address and port of the client
}

// add takes an Ethernet frame.
func (r *reader) add(b []byte) error {
	var s stt.Segment
	packet := b[etherLen:]
	if why := s.Decode(packet, len(packet), []uint16{r.ends.Port}); why != 0 {
		return fmt.Errorf("segment: %v", why)
	}
	right := s.ChecksumGood(packet)
	if r.traffic.super(r.step) {
		right = s.ChecksumIsPseudo()
	}
	if !right {
		return fmt.Errorf("frame %d: the outer checksum is %#x", s.FrameID, s.Checksum)
	}
	if stt.Checksum(packet[:ipLen]) != 0 || !s.Canonical() {
		return fmt.Errorf("frame %d: not as a sender would write it", s.FrameID)
	}
	from, to := r.ends.Left, r.ends.Right
	if r.step.back() {
		from, to = to, from
	}
	if s.Src != from || s.Dst != to {
		return fmt.Errorf("from %v to %v", s.Src, s.Dst)
	}
	if r.parts == nil {
		r.parts = map[uint32]*whole{}
	}
	f := r.parts[s.FrameID]
	if f == nil {
		f = &whole{id: s.FrameID, port: s.SrcPort, bytes: make([]byte, s.FrameLength)}
		r.parts[s.FrameID] = f
	}
	if f.port != s.SrcPort || len(f.bytes) != int(s.FrameLength) || int(s.Offset)+len(s.Payload) > len(f.bytes) {
		return fmt.Errorf("frame %d: its segments contradict", s.FrameID)
	}
	copy(f.bytes[s.Offset:], s.Payload)
	f.offsets = append(f.offsets, s.Offset)
	if f.have += len(s.Payload); f.have < len(f.bytes) {
		return nil
	}
	delete(r.parts, s.FrameID)
	r.done = append(r.done, f)
	return f.check(r)
}

// check looks into a frame.
func (f *whole) check(r *reader) error {
	var h stt.FrameHeader
	want := stt.FrameHeader{ContextID: r.ends.ContextID}
	if r.step.back() {
		want.ContextID = r.ends.Back
	}
	partial := r.step == stepData && r.traffic.Packet >= Segments45
	if partial {
		if want.L4Offset, want.Flags, want.MSS = 34, 0x0e, 1400; r.traffic.Inner == UDP {
			want.Flags, want.MSS = 0x06, 0
		}
	}
	if !h.Decode(f.bytes) || h != want {
		return fmt.Errorf("frame %d: header %+v", f.id, h)
	}
	p := gopacket.NewPacket(f.bytes[stt.FrameHeaderLen:], layers.LayerTypeEthernet, gopacket.Default)
	ip, ok := p.NetworkLayer().(*layers.IPv4)
	if !ok || stt.Checksum(ip.Contents) != 0 || int(ip.Length) != len(f.bytes)-stt.FrameHeaderLen-etherLen {
		return fmt.Errorf("frame %d: inner IP header %+v", f.id, ip)
	}
	var source, destination uint16
	switch l := p.TransportLayer().(type) {
	case *layers.TCP:
		source, destination = uint16(l.SrcPort), uint16(l.DstPort)
		want := map[step][2]bool{stepSYN: {true, false}, stepSYNACK: {true, true}, stepACK: {false, true}, stepData: {false, true}}[r.step]
		if (l.SYN != want[0]) || l.ACK != want[1] || l.FIN || l.RST {
			return fmt.Errorf("frame %d: flags of step %d: %+v", f.id, r.step, l)
		}
	case *layers.UDP:
		source, destination = uint16(l.SrcPort), uint16(l.DstPort)
	default:
		return fmt.Errorf("frame %d: no transport layer", f.id)
	}
	// The checksum over the pseudo-header and all of it: right if the sum is all ones.
	// A partial one is over the pseudo-header alone.
	src, _ := netip.AddrFromSlice(ip.SrcIP.To4())
	dst, _ := netip.AddrFromSlice(ip.DstIP.To4())
	covered := binary.BigEndian.AppendUint16(bytes.Clone(ip.Payload), 0)[:len(ip.Payload)+len(ip.Payload)%2]
	covered = binary.BigEndian.AppendUint16(covered, stt.PseudoSum(src, dst, uint8(ip.Protocol), len(ip.Payload)))
	if partial {
		covered = binary.BigEndian.AppendUint16(nil, stt.PseudoSum(src, dst, uint8(ip.Protocol), len(ip.Payload)))
		field := 16
		if r.traffic.Inner == UDP {
			field = 6
		}
		covered = binary.BigEndian.AppendUint16(covered, ^binary.BigEndian.Uint16(ip.Payload[field:]))
	}
	if stt.Checksum(covered) != 0 {
		return fmt.Errorf("frame %d: inner checksum", f.id)
	}
	client, server := fmt.Sprintf("%v:%d", src, source), fmt.Sprintf("%v:%d", dst, destination)
	if r.step.back() {
		client, server = server, client
	}
	if want := fmt.Sprintf("%v:%d", r.ends.Server, r.ends.ServerPort); server != want {
		return fmt.Errorf("frame %d: server %s, want %s", f.id, server, want)
	}
	f.clientAt = client
	return nil
}

func TestEachPacketIsRightForItsFrameAndFlow(t *testing.T) {
	e := DefaultEnds()
	e.Back = 0xfedcba9876543210
	marks := []mark{{frame: 0, flow: 0}, {frame: 1, flow: 1}, {frame: 0xffffffff, flow: 16383}, {frame: 0x12345678, flow: 16384}, {frame: 65536, flow: 39_999}, {frame: 7, flow: MaxFlows - 1}}
	for _, traffic := range everyTraffic() {
		for _, s := range append(opening(traffic.Inner), stepData) {
			r := reader{ends: e, traffic: traffic, step: s}
			for _, b := range made(t, &e, traffic, s, marks) {
				if want := etherLen + traffic.PacketLen(); s == stepData && len(b) != want {
					t.Fatalf("%v: %d bytes, want %d", traffic, len(b), want)
				}
				if err := r.add(b); err != nil {
					t.Fatalf("%v, step %d: %v", traffic, s, err)
				}
			}
			if len(r.done) != len(marks) || len(r.parts) != 0 {
				t.Fatalf("%v, step %d: %d frames, want %d", traffic, s, len(r.done), len(marks))
			}
			for i, f := range r.done {
				if want := e.ClientOf(int(marks[i].flow)).String(); f.id != marks[i].frame || f.clientAt != want {
					t.Errorf("%v, step %d: frame %d of %s, want %d of %s", traffic, s, f.id, f.clientAt, marks[i].frame, want)
				}
			}
		}
	}
}

func TestEachPacketHasRoomForATime(t *testing.T) {
	for _, traffic := range everyTraffic() {
		e, now := DefaultEnds(), time.Now().UnixNano()
		r := reader{ends: e, traffic: traffic, step: stepData}
		for _, b := range made(t, &e, traffic, stepData, []mark{{frame: 3, flow: 5}}) {
			at := traffic.stampAt()
			if at == 0 {
				at = len(b) - stampLen
			}
			binary.NativeEndian.PutUint64(b[at:], uint64(now))
			binary.NativeEndian.PutUint64(b[at+stampLen/2:], ^uint64(now))
			if err := r.add(b); err != nil {
				t.Errorf("%v: %v", traffic, err)
			}
		}
	}
}

func TestShuffledSegmentsComeInManyOrders(t *testing.T) {
	e := DefaultEnds()
	orders := map[string]bool{}
	marks := make([]mark, shuffles)
	for i := range marks {
		marks[i].frame = uint32(i)
	}
	for _, packet := range []Packet{Segments45, Shuffled45} {
		r := reader{ends: e, traffic: Traffic{Packet: packet}, step: stepData}
		for _, b := range made(t, &e, r.traffic, stepData, marks) {
			if err := r.add(b); err != nil {
				t.Fatal(err)
			}
		}
		clear(orders)
		for _, f := range r.done {
			orders[fmt.Sprint(f.offsets)] = true
		}
		if want := map[Packet]int{Segments45: 1, Shuffled45: shuffles}[packet]; len(orders) != want {
			t.Errorf("%v: %d orders, want %d", packet, len(orders), want)
		}
	}
}

// finish writes the outer checksum as a network card does where the pseudo-header sum stands
// in its place.
func finish(b []byte) {
	binary.BigEndian.PutUint16(b[atOuterSum:], stt.Checksum(b[atSourcePort:]))
}

func TestTsharkFindsNothingWrongWithThePackets(t *testing.T) {
	var list [][]byte
	e := DefaultEnds()
	for _, traffic := range everyTraffic() {
		for _, s := range append(opening(traffic.Inner), stepData) {
			for _, b := range made(t, &e, traffic, s, []mark{{frame: uint32(1000 + len(list)), flow: 33_333}}) {
				if traffic.super(s) {
					finish(b)
				}
				list = append(list, b)
			}
		}
	}
	judge(t, list, (5*3+5*2)+2*5)
}

// judge has tshark, which we did not write, look for mistakes in Ethernet frames, and for
// so many STT frames of the tenant.
func judge(t *testing.T, list [][]byte, frames int) {
	t.Helper()
	program, err := exec.LookPath("tshark")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("tshark is not installed; CI needs it as the judge of what is sent")
		}
		t.Skip("tshark is not installed; it judges what is sent")
	}
	path := filepath.Join(t.TempDir(), "sent.pcap")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	w := pcapgo.NewWriter(file)
	if err := w.WriteFileHeader(1<<18, layers.LinkTypeEthernet); err != nil {
		t.Fatal(err)
	}
	for _, b := range list {
		if err := w.WritePacket(gopacket.CaptureInfo{CaptureLength: len(b), Length: len(b)}, b); err != nil {
			t.Fatal(err)
		}
	}
	sums := []string{"-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"}
	// As TCP the outer checksums are verified; as STT the inner ones, save for partial
	// ones, which it does not know.
	for _, as := range [][]string{nil, {"-o", "ip.try_heuristic_first:TRUE"}} {
		args := append(append([]string{"-r", path}, sums...), as...)
		out, err := exec.Command(program, append(args, "-Y", "ip.checksum.status == 0 || _ws.malformed || stt.l4offset_bad.expert || stt.mss_bad.expert ||"+
			" !(stt.flags.csum_partial == 1) && (tcp.checksum.status == 0 || udp.checksum.status == 0)")...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if text := complaints(string(out)); text != "" {
			t.Errorf("%v: tshark complains about\n%s", as, text)
		}
	}
	out, err := exec.Command(program, "-r", path, "-o", "ip.try_heuristic_first:TRUE", "-Y", "stt.context_id == 100").CombinedOutput()
	if got := strings.Count(complaints(string(out)), "\n"); err != nil || got != frames {
		t.Errorf("tshark finds %d frames of the tenant, want %d: %v", got, frames, err)
	}
}

// complaints leaves out what tshark says about being root.
func complaints(out string) string {
	_, rest, found := strings.Cut(out, "This could be dangerous.\n")
	if !found {
		return out
	}
	return rest
}
