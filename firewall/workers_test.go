package firewall

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"

	"sttwall/conntrack"
	"sttwall/stt"
)

// tenantsRules has so many tenants, with a rule each and context IDs from 0 on.
func tenantsRules(tenants, flows int) string {
	var text strings.Builder
	fmt.Fprintf(&text, "settings {\n endpoints = [\"192.0.2.0/24\"]\n flows = %d\n}\n", flows)
	for i := range tenants {
		fmt.Fprintf(&text, "tenant \"t%d\" {\n context_ids = [%d]\n rule \"all\" {\n action = \"accept\"\n }\n}\n", i, i)
	}
	return text.String()
}

// aimed is a batch of packets that can be made ones of any flow: see aim.
type aimed []Packet

func newAimed(t testing.TB) aimed {
	packets := make(aimed, conntrack.ExpectAtOnce)
	for i := range packets {
		packets[i].Data = cut(path(), 5, sttFrame(stt.FrameHeader{Flags: stt.FlagChecksumVerified}, innerUDP(t, 64)), 0)[0]
		packets[i].ID, packets[i].Length, packets[i].Checksum = uint64(i+1), len(packets[i].Data), ChecksumGood
	}
	return packets
}

// aim makes packet i one of a flow of a tenant.
func (a aimed) aim(i, flow, tenant int) {
	const context, source = 20 + 20 + 8, 20 + 20 + stt.FrameHeaderLen + 14 + 12
	binary.BigEndian.PutUint64(a[i].Data[context:], uint64(tenant))
	binary.BigEndian.PutUint32(a[i].Data[source:], uint32(10<<24|flow))
}

// worker is a firewall of several that share flows.
func worker(t testing.TB, s *Shared) *Firewall {
	t.Helper()
	fw, err := New(Config{Shared: s, Random: rand.NewPCG(1, 2), Observer: func(*FrameEvent) {}})
	if err != nil {
		t.Fatal(err)
	}
	return fw
}

// begin has flows begin, in turn of the tenants.
func (a aimed) begin(t testing.TB, fw *Firewall, flows, tenants int) {
	t.Helper()
	var out Verdicts
	for from := 0; from < flows; from += len(a) {
		n := min(len(a), flows-from)
		for i := range n {
			a.aim(i, from+i, (from+i)%tenants)
		}
		out.Reset()
		fw.ProcessBatch(1, a[:n], &out)
		for _, v := range out.List {
			if v.Action != Accept {
				t.Fatalf("flows %d to %d: %v", from, from+n, out.List)
			}
		}
	}
	if n := fw.shared.Flows().Stats().Flows; n != flows {
		t.Fatalf("%d flows, want %d", n, flows)
	}
}

// BenchmarkTenants takes batches of packets of 10,000 known flows through a core, while
// they are of one tenant or of many. watched: somebody wants to be told of each.
func BenchmarkTenants(b *testing.B) {
	for _, watched := range []bool{false, true} {
		for _, tenants := range []int{1, 100, 10_000} {
			b.Run(fmt.Sprintf("watched=%t/tenants=%d", watched, tenants), func(b *testing.B) {
				benchTenants(b, tenants, watched)
			})
		}
	}
}

func benchTenants(b *testing.B, tenants int, watched bool) {
	const flows = 10_000
	shared, err := NewShared(compile(b, tenantsRules(tenants, 2*flows)), newFilter(b, FrameIDConfig{Bits: 20}))
	if err != nil {
		b.Fatal(err)
	}
	fw, packets := worker(b, shared), newAimed(b)
	fw.wantsQuiet = func() bool { return watched }
	packets.begin(b, fw, flows, tenants)
	order := rand.New(rand.NewPCG(1, 2))
	var out Verdicts
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; n += len(packets) {
		for i := range packets {
			flow := order.IntN(flows)
			packets.aim(i, flow, flow%tenants)
		}
		out.Reset()
		if fw.ProcessBatch(1, packets, &out); len(out.List) != len(packets) || out.List[0].Action != Accept {
			b.Fatal(out.List)
		}
	}
}

// BenchmarkTwoWorkers takes as many packets through each of one or two cores at the
// same time: of the same flows, of flows of their own in one table, or with nothing in
// common, which shows what this machine's processors have for two. packets/s are of both.
func BenchmarkTwoWorkers(b *testing.B) {
	const flows = 4096
	for _, kind := range []struct {
		name    string
		workers int
		apart   int // how many flows the second worker's are behind the first's
		tables  int
	}{{"workers=1", 1, 0, 1}, {"workers=2/shared=nothing", 2, flows, 2}, {"workers=2/shared=table", 2, flows, 1}, {"workers=2/shared=flows", 2, 0, 1}} {
		b.Run(kind.name, func(b *testing.B) {
			if runtime.NumCPU() < kind.workers {
				b.Skip("one processor")
			}
			var shared []*Shared
			for range kind.tables {
				s, err := NewShared(compile(b, tenantsRules(1, 4*flows)), newFilter(b, FrameIDConfig{Bits: 20}))
				if err != nil {
					b.Fatal(err)
				}
				newAimed(b).begin(b, worker(b, s), 2*flows, 1)
				shared = append(shared, s)
			}
			var (
				ready, running sync.WaitGroup
				begin          = make(chan struct{})
			)
			for w := range kind.workers {
				ready.Add(1)
				running.Go(func() {
					runtime.LockOSThread()
					defer runtime.UnlockOSThread()
					fw, packets := worker(b, shared[w%len(shared)]), newAimed(b)
					order := rand.New(rand.NewPCG(uint64(w), 2))
					var out Verdicts
					ready.Done()
					<-begin
					for n := 0; n < b.N; n += len(packets) {
						for i := range packets {
							packets.aim(i, w*kind.apart+order.IntN(flows), 0)
						}
						out.Reset()
						if fw.ProcessBatch(1, packets, &out); len(out.List) != len(packets) || out.List[0].Action != Accept {
							b.Error(out.List)
							return
						}
					}
				})
			}
			ready.Wait()
			b.ResetTimer()
			close(begin)
			running.Wait()
			b.ReportMetric(float64(kind.workers)*float64(b.N)/b.Elapsed().Seconds(), "packets/s")
		})
	}
}
