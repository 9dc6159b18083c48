package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCaptureFlags(t *testing.T) {
	for want, args := range map[string][]string{
		"-w is missing":                nil,
		`--verdict "maybe": want`:      {"-w", "x", "--verdict", "maybe"},
		"want one of them":             {"-w", "x", "--inner", "--outer"},
		"--snaplen 0: want":            {"-w", "x", "-s", "0"},
		"--snaplen 65536: want":        {"-w", "x", "-s", "65536"},
		`no field "nonsense"`:          {"-w", "x", "--filter", "nonsense:1"},
		"unknown command \"x\" for":    {"x"},
		"invalid argument \"-1\" for ": {"-w", "x", "-c", "-1"},
	} {
		status, out, stderr := sttwall(append([]string{"capture", "--control", "none"}, args...)...)
		if status != statusUsage || out != "" || !strings.Contains(stderr, want) {
			t.Errorf("%v: status %d, %q, want %q", args, status, stderr, want)
		}
	}
}

func TestACaptureOfNobodyLeavesNoFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.pcapng")
	if status, _, stderr := sttwall("capture", "-w", file, "--control", filepath.Join(t.TempDir(), "none")); status != statusRefused || !strings.Contains(stderr, "no sttwall listens") {
		t.Errorf("status %d, %s", status, stderr)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestBothFilters(t *testing.T) {
	for _, tt := range [][3]string{{"", "", ""}, {"drop", "", "drop"}, {"", "tcp or udp", "tcp or udp"}, {"drop", "tcp or udp", "drop (tcp or udp)"}} {
		if got := both(tt[0], tt[1]); got != tt[2] {
			t.Errorf("got %q, want %q", got, tt[2])
		}
	}
}
