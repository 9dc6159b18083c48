package benchreport

import (
	"slices"
	"time"
)

// Way is how packets get through the host.
type Way string

const (
	// Forward: the kernel forwards them, without any queue.
	Forward Way = "forward"
	// Accept: a queue, and a core that accepts everything. No firewall in user space
	// is faster with the same driver.
	Accept Way = "sttwall_accept"
	// Rules: the whole firewall with the rules in question.
	Rules Way = "sttwall_rules"
)

// Ways are all, in the order in which they are shown.
var Ways = []Way{Forward, Accept, Rules}

// String returns the name that people read.
func (w Way) String() string {
	switch w {
	case Forward:
		return "forwarding"
	case Accept:
		return "accept-all"
	case Rules:
		return "rules"
	}
	return string(w)
}

// Latency is how long packets took at half of the load that their way can carry.
type Latency struct {
	P50  time.Duration `json:"p50_ns"`
	P99  time.Duration `json:"p99_ns"`
	P999 time.Duration `json:"p999_ns"`
}

// Sample is what one way did with one kind of packet in one round.
type Sample struct {
	Way    Way
	Packet string // the kind's name
	// Packets and Bytes, from the outer IP header on, left the host in Elapsed. A
	// super-segment counts as one packet.
	Packets, Bytes uint64
	Elapsed        time.Duration
	// Lost packets were sent, in Elapsed or shortly before or behind it, and did not leave.
	Lost uint64
	// CPU is the processor time a packet, of all threads but the packet source's.
	CPU time.Duration
	// Latency is nil where it was not measured.
	Latency *Latency
}

func (s *Sample) rate() float64 { return float64(s.Packets) / s.Elapsed.Seconds() }

// Host is where it was measured.
type Host struct {
	Version   string    `json:"version"` // of sttwall
	Time      time.Time `json:"time"`
	Kernel    string    `json:"kernel"`
	Processor string    `json:"processor"`
	CPUs      int       `json:"cpus"` // that the process may use
}

// Setup is what was measured.
type Setup struct {
	Queues   int     `json:"queues"`
	Flows    int     `json:"flows"`
	Rounds   int     `json:"rounds"`
	Duration float64 `json:"duration"` // of one measurement, in seconds
	Driver   string  `json:"driver"`
	// Rules names the rules, and Flow says which of their packets are sent.
	Rules string `json:"rules"`
	Flow  string `json:"flow"`
}

// Row is a way and a kind of packet: medians of all rounds.
type Row struct {
	Way    Way    `json:"variant"`
	Packet string `json:"packet"`
	Queues int    `json:"queues"`
	Flows  int    `json:"flows"`
	Rounds int    `json:"rounds"` // less than asked for where it was interrupted
	// PPS are packets a second that left, Gbps 10^9 bits a second of them, from the outer
	// IP header on. Slowest and Fastest are the packets a second of single rounds.
	PPS     float64 `json:"pps"`
	Slowest float64 `json:"pps_min"`
	Fastest float64 `json:"pps_max"`
	Gbps    float64 `json:"gbps"`
	// Ratio is of forwarding, OfAccept of the accept-all queue; 0 where that was not
	// measured.
	Ratio    float64 `json:"ratio"`
	OfAccept float64 `json:"ratio_accept"`
	// Latency is nil where it was not measured.
	Latency *Latency `json:"latency,omitempty"`
	// CPU is the processor time of the firewall's threads a packet in ns; 0 where there are
	// none.
	CPU  float64 `json:"cpu_ns"`
	Lost uint64  `json:"lost"` // in all rounds
}

// Result is a whole benchmark.
type Result struct {
	Host
	Setup
	// Rows are in the order of the kinds as they were measured, and of [Ways].
	Rows []Row `json:"rows"`
}

// Summarize makes the rows of samples. Those of a way and a kind are in the order of the
// rounds, so that the n-th of two ways are of one round. A sample without a time is none.
func Summarize(s Setup, samples []Sample) []Row {
	type key struct {
		way    Way
		packet string
	}
	of := make(map[key][]Sample)
	var packets []string
	for _, x := range samples {
		if x.Elapsed <= 0 {
			continue
		}
		if !slices.Contains(packets, x.Packet) {
			packets = append(packets, x.Packet)
		}
		k := key{x.Way, x.Packet}
		of[k] = append(of[k], x)
	}
	var rows []Row
	for _, packet := range packets {
		for _, way := range Ways {
			own := of[key{way, packet}]
			if len(own) == 0 {
				continue
			}
			r := row(own)
			r.Queues, r.Flows = s.Queues, s.Flows
			if way == Forward {
				r.Queues = 0
			}
			r.Ratio = ratio(own, of[key{Forward, packet}])
			r.OfAccept = ratio(own, of[key{Accept, packet}])
			rows = append(rows, r)
		}
	}
	return rows
}

// row has the medians of the samples of one way and kind.
func row(samples []Sample) Row {
	r := Row{Way: samples[0].Way, Packet: samples[0].Packet, Rounds: len(samples)}
	each := func(f func(*Sample) float64) []float64 {
		var out []float64
		for i := range samples {
			out = append(out, f(&samples[i]))
		}
		return out
	}
	rates := each((*Sample).rate)
	r.PPS, r.Slowest, r.Fastest = median(rates), slices.Min(rates), slices.Max(rates)
	r.Gbps = median(each(func(s *Sample) float64 { return float64(s.Bytes) * 8 / s.Elapsed.Seconds() / 1e9 }))
	if r.Way != Forward { // which has the kernel alone
		r.CPU = median(each(func(s *Sample) float64 { return float64(s.CPU) }))
	}
	var p50, p99, p999 []time.Duration
	for i := range samples {
		r.Lost += samples[i].Lost
		if l := samples[i].Latency; l != nil {
			p50, p99, p999 = append(p50, l.P50), append(p99, l.P99), append(p999, l.P999)
		}
	}
	if len(p50) > 0 {
		r.Latency = &Latency{median(p50), median(p99), median(p999)}
	}
	return r
}

// ratio is the median of the ratios of the rounds that both have; 0 if there are none.
func ratio(of, to []Sample) float64 {
	var out []float64
	for i := range min(len(of), len(to)) {
		if base := to[i].rate(); base > 0 {
			out = append(out, of[i].rate()/base)
		}
	}
	if len(out) == 0 {
		return 0
	}
	return median(out)
}

// median of at least one value; of an even number the mean of the two in the middle.
func median[T ~int64 | ~float64](values []T) T {
	s := slices.Clone(values)
	slices.Sort(s)
	n := len(s)
	return (s[(n-1)/2] + s[n/2]) / 2
}
