package gsoguard

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
)

// Without a compiler the test knows the source and the objects by their sums, which
// `go generate` writes when it has compiled.
func TestTheObjectsAreThoseOfTheSource(t *testing.T) {
	sums, err := os.ReadFile("guard.sha256")
	if err != nil {
		t.Fatal(err)
	}
	named := make(map[string]bool)
	for line := range strings.Lines(string(sums)) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%x", sha256.Sum256(content)); got != sum {
			t.Errorf("%s: got sum %s, and guard.sha256 has %s: run go generate ./internal/gsoguard, which needs clang", name, got, sum)
		}
		named[name] = true
	}
	for _, name := range []string{"guard.c", "guard_bpfel.o", "guard_bpfeb.o"} {
		if !named[name] {
			t.Errorf("guard.sha256 does not name %s", name)
		}
	}
	source, err := os.ReadFile("guard.c")
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("#define SMALLEST %d\n", Smallest); !bytes.Contains(source, []byte(want)) {
		t.Errorf("guard.c does not say %q", want)
	}
}

// The kernel runs the program on packets with a gso_size that the test gives them.
func TestThePiecesOfWhatPassesAreLarge(t *testing.T) {
	guard, err := Load()
	if errors.Is(err, ErrNotPermitted) && (os.Geteuid() != 0 || os.Getenv("CI") != "true") {
		t.Skipf("%v; TestWithoutTheGuardItIsSaid of package nfq has what is said then", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer guard.Close()
	for _, c := range []struct {
		size uint32
		want uint32 // 1: dropped
	}{{0, 0}, {1, 1}, {17, 1}, {18, 1}, {100, 1}, {511, 1}, {512, 0}, {513, 0}, {1448, 0}, {65535, 0}} {
		const gsoSizeAt, contextLen = 176, 192 // of struct __sk_buff (linux/bpf.h)
		context := make([]byte, contextLen)
		binary.NativeEndian.PutUint32(context[gsoSizeAt:], c.size)
		got, err := guard.program().Run(&ebpf.RunOptions{Data: make([]byte, 1500), Context: context})
		if err != nil {
			t.Fatal(err)
		}
		if got != c.want {
			t.Errorf("gso_size %d: got %d, want %d", c.size, got, c.want)
		}
	}
}
