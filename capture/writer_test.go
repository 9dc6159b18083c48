package capture

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket/pcapgo"
)

func TestWhatIsWrittenIsReadBack(t *testing.T) {
	records := []Record{
		{Time: 1795433121279759001, Link: LinkEthernet, Header: []byte("0123456789ab\x08\x00"), Packet: []byte("\x45 odd"), Comment: "rule_drop"},
		{Time: 1, Link: LinkLinuxSLL2, Header: append([]byte{0x86, 0xdd}, make([]byte, 18)...), Packet: []byte("\x60"), Missing: 70000},
		{Time: 2, Link: LinkEthernet, Packet: make([]byte, MaxPacketLen)},
		{Time: 3, Link: LinkRaw, Comment: strings.Repeat("long ", 20000)},
	}
	file := write(t, records)

	r, err := NewReader("written", bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	for i := range records {
		want := &records[i]
		var p Packet
		if err := r.Next(&p); err != nil {
			t.Fatal(err)
		}
		data := append(bytes.Clone(want.Header), want.Packet...)
		if !bytes.Equal(p.Data, data) || p.Time != want.Time || p.Link != want.Link || p.WireLen != len(data)+want.Missing {
			t.Errorf("packet %d: got time %d, %v, %d of %d bytes; want %d, %v, %d of %d", i,
				p.Time, p.Link, len(p.Data), p.WireLen, want.Time, want.Link, len(data), len(data)+want.Missing)
		}
		if got, want := string(p.Comment), want.Comment[:min(len(want.Comment), 65535)]; got != want {
			t.Errorf("packet %d: comment of %d bytes, want %d", i, len(got), len(want))
		}
	}
	if err := r.Next(&Packet{}); err != io.EOF {
		t.Errorf("behind the last packet: got %v, want EOF", err)
	}
}

// TestRandomFilesAgreeWithGopacket reads what is written here with the
// reader of another author.
func TestRandomFilesAgreeWithGopacket(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	links := []LinkType{LinkNull, LinkEthernet, LinkRaw, LinkLinuxSLL}
	for range 200 {
		var records []Record
		for range 1 + random.IntN(8) {
			r := Record{
				Time: random.Int64N(1 << 62), Link: links[random.IntN(len(links))], Missing: random.IntN(3),
				Header: make([]byte, random.IntN(20)), Packet: make([]byte, random.IntN(3000)),
				Comment: strings.Repeat("c", random.IntN(9)),
			}
			for i := range r.Packet {
				r.Packet[i] = byte(random.Uint32())
			}
			records = append(records, r)
		}
		file := write(t, records)
		theirs, err := pcapgo.NewNgReader(bytes.NewReader(file), pcapgo.NgReaderOptions{WantMixedLinkType: true})
		if err != nil {
			t.Fatal(err)
		}
		ours, err := NewReader("ours", bytes.NewReader(file))
		if err != nil {
			t.Fatal(err)
		}
		for i := range records {
			data, info, err := theirs.ReadPacketData()
			if err != nil {
				t.Fatalf("gopacket, packet %d: %v", i, err)
			}
			var p Packet
			if err := ours.Next(&p); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(p.Data, data) || p.Time != info.Timestamp.UnixNano() || p.WireLen != info.Length {
				t.Fatalf("packet %d: got time %d, %d of %d bytes; gopacket has %d, %d of %d", i,
					p.Time, len(p.Data), p.WireLen, info.Timestamp.UnixNano(), len(data), info.Length)
			}
		}
	}
}

func TestTsharkReadsWhatIsWritten(t *testing.T) {
	tshark, err := exec.LookPath("tshark")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("tshark is not installed; CI needs it")
		}
		t.Skip("tshark is not installed")
	}
	path := filepath.Join(t.TempDir(), "out.pcapng")
	file := write(t, []Record{
		{Time: 1795433121279759001, Link: LinkEthernet, Header: make([]byte, 14), Packet: []byte("abc"), Comment: "dropped: rule_drop"},
		{Time: 1795433121279759002, Link: LinkLinuxSLL2, Header: make([]byte, 20), Missing: 3},
	})
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(tshark, "-r", path, "-T", "fields", "-E", "separator=|",
		"-e", "frame.time_epoch", "-e", "frame.encap_type", "-e", "frame.cap_len", "-e", "frame.len", "-e", "frame.comment").Output()
	if err != nil {
		t.Fatal(err)
	}
	want := "1795433121.279759001|1|17|17|dropped: rule_drop\n1795433121.279759002|210|20|23|\n"
	if diff := cmp.Diff(want, string(out)); diff != "" {
		t.Errorf("tshark (-want +got):\n%s", diff)
	}
}

func TestWhatNoFileHoldsIsRefused(t *testing.T) {
	w, err := NewWriter(io.Discard, "test")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		record Record
		want   string
	}{
		{Record{Packet: make([]byte, MaxPacketLen+1)}, "packet of 262145 bytes: more than 262144"},
		{Record{Time: -1}, "packet time -1: before 1970"},
	} {
		if err := w.Write(&test.record); err == nil || err.Error() != test.want {
			t.Errorf("got %v, want %s", err, test.want)
		}
	}
}

type full struct{}

var errFull = errors.New("no space left on device")

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestAFullDiskIsReported(t *testing.T) {
	w, err := NewWriter(full{}, "test")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(&Record{Link: LinkRaw}); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); !errors.Is(err, errFull) {
		t.Errorf("got %v, want %v", err, errFull)
	}
}

func BenchmarkRead(b *testing.B) {
	var records []Record
	for range 1000 {
		records = append(records, Record{Link: LinkEthernet, Header: []byte("0123456789ab\x08\x00"), Packet: make([]byte, 1486)})
	}
	file := write(b, records)
	b.Run("frame=1500", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(1500)
		var p Packet
		var r *Reader
		for i := range b.N {
			if i%len(records) == 0 {
				var err error
				if r, err = NewReader("bench", bytes.NewReader(file)); err != nil {
					b.Fatal(err)
				}
			}
			if err := r.Next(&p); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func write(t testing.TB, records []Record) []byte {
	t.Helper()
	var file bytes.Buffer
	w, err := NewWriter(&file, "test")
	if err != nil {
		t.Fatal(err)
	}
	for i := range records {
		if err := w.Write(&records[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}
