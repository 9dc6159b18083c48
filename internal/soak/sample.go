package soak

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"time"

	"sttwall/internal/chaos"
)

// Sample is what was measured at one time. Times are in ns, memory in bytes.
type Sample struct {
	After      time.Duration `json:"after_ns"` // since traffic goes through the firewall
	Resident   int64         `json:"resident"`
	Heap       int64         `json:"heap"`
	Goroutines int           `json:"goroutines"`
	Files      int           `json:"files"`
	Threads    int           `json:"threads"`
	Flows      int           `json:"flows"`
	// Asked and Lost are the questions of the time since the sample before: datagrams to
	// an echo behind the firewall, and back. P50 and P99 are the times until the answers.
	Asked int           `json:"asked"`
	Lost  int           `json:"lost"`
	P50   time.Duration `json:"p50_ns"`
	P99   time.Duration `json:"p99_ns"`
	// Overload: the kernel dropped packets for want of room in a queue or buffer since the
	// sample before.
	Overload bool `json:"overload"`
}

// Told is what the child tells: one of these.
type Told struct {
	Sample   *Sample `json:"sample,omitempty"`
	Progress string  `json:"progress,omitempty"`
	End      *End    `json:"end,omitempty"`
}

// End is what a run came to, samples apart.
type End struct {
	chaos.Totals
	Took time.Duration `json:"took_ns"`
	// Done is how often each disturbance was made, by its name.
	Done map[string]int `json:"done"`
	// Failed are disturbances that did not go as they should, in words; the first ones.
	Failed []string `json:"failed,omitempty"`
}

var columns = []string{
	"seconds", "resident_bytes", "heap_bytes", "goroutines", "files", "threads", "flows", "asked", "lost", "p50_us", "p99_us", "overload",
}

// WriteCSV writes the samples, one a line, below a line of names.
func WriteCSV(w io.Writer, samples []Sample) error {
	out := csv.NewWriter(w)
	if err := out.Write(columns); err != nil {
		return err
	}
	for _, s := range samples {
		overload := "0"
		if s.Overload {
			overload = "1"
		}
		if err := out.Write([]string{
			fmt.Sprintf("%.1f", s.After.Seconds()), strconv.FormatInt(s.Resident, 10), strconv.FormatInt(s.Heap, 10), strconv.Itoa(s.Goroutines),
			strconv.Itoa(s.Files), strconv.Itoa(s.Threads), strconv.Itoa(s.Flows), strconv.Itoa(s.Asked), strconv.Itoa(s.Lost),
			strconv.FormatInt(s.P50.Microseconds(), 10), strconv.FormatInt(s.P99.Microseconds(), 10), overload,
		}); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}
