package control

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

func TestTheSocketIsForItsOwnerAndGroup(t *testing.T) {
	old := unix.Umask(0o077)
	defer unix.Umask(old)
	path := filepath.Join(t.TempDir(), "folder", "control.sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestTheSocketIsNeverOpenToOthers(t *testing.T) {
	defer unix.Umask(unix.Umask(0))
	path := filepath.Join(t.TempDir(), "control.sock")
	l, err := bind(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("at once: %v, %v", info.Mode(), err)
	}
}

func TestASocketOfADeadProcessIsReplacedAndALiveOneIsNot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.sock")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), "another sttwall listens on "+path) {
		t.Errorf("one that somebody serves: %v", err)
	}
	if err := dead.Close(); err != nil { // as a killed process leaves it
		t.Fatal(err)
	}
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), "another sttwall listens on "+path) {
		t.Errorf("a second one: %v", err)
	}
	if c, err := net.Dial("unix", path); err != nil {
		t.Errorf("the first one after that: %v", err)
	} else {
		c.Close()
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if l, err = Listen(path); err != nil {
		t.Fatal(err)
	}
	l.Close()
}

func TestWhatIsNoSocketIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.sock")
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), "something else") {
		t.Errorf("got %v", err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "mine" {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := Listen(strings.Repeat("x", maxPath+1)); err == nil || !strings.Contains(err.Error(), "at most 107") {
		t.Errorf("a path that is too long: %v", err)
	}
}

func TestAClientSaysWhatIsInTheWay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.sock")
	if _, err := Dial(path); err == nil || !strings.Contains(err.Error(), "no sttwall listens on "+path) {
		t.Errorf("no socket: %v", err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Dial(path); err == nil || !strings.Contains(err.Error(), "no sttwall listens on "+path) {
		t.Errorf("a file: %v", err)
	}
}

// Each removes what it takes for a dead one's socket; it must not be that of one
// that has just started.
func TestOfManyThatStartAtOnceOneListens(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.sock")
	for range 50 {
		dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		dead.SetUnlinkOnClose(false)
		dead.Close()
		const starting = 8
		listeners := make(chan *Listener, starting)
		var running sync.WaitGroup
		for range starting {
			running.Go(func() {
				if l, err := Listen(path); err == nil {
					listeners <- l
				} else if !strings.Contains(err.Error(), "another sttwall listens on") {
					t.Error(err)
				}
			})
		}
		running.Wait()
		if n := len(listeners); n != 1 {
			t.Fatalf("%d listen, want 1", n)
		}
		if c, err := net.Dial("unix", path); err != nil {
			t.Fatal(err)
		} else {
			c.Close()
		}
		(<-listeners).Close()
	}
}

func TestASocketThatWasDeletedComesBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan error)
	go func() {
		for {
			c, err := l.AcceptUnix()
			if err == nil {
				c.Close()
			}
			accepted <- err
			if err != nil {
				return
			}
		}
	}()
	if done, err := l.Restore(); done || err != nil {
		t.Fatalf("a socket that is there: %v, %v", done, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if done, err := l.Restore(); !done || err != nil {
		t.Fatalf("a socket that is gone: %v, %v", done, err)
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := <-accepted; err != nil {
		t.Errorf("who was waiting for connections is told %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != socketMode {
		t.Errorf("it has mode %v, %v", info.Mode(), err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-accepted; err == nil {
		t.Error("a connection after the end")
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the end has left the socket: %v", err)
	}
	if done, err := l.Restore(); done || err != nil {
		t.Errorf("after the end: %v, %v", done, err)
	}
}
