package nfq_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"sttwall/firewall"
	"sttwall/internal/load"
	"sttwall/nfq"
)

// acceptAll accepts each packet.
type acceptAll struct{}

func (acceptAll) ProcessBatch(_ int64, packets []firewall.Packet, out *firewall.Verdicts) {
	for i := range packets {
		out.List = append(out.List, firewall.Verdict{ID: packets[i].ID, Action: firewall.Accept})
	}
}
func (acceptAll) Expire(int64, *firewall.Verdicts) {}
func (acceptAll) NextDeadline() (int64, bool)      { return 0, false }
func (acceptAll) Flush(*firewall.Verdicts)         {}
func (acceptAll) Rest()                            {}

// BenchmarkDriversUnderLoad has a worker that accepts everything between a source
// that is faster than it and a sink: both drivers in turn, so that what else the host
// does meets both.
func BenchmarkDriversUnderLoad(b *testing.B) {
	if os.Geteuid() != 0 {
		b.Skip("the source of packets needs BPF, which is closed to ordinary users")
	}
	lab, err := load.NewLab(load.LabConfig{Own: true})
	if err != nil {
		b.Fatal(err)
	}
	defer lab.Close()
	ns, _ := lab.FirewallNS()
	for _, packet := range []load.Packet{load.Small150, load.Full1500, load.GSO64K} {
		for _, driver := range []nfq.Driver{nfq.DriverFast, nfq.DriverGoNFQueue} {
			for _, part := range []int{0, nfq.PartOfPacket} {
				b.Run(fmt.Sprintf("packet=%v/driver=%v/copy=%d", packet, driver, part), func(b *testing.B) {
					underLoad(b, lab, nfq.Config{NetNS: nfq.NetNS(ns), Number: 17, Driver: driver, CopyRange: part}, packet)
				})
			}
		}
	}
}

func underLoad(b *testing.B, lab *load.Lab, c nfq.Config, packet load.Packet) {
	q, err := nfq.Open(c)
	if err != nil {
		b.Fatal(err)
	}
	table, err := nfq.InstallTable(nfq.TableConfig{NetNS: c.NetNS, Ports: []uint16{7471}, FirstQueue: c.Number, Queues: 1})
	if err != nil {
		b.Fatal(err)
	}
	defer table.Remove()
	w, err := nfq.NewWorker(nfq.WorkerConfig{Queue: q, Core: acceptAll{}, Affinity: nfq.CPU(1)})
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	var pps float64
	var cpu time.Duration
	rounds := 0
	before := q.Stats()
	for b.Loop() {
		r, err := lab.Measure(context.Background(), load.Traffic{Packet: packet, Flows: 100}, 200*time.Millisecond)
		if err != nil {
			b.Fatal(err)
		}
		pps, cpu, rounds = max(pps, r.PPS), cpu+r.Process, rounds+1
	}
	s := q.Stats()
	packets := float64(s.Packets - before.Packets)
	b.ReportMetric(pps, "best-packets/s")
	b.ReportMetric(float64(cpu)/float64(rounds), "cpu-ns/packet")
	b.ReportMetric(float64(s.Syscalls-before.Syscalls)/packets, "syscalls/packet")
	b.ReportMetric(float64(s.Messages-before.Messages)/packets, "messages/packet")
	stop()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
}
