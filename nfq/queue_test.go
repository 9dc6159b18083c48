package nfq

import (
	"strings"
	"testing"
)

func TestConfigIsRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		config Config
		want   string // of the error; none if empty
	}{
		{"the zero value is good", Config{}, ""},
		{"the shortest queue is good", Config{Length: 16}, ""},
		{"a queue that is too short", Config{Number: 3, Length: 15}, "queue 3: length 15: at least 16"},
		{"a negative length", Config{Length: -1}, "length -1"},
		{"a length beyond the kernel's 32 bits", Config{Length: 1 << 31}, "length 2147483648: at most"},
		{"a negative receive buffer", Config{ReceiveBuffer: -1}, "receive buffer -1"},
		{"a receive buffer beyond 1 GiB", Config{ReceiveBuffer: 1<<30 + 1}, "receive buffer 1073741825"},
		{"a negative copy range", Config{CopyRange: -1}, "copy range -1"},
		{"a driver that is none", Config{Driver: drivers}, "Driver(2) is no driver"},
		{"a copy range beyond a packet", Config{CopyRange: 65536}, "copy range 65536"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.config.Validate()
			if c.want == "" {
				if err != nil {
					t.Errorf("got %v, want no error", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
			if q, err := Open(c.config); err == nil {
				q.Close()
				t.Error("open: got no error")
			}
		})
	}
}

func TestHoldingMoreThanHalfTheQueueIsRefused(t *testing.T) {
	for _, c := range []struct {
		name    string
		length  int
		maxHeld int
		want    string
	}{
		{"nothing held", 1000, 0, ""},
		{"half of it", 1000, 500, ""},
		{"one more than half", 1000, 501, "queue 9: up to 501 packets may be held, but the queue is 1000 packets long and at most half of it may be held: hold at most 500, or make the queue at least 1002 long"},
		{"half of the default", 0, DefaultLength / 2, ""},
		{"more than half of the default", 0, DefaultLength/2 + 1, "may be held"},
		{"an odd length rounds down", 17, 9, "hold at most 8"},
		{"a negative bound", 1000, -1, "must not be negative"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := Config{Number: 9, Length: c.length}.ValidateHolding(c.maxHeld)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestDriversHaveNames(t *testing.T) {
	for d := range drivers {
		if got, err := ParseDriver(d.String()); err != nil || got != d {
			t.Errorf("%v: got %v, %v", d, got, err)
		}
	}
	if _, err := ParseDriver("slow"); err == nil || !strings.Contains(err.Error(), "fast or go-nfqueue") {
		t.Errorf("got %v, want an error with the names", err)
	}
}
