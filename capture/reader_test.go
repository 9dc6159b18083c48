package capture

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

// seen is what tests compare of a packet.
type seen struct {
	Time    string
	Link    string
	Header  int
	Tags    []uint16
	IP      bool
	Len     int
	WireLen int
	Comment string
}

func look(p *Packet) seen {
	s := seen{
		Time: time.Unix(0, p.Time).UTC().Format("15:04:05.000000000"), Link: p.Link.String(),
		Header: len(p.Header()), IP: p.IP, Len: len(p.Data), WireLen: p.WireLen, Comment: string(p.Comment),
	}
	s.Tags = append(s.Tags, p.Tags...)
	return s
}

// readAll returns what a capture holds, and the error behind it, nil for the end.
func readAll(r *Reader) ([]seen, error) {
	var all []seen
	var p Packet
	for {
		switch err := r.Next(&p); err {
		case nil:
			all = append(all, look(&p))
		case io.EOF:
			return all, nil
		default:
			return all, err
		}
	}
}

func TestFilesOfOtherProgramsAreRead(t *testing.T) {
	for _, test := range []struct {
		file string
		want []seen
	}{
		{"editcap-ethernet.pcapng", []seen{
			{Time: "11:25:21.279759000", Link: "ETHERNET", Header: 18, Tags: []uint16{0}, IP: true, Len: 146, WireLen: 146},
			{Time: "11:25:21.885825000", Link: "ETHERNET", Header: 14, IP: true, Len: 1514, WireLen: 1514},
		}},
		{"editcap-nanoseconds.pcap", []seen{
			{Time: "11:25:21.279759000", Link: "ETHERNET", Header: 18, Tags: []uint16{0}, IP: true, Len: 146, WireLen: 146},
		}},
		{"editcap-comment.pcapng", []seen{
			{Time: "11:25:11.039201000", Link: "ETHERNET", Header: 14, IP: true, Len: 70, WireLen: 70},
			{Time: "11:25:11.152016000", Link: "ETHERNET", Header: 14, IP: true, Len: 114, WireLen: 114, Comment: "kept by hand"},
			{Time: "11:25:11.157065000", Link: "ETHERNET", Header: 14, IP: true, Len: 114, WireLen: 114},
		}},
		{"tcpdump-sll.pcap", []seen{
			{Time: "21:08:56.432078000", Link: "LINUX_SLL", Header: 16, IP: true, Len: 47, WireLen: 47},
			{Time: "21:08:56.433092000", Link: "LINUX_SLL", Header: 16, IP: true, Len: 75, WireLen: 75},
			{Time: "21:08:56.433278000", Link: "LINUX_SLL", Header: 16, IP: true, Len: 67, WireLen: 67},
			{Time: "21:08:56.433294000", Link: "LINUX_SLL", Header: 16, IP: true, Len: 115, WireLen: 115},
		}},
		{"tcpdump-sll2.pcap", []seen{
			{Time: "21:08:58.447757000", Link: "LINUX_SLL2", Header: 20, IP: true, Len: 51, WireLen: 51},
			{Time: "21:08:58.447769000", Link: "LINUX_SLL2", Header: 20, IP: true, Len: 79, WireLen: 79},
			{Time: "21:08:58.447993000", Link: "LINUX_SLL2", Header: 20, IP: true, Len: 71, WireLen: 71},
			{Time: "21:08:58.448009000", Link: "LINUX_SLL2", Header: 20, IP: true, Len: 119, WireLen: 119},
		}},
	} {
		t.Run(test.file, func(t *testing.T) {
			r, err := Open(filepath.Join("testdata", test.file), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			got, err := readAll(r)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("packets (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEveryFormIsReadLikeThePlainFile(t *testing.T) {
	plain := readFile(t, "editcap-ethernet.pcapng")
	r, err := NewReader("plain", bytes.NewReader(plain))
	if err != nil {
		t.Fatal(err)
	}
	want, err := readAll(r)
	if err != nil {
		t.Fatal(err)
	}
	for name, open := range map[string]func() (*Reader, error){
		"gzip":  func() (*Reader, error) { return NewReader("gzip", bytes.NewReader(zipped(t, plain))) },
		"stdin": func() (*Reader, error) { return Open("-", bytes.NewReader(plain)) },
		"stdin, gzip, one byte at a time": func() (*Reader, error) {
			return Open("-", &trickle{b: zipped(t, plain)})
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := open()
			if err != nil {
				t.Fatal(err)
			}
			got, err := readAll(r)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("packets (-plain +%s):\n%s", name, diff)
			}
		})
	}
}

// TestClassicFilesOfEveryByteOrderAreRead has gopacket write, so that the
// oracle is not ours.
func TestClassicFilesOfEveryByteOrderAreRead(t *testing.T) {
	when := time.Date(2026, 11, 23, 12, 0, 0, 123456789, time.UTC)
	packet := append(make([]byte, 12), 0x08, 0x00, 0x45)
	for _, test := range []struct {
		name string
		make func(io.Writer) *pcapgo.Writer
		swap bool
		want int64
	}{
		{"microseconds", pcapgo.NewWriter, false, when.Truncate(time.Microsecond).UnixNano()},
		{"nanoseconds", pcapgo.NewWriterNanos, false, when.UnixNano()},
		{"microseconds of a big-endian machine", pcapgo.NewWriter, true, when.Truncate(time.Microsecond).UnixNano()},
		{"nanoseconds of a big-endian machine", pcapgo.NewWriterNanos, true, when.UnixNano()},
	} {
		t.Run(test.name, func(t *testing.T) {
			var file bytes.Buffer
			w := test.make(&file)
			if err := w.WriteFileHeader(64, layers.LinkTypeEthernet); err != nil {
				t.Fatal(err)
			}
			info := gopacket.CaptureInfo{Timestamp: when, CaptureLength: len(packet), Length: 1000}
			if err := w.WritePacket(info, packet); err != nil {
				t.Fatal(err)
			}
			b := file.Bytes()
			if test.swap {
				swap32(b[:4])
				swap16(b[4:8])
				swap32(b[8:40])
			}
			r, err := NewReader("made", bytes.NewReader(b))
			if err != nil {
				t.Fatal(err)
			}
			var p Packet
			if err := r.Next(&p); err != nil {
				t.Fatal(err)
			}
			if p.Time != test.want || p.WireLen != 1000 || !bytes.Equal(p.Data, packet) || !p.Cut() || p.IPLength() != 986 {
				t.Errorf("got time %d, %d bytes of %d; want %d, %d of 1000", p.Time, len(p.Data), p.WireLen, test.want, len(packet))
			}
			if err := r.Next(&p); err != io.EOF {
				t.Errorf("behind the last packet: got %v, want EOF", err)
			}
		})
	}
}

// TestADamagedFileYieldsWhatCameBefore cuts and bends the two formats.
func TestADamagedFileYieldsWhatCameBefore(t *testing.T) {
	classic := readFile(t, "tcpdump-sll.pcap") // packets at 24, 87, 178, 261
	ng := readFile(t, "editcap-ethernet.pcapng")
	last := bytes.LastIndex(ng, []byte{6, 0, 0, 0, 0x0c, 6, 0, 0}) // the second packet's block
	if last < 0 {
		t.Fatal("the pcapng file is not what it was")
	}
	for _, test := range []struct {
		name  string
		file  []byte
		count int
		want  string
		isCut bool
	}{
		{"cut inside a packet's bytes", classic[:len(classic)-1], 3, "f: packet 4: the file ends inside a packet's bytes: unexpected EOF", true},
		{"cut right behind a packet's header", classic[:24+16], 0, "f: packet 1: the file ends inside a packet's bytes: unexpected EOF", true},
		{"cut inside a packet's header", classic[:24+5], 0, "f: packet 1: the file ends inside a packet's header: unexpected EOF", true},
		{"cut inside the file header", classic[:20], 0, "f: the file ends inside the file header: unexpected EOF", true},
		{"cut inside gzip", zippedAndCut(t, classic), 0, "f: packet 1: the file ends inside a packet's header: unexpected EOF", true},
		{"a packet of 4 GiB", bend(classic, 24+8, 0xff, 0xff, 0xff, 0xff), 0, "f: packet 1: claims 4294967295 captured bytes; more than 262144 is damage", false},
		{"more captured than there was", bend(classic, 24+8, 48), 0, "f: packet 1: claims 48 captured of 47 bytes", false},
		{"an unknown version", bend(classic, 4, 3), 0, "f: pcap version 3.4; 2.4 is known", false},
		{"an old version", bend(classic, 6, 3), 0, "f: pcap version 2.3; 2.4 is known", false},
		{"empty", nil, 0, "f: empty: not even a file header", false},
		{"three bytes", classic[:3], 0, "f: neither pcap nor pcapng, nor gzip of one", false},
		{"a text", []byte("tenant {}"), 0, "f: neither pcap nor pcapng, nor gzip of one: it starts with 0x74656e61", false},
		{"gzip of a text", zipped(t, []byte("tenant {}")), 0, "f: neither pcap nor pcapng, nor gzip of one: it starts with 0x74656e61", false},
		{"gzip of gzip", zipped(t, zipped(t, classic)), 0, "f: neither pcap nor pcapng, nor gzip of one: it starts with 0x1f8b0800", false},
		{"broken gzip", []byte{0x1f, 0x8b, 0xff, 0xff, 0, 0, 0, 0, 0, 0}, 0, "f: gzip: gzip: invalid header", false},

		{"pcapng cut inside a packet", ng[:len(ng)-1], 1, "f: packet 2: the file ends inside a block: unexpected EOF", true},
		{"pcapng cut inside a block's header", ng[:last+6], 1, "f: packet 2: the file ends inside a block's header: unexpected EOF", true},
		{"pcapng cut inside the section header", ng[:10], 0, "f: the file ends inside a section header: unexpected EOF", true},
		{"pcapng without a byte order", bend(ng, 8, 0), 0, "f: section header with byte-order magic 0x003c2b1a", false},
		{"pcapng of version 2", bend(ng, 12, 2), 0, "f: pcapng version 2.0; 1 is known", false},
		{"a block that is too short", bend(ng, last+4, 8, 0), 1, "f: packet 2: block type 6 claims an impossible length of 8 bytes", false},
		{"a block of an odd length", bend(ng, last+4, 0x0d), 1, "f: packet 2: block type 6 claims an impossible length of 1549 bytes", false},
		{"a block of 2 GiB", bend(ng, last+7, 0x7f), 1, "f: packet 2: block type 6 claims 2130707980 bytes; more than 1048576 is damage", false},
		{"a block whose lengths differ", bend(ng, len(ng)-4, 0x08), 1, "f: packet 2: block type 6: length 1548 in front, 1544 behind", false},
		{"a packet longer than its block", bend(ng, last+8+12, 0xff, 0xff), 1, "f: packet 2: claims 65535 captured of 1514 bytes", false},
		{"a packet longer than its block and as long on the wire", bend(ng, last+8+12, 0xff, 0xff, 0, 0, 0xff, 0xff), 1, "f: packet 2: claims 65535 captured bytes in a block of 1548", false},
		{"a packet on no interface", bend(ng, last+8, 7), 1, "f: packet 2: on interface 7 of 1", false},
		{"a time that does not fit", bend(ng, last+8+4, 0xff, 0xff, 0xff, 0xff), 1, "f: packet 2: time of 184467440", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []seen
			r, err := NewReader("f", bytes.NewReader(test.file))
			if err == nil {
				got, err = readAll(r)
			}
			if err == nil || !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("error: got %q, want %q", err, test.want)
			}
			if len(got) != test.count {
				t.Errorf("packets in front of the damage: got %d, want %d", len(got), test.count)
			}
			if errors.Is(err, io.ErrUnexpectedEOF) != test.isCut {
				t.Errorf("%v is an unexpected EOF: got %t, want %t", err, !test.isCut, test.isCut)
			}
			var damage *Error
			if !errors.As(err, &damage) || damage.File != "f" {
				t.Errorf("got %T, want an *Error", err)
			}
			if r != nil {
				var p Packet
				if again := r.Next(&p); again != err {
					t.Errorf("the next call: got %v, want the same error", again)
				}
			}
		})
	}
}

func TestAFileThatIsNotThereIsNamed(t *testing.T) {
	_, err := Open(filepath.Join(t.TempDir(), "none.pcap"), nil)
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "none.pcap") {
		t.Errorf("got %v, want one that names the file", err)
	}
}

// panicking stands for a library that meets bytes it did not expect.
type panicking struct{}

func (panicking) next(*Packet) error { panic("index out of range") }

func TestAPanicOfALibraryIsAnError(t *testing.T) {
	r := &Reader{name: "f", src: panicking{}}
	var p Packet
	got := r.Next(&p)
	if want := "f: packet 1: unreadable: index out of range"; got == nil || got.Error() != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func zipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// zippedAndCut cuts a stream that was flushed behind the file header.
func zippedAndCut(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b[:24]); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// bend returns b with other bytes from at on.
func bend(b []byte, at int, with ...byte) []byte {
	b = bytes.Clone(b)
	copy(b[at:], with)
	return b
}

func swap16(b []byte) {
	for ; len(b) >= 2; b = b[2:] {
		b[0], b[1] = b[1], b[0]
	}
}

func swap32(b []byte) {
	for ; len(b) >= 4; b = b[4:] {
		b[0], b[1], b[2], b[3] = b[3], b[2], b[1], b[0]
	}
}

// trickle is a pipe that gives one byte at a time.
type trickle struct{ b []byte }

func (r *trickle) Read(p []byte) (int, error) {
	if len(r.b) == 0 {
		return 0, io.EOF
	}
	p[0] = r.b[0]
	r.b = r.b[1:]
	return 1, nil
}
