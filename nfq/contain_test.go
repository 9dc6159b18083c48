package nfq

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"sttwall/firewall"
	"sttwall/policy"
	"sttwall/reason"
	"sttwall/stt"
)

// A worker goes on behind a panic, wherever on a packet's way it was, and gives each
// packet one verdict.
func TestAWorkerGoesOnBehindAPanic(t *testing.T) {
	p, diags := policy.Load("test.hcl", []byte("tenant \"t\" {\n  context_ids    = [100]\n  default_action = \"accept\"\n}\n"))
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	for stage := range firewall.Stages {
		t.Run(stage.String(), func(t *testing.T) {
			// LLDP, in one packet and in three.
			inner := append([]byte{1, 0x80, 0xc2, 0, 0, 0x0e, 2, 0, 0, 0, 0, 1, 0x88, 0xcc}, make([]byte, 106)...)
			path := stt.Path{Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("192.0.2.2"), SrcPort: 40000, DstPort: stt.Port, TTL: 64, DontFragment: true}
			frame := append(stt.AppendFrameHeader(nil, &stt.FrameHeader{ContextID: 100}), inner...)
			var script [][]firewall.Packet
			sent := uint64(0)
			for id := range uint32(60) {
				size := []int{len(frame), 46}[id%2]
				var batch []firewall.Packet
				for at := 0; at < len(frame); at += size {
					if id%20 == 19 && at > 0 {
						break // the rest of it never comes
					}
					data := stt.AppendSegment(nil, &path, &stt.Piece{FrameID: id, FrameLength: len(frame), Offset: at, Payload: frame[at:min(at+size, len(frame))]})
					sent++
					batch = append(batch, firewall.Packet{ID: sent, Data: data, Length: len(data)})
				}
				script = append(script, batch)
			}
			ids, err := firewall.NewFrameIDFilter(firewall.FrameIDConfig{Bits: 16})
			must(t, err)
			shared, err := firewall.NewShared(p, ids)
			must(t, err)
			armed, panics := false, uint64(0)
			core, err := firewall.New(firewall.Config{
				Shared: shared, Random: rand.NewPCG(1, 2), Observer: func(*firewall.FrameEvent) {},
				Panicked: func(*firewall.Panic) {},
				Fault: func(at firewall.Stage) {
					if at == stage && armed {
						armed = false
						panics++
						panic("a mistake")
					}
				},
			})
			must(t, err)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			now := int64(time.Hour)
			q := newScriptQueue(script...)
			q.clock, q.end = &now, cancel
			w, err := NewWorker(WorkerConfig{Queue: q, Core: core, Clock: func() int64 {
				now += int64(10 * time.Second)
				armed = now/int64(10*time.Second)%3 == 0
				return now
			}})
			must(t, err)
			must(t, w.Run(ctx))
			verdicts, accepted := make(map[uint64]int), 0
			for _, v := range q.verdicts {
				if verdicts[v.ID]++; verdicts[v.ID] > 1 {
					t.Errorf("packet %d has two verdicts", v.ID)
				}
				if v.Action == firewall.Accept {
					accepted++
				}
			}
			if uint64(len(verdicts)) != sent || accepted == 0 {
				t.Errorf("%d verdicts for %d packets, %d accepted", len(verdicts), sent, accepted)
			}
			c := core.Counters()
			happens := stage != firewall.StageHold && stage != firewall.StageFlow || panics > 0
			if happens && (panics == 0 || c.Panics.Load() != panics) {
				t.Errorf("%d panics are counted, want %d", c.Panics.Load(), panics)
			}
			if accepted == int(sent) && c.Reasons[reason.InternalError].Load() > 0 {
				t.Error("something is counted as dropped, and nothing was")
			}
		})
	}
}
