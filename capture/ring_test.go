package capture

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// packetsIn returns the first byte of each packet of a capture.
func packetsIn(t *testing.T, path string) (first []byte) {
	t.Helper()
	file, err := Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for {
		var p Packet
		if err := file.Next(&p); errors.Is(err, io.EOF) {
			return first
		} else if err != nil {
			t.Fatal(err)
		}
		first = append(first, p.Data[0])
	}
}

func ringOf(t *testing.T, c RingConfig) *Ring {
	t.Helper()
	c.Link, c.Application = LinkEthernet, "test"
	r, err := OpenRing(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func writeRing(r *Ring, n byte) error {
	return r.Write(&Record{Time: 1, Link: LinkEthernet, Packet: append([]byte{n}, make([]byte, 99)...), Comment: "verdict=drop"})
}

func TestARingKeepsTheNewestPackets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "drops.pcapng")
	r := ringOf(t, RingConfig{Path: path, Files: 3, Size: 1000})
	for n := range byte(60) {
		if err := writeRing(r, n); err != nil {
			t.Fatal(err)
		}
	}
	var all []byte
	for _, name := range []string{path + ".2", path + ".1", path} {
		if info, err := os.Stat(name); err != nil || info.Size() > 1000 || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
		all = append(all, packetsIn(t, name)...)
	}
	if _, err := os.Stat(path + ".3"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is a fourth: %v", err)
	}
	for i := range all {
		if want := byte(60 - len(all) + i); all[i] != want {
			t.Fatalf("packet %d is %d, want %d", i, all[i], want)
		}
	}
	if len(all) < 10 {
		t.Errorf("%d packets are there", len(all))
	}
}

func TestARingKeepsWhatAnEarlierOneHasWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "drops.pcapng")
	for n := range byte(3) {
		r := ringOf(t, RingConfig{Path: path, Files: 2, Size: 1000})
		if err := writeRing(r, n); err != nil {
			t.Fatal(err)
		}
		r.Close()
	}
	if now, before := packetsIn(t, path), packetsIn(t, path+".1"); !bytes.Equal(now, []byte{2}) || !bytes.Equal(before, []byte{1}) {
		t.Errorf("got %d and before %d", now, before)
	}
}

func TestAPacketThatIsLargerThanAFileIsWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "drops.pcapng")
	r := ringOf(t, RingConfig{Path: path, Files: 2, Size: 10})
	for n := range byte(3) {
		if err := writeRing(r, n); err != nil {
			t.Fatal(err)
		}
	}
	if got := packetsIn(t, path); !bytes.Equal(got, []byte{2}) {
		t.Errorf("got %d", got)
	}
}

// What a full disk does not take is not there in part, and when there is room again it
// goes on.
func TestAFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "drops.pcapng")
	r := ringOf(t, RingConfig{Path: path, Files: 2, Size: 1 << 20})
	if err := writeRing(r, 1); err != nil {
		t.Fatal(err)
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	real := r.file
	r.file = full
	if err := writeRing(r, 2); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("got %v", err)
	}
	r.file = real
	full.Close()
	if err := writeRing(r, 3); err != nil {
		t.Fatal(err)
	}
	if got := packetsIn(t, path); !bytes.Equal(got, []byte{1, 3}) {
		t.Errorf("got %d", got)
	}
}

func TestARingThatCannotBe(t *testing.T) {
	dir := t.TempDir()
	for i, c := range []RingConfig{
		{}, {Path: dir + "/x", Size: 1}, {Path: dir + "/x", Files: 1001, Size: 1}, {Path: dir + "/x", Files: 1}, {Path: dir + "/none/x", Files: 1, Size: 1},
	} {
		if r, err := OpenRing(c); err == nil {
			r.Close()
			t.Errorf("%d: %+v is taken", i, c)
		}
	}
	r := ringOf(t, RingConfig{Path: dir + "/x", Files: 1, Size: 1000})
	if err := r.Write(&Record{Link: LinkRaw}); err == nil {
		t.Error("a packet of another link type is taken")
	}
}

// What cannot be moved away is not written over: no more is written then.
func TestARingThatCannotTurnKeepsWhatItHas(t *testing.T) {
	path := filepath.Join(t.TempDir(), "drops.pcapng")
	r := ringOf(t, RingConfig{Path: path, Files: 2, Size: 1000})
	in := filepath.Join(path+".1", "in")
	if err := os.MkdirAll(in, 0o700); err != nil {
		t.Fatal(err)
	}
	wrote := 0
	for n := range byte(40) {
		if writeRing(r, n) == nil {
			wrote++
		}
	}
	got := packetsIn(t, path)
	if len(got) != wrote || wrote == 0 || wrote == 40 || got[0] != 0 {
		t.Errorf("of %d that were written there are %d", wrote, got)
	}
	if err := os.RemoveAll(path + ".1"); err != nil {
		t.Fatal(err)
	}
	if err := writeRing(r, 40); err != nil {
		t.Error(err)
	}
	if now, before := packetsIn(t, path), packetsIn(t, path+".1"); !bytes.Equal(now, []byte{40}) || !bytes.Equal(before, got) {
		t.Errorf("got %d and before %d", now, before)
	}
}

// What is no file of a ring is not moved away, nor waited for.
func TestARingMovesFilesAlone(t *testing.T) {
	dir := t.TempDir()
	folder, pipe, link := filepath.Join(dir, "folder"), filepath.Join(dir, "pipe"), filepath.Join(dir, "link")
	if err := errors.Join(os.Mkdir(folder, 0o700), unix.Mkfifo(pipe, 0o600), os.Symlink(folder, link)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{folder, pipe, link} {
		for _, files := range []int{1, 3} {
			if r, err := OpenRing(RingConfig{Path: path, Files: files, Size: 1000, Link: LinkEthernet, Application: "test"}); err == nil {
				r.Close()
				t.Errorf("%s is taken for a file", path)
			}
		}
		if _, err := os.Lstat(path + ".1"); err == nil {
			t.Errorf("%s was moved", path)
		}
	}
}

// A program that is started again and again, and drops nothing, does not push out what
// was kept.
func TestStartsThatKeepNothingBeginNoFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "drops.pcapng")
	c := RingConfig{Path: path, Files: 3, Size: 1000}
	for n := range byte(2) {
		if err := writeRing(ringOf(t, c), n); err != nil {
			t.Fatal(err)
		}
	}
	for range 5 {
		ringOf(t, c).Close()
	}
	if now, before, oldest := packetsIn(t, path), packetsIn(t, path+".1"), packetsIn(t, path+".2"); len(now) != 0 || !bytes.Equal(before, []byte{1}) || !bytes.Equal(oldest, []byte{0}) {
		t.Errorf("got %d, before %d and %d", now, before, oldest)
	}
	// What is no capture, or cut off, is kept all the same.
	if err := os.WriteFile(path, []byte("something else"), 0o600); err != nil {
		t.Fatal(err)
	}
	ringOf(t, c)
	if text, err := os.ReadFile(path + ".1"); err != nil || string(text) != "something else" {
		t.Errorf("%q, %v", text, err)
	}
}
