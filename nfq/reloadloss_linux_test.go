package nfq

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// Whatever a reload changes in the table: STT that both rules let to the queues gets there
// at any time.
func TestAReloadLosesNoPacket(t *testing.T) {
	needCommand(t, "nft")
	w := newWire(t)
	settings := []string{
		`endpoints = ["10.0.0.0/8"]`,
		`endpoints = ["10.0.0.0/7"]`,
		`endpoints = ["10.0.0.0/8", "192.0.2.0/24", "2001:db8::/32"]`,
		`stt_ports = [7471, 7472]
		endpoints = ["10.0.0.0/8"]`,
		`endpoints = ["10.0.0.0/8"]
		only_stt = true`,
		`endpoints = ["10.0.0.0/8"]
		other_tunnels = "pass"
		endpoint_rate = "10000000/s"`,
		`endpoints = ["10.0.0.0/8"]
		endpoint_rate = "20000000/s"`,
		`endpoints = ["10.0.0.0/8 on near"]`,
		`endpoints = ["10.64.0.0/10 on near", "10.0.0.0/9 on eth1"]`,
		``,
	}
	in, err := StartInline(InlineConfig{Policy: settingsPolicy(t, settings[0]), Queue: Config{NetNS: w.near}, Queues: 2, FrameIDBits: 10})
	must(t, err)
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { in.Run(ctx) })
	defer running.Wait()
	defer stop()
	run(t, "nft", `add table inet before
		add counter inet before came
		add chain inet before pre { type filter hook prerouting priority -400; }
		add rule inet before pre tcp dport 7471 counter name came`)
	came := func() uint64 {
		objects, err := (&nftables.Conn{NetNS: int(w.near)}).GetObjects(&nftables.Table{Name: "before", Family: nftables.TableFamilyINet})
		must(t, err)
		return objects[0].(*nftables.CounterObj).Packets
	}
	sending, ended := context.WithCancel(ctx)
	var sender sync.WaitGroup
	sender.Go(func() {
		frame := w.ethernet(offload{}, outer{id: 1}.bytes())
		for sending.Err() == nil {
			if _, err := unix.Write(w.packetSocket, frame); err != nil {
				t.Error(err)
				return
			}
		}
	})
	const rounds = 10
	for range rounds {
		for _, s := range settings {
			if _, err := in.Reload(settingsPolicy(t, s)); err != nil {
				t.Errorf("%s: %v", s, err)
			}
		}
	}
	ended()
	sender.Wait()
	for start := time.Now(); ; {
		want := came()
		c, err := in.Table().Counters()
		must(t, err)
		if c.Queued == want {
			break
		}
		if time.Since(start) > patience {
			t.Fatalf("of %d packets %+v", want, c)
		}
	}
	if want := came(); want < 100*rounds {
		t.Errorf("only %d packets came", want)
	}
}
