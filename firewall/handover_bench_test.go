package firewall

import (
	"bytes"
	"flag"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sttwall/conntrack"
	"sttwall/inspect"
)

var handedFlag = flag.Int("handed", 20_000, "how many flows BenchmarkHandOver hands over")

// established begins so many established TCP flows of a tenant.
func established(b *testing.B, s *Shared, now int64, count int) {
	b.Helper()
	f := &inspect.Frame{
		IP: 4, EtherType: inspect.EtherTypeIPv4, Protocol: inspect.ProtocolTCP, HasPorts: true, SrcPort: 40000, DstPort: 443,
		HasTCP: true, TCPFlags: inspect.ACK, L3Offset: 14, L4Offset: 34, PayloadOffset: 54, HeaderBytes: 54, IPEnd: 54,
		Dst: netip.AddrFrom4([4]byte{10, 255, 0, 1}),
	}
	p := &conntrack.Packet{Context: 100, From: endpointA, To: endpointB, Frame: f, Data: make([]byte, 54), Bytes: 54, Trusted: true, Loose: true}
	p.Data[46] = 5 << 4
	var r conntrack.Result
	for i := range count {
		f.Src = netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		if s.flows.Create(now, s.Generation(), p, &conntrack.Creation{Rule: -1}, &r); r.State != conntrack.StateOriginal {
			b.Fatalf("flow %d: %v %v", i, r.State, r.Reason)
		}
	}
}

// processor is the time that this process has had of processors.
func processor(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkHandOver hands flows, and a filter in which a tenth of the lines are set, over
// to another firewall: what it takes of a processor while no packet is decided, and what
// the rules then take to judge them, which is while packets are. -handed 1000000 for
// more flows.
func BenchmarkHandOver(b *testing.B) {
	b.Run(fmt.Sprintf("flows=%d", *handedFlag), func(b *testing.B) {
		rules := fmt.Sprintf("settings {\n  endpoints = [\"any\"]\n  flows = %d\n}\ntenant \"all\" {\n  context_ids    = [100]\n  default_action = \"accept\"\n}\n", 2**handedFlag)
		old := newBench(b, benchConfig{rules: rules, bits: 26})
		established(b, old.shared, old.now, *handedFlag)
		for id := uint32(0); id < 1<<26/10; id += lineBits {
			old.shared.frameIDs.claim(old.now, endpointA, endpointB, id)
		}
		var state []byte
		var written, read, judged time.Duration
		for b.Loop() {
			begun := processor(b)
			state = stateOf(b, old.shared, old.now)
			written += processor(b) - begun
			is := newBench(b, benchConfig{rules: rules, bits: 26})
			begun = processor(b)
			done, err := takeOver(b, is.shared, TakingOver{Now: is.now}, bytes.Clone(state))
			read += processor(b) - begun
			if err != nil || done.Flows.Flows != *handedFlag {
				b.Fatalf("%+v, %v", done, err)
			}
			begun = processor(b)
			is.shared.Rejudge(is.now)
			judged += processor(b) - begun
		}
		n := float64(b.N)
		b.ReportMetric(float64(len(state)), "bytes")
		b.ReportMetric(float64(written.Milliseconds())/n, "cpu-ms/written")
		b.ReportMetric(float64(read.Milliseconds())/n, "cpu-ms/read")
		b.ReportMetric(float64(judged.Milliseconds())/n, "cpu-ms/judged")
	})
}
