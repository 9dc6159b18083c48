package capture

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// FuzzReader reads arbitrary files. Whatever a file says, each packet is
// inside its bounds, its parts make up the whole, and what was read can be
// written and comes back the same.
func FuzzReader(f *testing.F) {
	files, err := filepath.Glob("testdata/*.pcap*")
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(zipped(f, b))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		r, err := NewReader("fuzz", bytes.NewReader(file))
		if err != nil {
			return
		}
		var records []Record
		var p Packet
		total := 0
		for number := 1; ; number++ {
			if err := r.Next(&p); err != nil {
				if again := r.Next(&p); again != err {
					t.Fatalf("%v, then %v", err, again)
				}
				break
			}
			if p.Number != number || len(p.Data) > MaxPacketLen || len(p.Data) > p.WireLen || p.Time < 0 {
				t.Fatalf("packet %d: number %d, %d of %d bytes at %d", number, p.Number, len(p.Data), p.WireLen, p.Time)
			}
			if p.IP && (p.HeaderLen > len(p.Data) || len(p.Header())+len(p.IPPacket()) != len(p.Data)) {
				t.Fatalf("packet %d: parts of %d and %d bytes of %d", number, len(p.Header()), len(p.IPPacket()), len(p.Data))
			}
			if total += len(p.Data); total > 1<<22 {
				break // a bomb of gzip; the rest is the same
			}
			records = append(records, Record{
				Time: p.Time, Link: p.Link, Header: bytes.Clone(p.Header()), Packet: bytes.Clone(p.Data[len(p.Header()):]),
				Missing: p.WireLen - len(p.Data), Comment: string(p.Comment),
			})
		}
		again, err := NewReader("again", bytes.NewReader(write(t, records)))
		if err != nil {
			t.Fatal(err)
		}
		for i := range records {
			if err := again.Next(&p); err != nil {
				t.Fatal(err)
			}
			want := &records[i]
			if p.Time != want.Time || p.Link != want.Link || string(p.Comment) != want.Comment ||
				len(p.Data)+want.Missing != p.WireLen || !bytes.Equal(p.Data, append(want.Header, want.Packet...)) {
				t.Fatalf("packet %d came back as another one", i+1)
			}
		}
		if err := again.Next(&p); err != io.EOF {
			t.Fatalf("behind the last packet: got %v, want EOF", err)
		}
	})
}
