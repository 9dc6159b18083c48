package reassembly

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestConfigDefaults(t *testing.T) {
	full := Config{
		Memory: 64 << 20, SourceMemory: 16 << 20, Frames: 4096, SourceFrames: 1024,
		Packets: 8192, SourcePackets: 2048, Tombstones: 8192, SourceTombstones: 2048,
		Timeout: 2 * time.Second, TombstoneLife: 10 * time.Second,
	}
	change := func(change func(*Config)) Config {
		c := full
		change(&c)
		return c
	}
	for _, tt := range []struct {
		name    string
		c, want Config
	}{
		{"nothing said", Config{}, full},
		{"all said", full, full},
		{"a share is a quarter of the total", Config{Memory: 1 << 20, Frames: 40, Packets: 80, Tombstones: 20},
			change(func(c *Config) {
				c.Memory, c.SourceMemory, c.Frames, c.SourceFrames = 1<<20, 1<<18, 40, 10
				c.Packets, c.SourcePackets, c.Tombstones, c.SourceTombstones = 80, 20, 20, 5
			})},
		{"a share has room for one of each", Config{Memory: 100 << 10, Frames: 1, Packets: 2, Tombstones: 3},
			change(func(c *Config) {
				c.Memory, c.SourceMemory, c.Frames, c.SourceFrames = 100<<10, 64<<10, 1, 1
				c.Packets, c.SourcePackets, c.Tombstones, c.SourceTombstones = 2, 1, 3, 1
			})},
		{"a share is not above the total", Config{Memory: 2 << 10},
			change(func(c *Config) { c.Memory, c.SourceMemory = 2<<10, 2<<10 })},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.c.WithDefaults()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("config (-want +got):\n%s", diff)
			}
		})
	}
}

func TestConfigErrorsNameTheField(t *testing.T) {
	for _, tt := range []struct {
		c    Config
		want string
	}{
		{Config{Memory: -1}, "memory: -1 is below 1024"},
		{Config{Memory: 1023}, "memory: 1023 is below 1024"},
		{Config{SourceMemory: 1}, "memory of one source: 1 is below 1024"},
		{Config{Memory: 2048, SourceMemory: 4096}, "memory of one source: 4096 is above the 2048 of all"},
		{Config{Frames: -1}, "frames: -1 is below 1"},
		{Config{SourceFrames: 5000}, "frames of one source: 5000 is above the 4096 of all"},
		{Config{Packets: -3}, "packets: -3 is below 1"},
		{Config{SourcePackets: -3}, "packets of one source: -3 is below 1"},
		{Config{Tombstones: -1}, "tombstones: -1 is below 1"},
		{Config{Tombstones: 5, SourceTombstones: 6}, "tombstones of one source: 6 is above the 5 of all"},
		{Config{Timeout: -time.Second}, "timeout: -1s is negative"},
		{Config{TombstoneLife: -time.Second}, "tombstone life: -1s is negative"},
	} {
		r, err := New(tt.c, &rig{})
		if r != nil || err == nil || err.Error() != tt.want {
			t.Errorf("%+v: got %v, want %q", tt.c, err, tt.want)
		}
	}
	if _, err := New(Config{}, nil); err == nil {
		t.Error("no sink: got no error")
	}
}
