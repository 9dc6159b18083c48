package main

import (
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAProfileIsWrittenAtTheEnd(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cpu.prof")
	stop, err := startProfile(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := startProfile(filepath.Join(t.TempDir(), "second.prof")); err == nil {
		t.Error("two at a time: want an error")
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f) // a profile is a compressed message of protocol buffers
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil || !strings.Contains(string(text), "nanoseconds") {
		t.Errorf("got %d bytes, %v", len(text), err)
	}
}

func TestAProfileThatCannotBeWrittenIsAnError(t *testing.T) {
	if _, err := startProfile(filepath.Join(t.TempDir(), "none", "cpu.prof")); err == nil || !strings.Contains(err.Error(), "--cpu-profile") {
		t.Errorf("got %v", err)
	}
	stop, err := startProfile("")
	if err != nil || stop() != nil {
		t.Errorf("none: got %v", err)
	}
}
