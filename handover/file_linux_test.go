package handover

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

func writeText(text string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	}
}

func TestAFileIsReadOnceByItsOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "handover")
	if _, err := OpenFile(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("where there is none: %v", err)
	}
	defer syscall.Umask(syscall.Umask(0))
	for _, text := range []string{"first", "second"} { // in the place of the first
		if err := WriteFile(path, writeText(text)); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	in, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if text, err := io.ReadAll(in); err != nil || string(text) != "second" {
		t.Errorf("%q, %v", text, err)
	}
	if list, err := os.ReadDir(filepath.Dir(path)); err != nil || len(list) != 0 {
		t.Errorf("%v is still there, %v", list, err)
	}
}

func TestAFileThatOthersMayHaveWrittenIsNotRead(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"its group may read it": func(path string) error { return os.Chmod(path, 0o640) },
		"all may write it":      func(path string) error { return os.Chmod(path, 0o602) },
		"it has two names":      func(path string) error { return os.Link(path, path+".other") },
		"it is a link": func(path string) error {
			return errors.Join(os.Rename(path, path+".other"), os.Symlink(path+".other", path))
		},
		"it is a pipe":   func(path string) error { return errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o600)) },
		"it is a folder": func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o600)) },
		"it is another's": func(path string) error {
			if os.Geteuid() != 0 {
				return errors.ErrUnsupported
			}
			return os.Chown(path, 65534, 0)
		},
	} {
		path := filepath.Join(t.TempDir(), "handover")
		if err := WriteFile(path, writeText("x")); err != nil {
			t.Fatal(err)
		}
		if err := spoil(path); errors.Is(err, errors.ErrUnsupported) {
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		if in, err := OpenFile(path); err == nil {
			in.Close()
			t.Errorf("%s: it was read", name)
		}
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("%s: it was taken away: %v", name, err)
		}
	}
}

func TestAFileThatCannotBeWrittenIsNotThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "handover")
	if err := WriteFile(path, writeText("of before")); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(path, func(w io.Writer) error { io.WriteString(w, "half"); return io.ErrShortWrite }); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("got %v", err)
	}
	if list, err := os.ReadDir(filepath.Dir(path)); err != nil || len(list) != 0 {
		t.Errorf("%v is there, %v", list, err)
	}
}

func TestAStateCountsForMinutesOnItsHost(t *testing.T) {
	now, err := Now()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		was  Moment
		fine bool
	}{
		{"now", now, true},
		{"minutes ago", Moment{now.Boot, now.Since - int64(MaxAge), now.NetNS}, true},
		{"before that", Moment{now.Boot, now.Since - int64(MaxAge) - 1, now.NetNS}, false},
		{"later", Moment{now.Boot, now.Since + 1, now.NetNS}, false},
		{"another boot", Moment{"other", now.Since, now.NetNS}, false},
		{"another network", Moment{now.Boot, now.Since, now.NetNS + 1}, false},
	} {
		at := now
		if tt.name == "minutes ago" || tt.name == "before that" {
			at.Since, tt.was.Since = at.Since+int64(MaxAge), tt.was.Since+int64(MaxAge)
		}
		age, err := tt.was.Age(at)
		if (err == nil) != tt.fine || err == nil && age != time.Duration(at.Since-tt.was.Since) {
			t.Errorf("%s: %v, %v", tt.name, age, err)
		}
	}
	then, err := Now()
	if age, aged := now.Age(then); err != nil || aged != nil || age < 0 {
		t.Errorf("the clock goes back: %v, %v, %v", age, err, aged)
	}
}
