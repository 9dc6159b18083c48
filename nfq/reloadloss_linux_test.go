package nfq

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// reloadsUnderLoad sends one packet again and again, has a firewall load settings round by
// round, and returns how many packets came and how many went past the table. Those that
// queued are accepted.
func reloadsUnderLoad(t *testing.T, packet outer, settings []string) (came, passed uint64, counted TableCounters) {
	t.Helper()
	needCommand(t, "nft")
	w := newWire(t)
	in, err := StartInline(InlineConfig{Policy: settingsPolicy(t, settings[0]), Queue: Config{NetNS: w.near}, Queues: 2, FrameIDBits: 10})
	must(t, err)
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { in.Run(ctx) })
	defer running.Wait()
	defer stop()
	port := "tcp dport 7471"
	if packet.protocol == unix.IPPROTO_UDP {
		port = "udp dport 4789"
	}
	around := countAround(t, w.near, port)
	look := func() {
		var err error
		came, passed = around()
		counted, err = in.Table().Counters()
		must(t, err)
	}
	end := w.flood(t, packet.bytes())
	const rounds = 10
	for range rounds {
		for _, s := range settings {
			if _, err := in.Reload(settingsPolicy(t, s)); err != nil {
				t.Errorf("%s: %v", s, err)
			}
		}
	}
	end()
	for start, before := time.Now(), uint64(0); ; before = came {
		look()
		if counted.Queued+counted.OtherTunnel == came && came == before {
			break
		}
		if time.Since(start) > patience {
			t.Fatalf("of %d packets %d passed, %+v", came, passed, counted)
		}
	}
	if came < 100*rounds {
		t.Errorf("only %d packets came", came)
	}
	return came, passed, counted
}

// stopsTunnels are settings under which other tunnels between the wire's ends are stopped,
// and STT of them is queued.
func stopsTunnels() []string {
	return []string{
		`endpoints = ["10.0.0.0/8"]`,
		`endpoints = ["10.0.0.0/7"]`,
		`endpoints = ["10.0.0.0/8", "192.0.2.0/24", "2001:db8::/32"]`,
		`stt_ports = [7471, 7472]
		endpoints = ["10.0.0.0/8"]`,
		`endpoints = ["10.0.0.0/8"]
		only_stt = true`,
		`endpoints = ["10.0.0.0/8"]
		endpoint_rate = "20000000/s"`,
		`endpoints = ["10.0.0.0/8 on near"]`,
		`endpoints = ["10.64.0.0/10 on near", "10.0.0.0/9 on eth1"]`,
	}
}

// Whatever a reload changes in the table: STT that both rules let to the queues gets there
// at any time.
func TestAReloadLosesNoPacket(t *testing.T) {
	settings := slices.Concat(stopsTunnels(), []string{
		`endpoints = ["10.0.0.0/8"]
		other_tunnels = "pass"
		endpoint_rate = "10000000/s"`,
		``,
	})
	came, _, counted := reloadsUnderLoad(t, outer{id: 1}, settings)
	if want := (TableCounters{Queued: came}); counted != want {
		t.Errorf("got %+v, want %+v", counted, want)
	}
}

// And what both stop is stopped.
func TestAReloadLetsNothingPassThatIsStopped(t *testing.T) {
	came, passed, counted := reloadsUnderLoad(t, udp(outer{}, 4789), stopsTunnels())
	if want := (TableCounters{OtherTunnel: came}); passed > 0 || counted != want {
		t.Errorf("%d passed, %+v, want %+v", passed, counted, want)
	}
}
