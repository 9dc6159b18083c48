package main

import (
	"strings"
	"testing"

	"sttwall/control"
)

func TestStatsInWords(t *testing.T) {
	st := stats{
		Status: control.Status{Version: "sttwall v0", PID: 7, Rules: "/etc/\x1b[2Jrules.hcl", Tenants: 1, RuleCount: 2,
			Totals: control.Totals{Packets: 1000, Bytes: 1_500_000, FramesAccepted: 900, FramesAudited: 8, RejectsSent: 1, RejectsLimited: 2, RejectsRefused: 3}},
		Drops: []control.Drop{{Where: "firewall", Count: 40}, {Where: "firewall", Count: 2}, {Where: "queue", Count: 9}},
		Health: control.Health{
			Uptime: 61.7,
			Queues: []control.QueueHealth{
				{Number: 3, Waiting: 4, Length: 100, Packets: 600, Verdicts: 596, DroppedFull: 5, DroppedBuffer: 6, Overruns: 2, Refused: 7, Late: 8, Errors: 9},
				{Number: 4, Waiting: -1, Length: 100, Packets: 400, Verdicts: 400, Overruns: 3},
			},
			Reassembly: control.ReassemblyHealth{Frames: control.Gauge{Now: 1, Bound: 4}, Packets: control.Gauge{Now: 2, Bound: 8}, Memory: control.Gauge{Now: 3072, Bound: 64 << 20}},
			Flows:      control.FlowsHealth{Gauge: control.Gauge{Now: 95, Bound: 100}, HalfOpen: 1, Created: 200, Expired: 2, Ended: 3, Evicted: 4, Refused: 5},
			Memory:     control.MemoryHealth{Heap: 21_500_000, Resident: 999_600_000, Goroutines: 1},
			Events:     control.EventsHealth{Followers: 2, Lost: 3},
			Troubles:   []control.Trouble{{Severity: "warning", What: "nearly full: 95 of 100 flows", Remedy: "raise settings.flows"}},
		},
	}
	for i := range 60 {
		st.Samples = append(st.Samples, control.Sample{Packets: 10, Bytes: 15_000, Accepted: uint64(i / 55)})
	}
	const want = `sttwall v0, pid 7, up 1m2s; /etc/�[2Jrules.hcl: 1 tenant, 2 rules

WHAT                   A SECOND  OVER A MINUTE  SINCE START
packets                10        10             1000
bytes                  15 kB     15 kB          1.5 MB
frames accepted        1.0       0.1            900
- by audit mode alone  0         0              8
dropped                0         0              42
- rejected             0         0              6
flows begun            0         0              200
packets lost           0         0              14

QUEUE  WAITING  LENGTH  PACKETS  VERDICTS  LOST: FULL  LOST: BUFFER  REFUSED  LATE  ERRORS
3      4        100     600      596       5           6             7        8     9
4      -        100     400      400       0           3             0        0     0

HELD                      NOW     AT MOST  FULL
flows                     95      100      95%
learned bindings          0       0        0%
frames not whole          1       4        25%
- their packets           2       8        25%
- their memory            3.1 kB  67 MB    0%
inner fragments' packets  0       0        0%
keys of dropped frames    0       0        0%

flows: 1 half-open; 200 begun, 2 expired, 3 ended by rules, 4 given up, 5 refused for want of room
memory: heap 22 MB, resident 1.0 GB, 1 goroutine; events: 2 followers, 3 lost

warning: nearly full: 95 of 100 flows
    > raise settings.flows
`
	var out strings.Builder
	if err := st.write(&out); err != nil || out.String() != want {
		t.Errorf("got\n%s\nwant\n%s\n%v", &out, want, err)
	}
	// Before the first second is over.
	st.Samples = nil
	out.Reset()
	if err := st.write(&out); err != nil || !strings.Contains(out.String(), "\npackets                -         -              1000\n") {
		t.Errorf("%s\n%v", &out, err)
	}
}
