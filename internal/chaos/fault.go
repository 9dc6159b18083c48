package chaos

import "time"

// Case is one of the three cases in which the firewall fails, DESIGN 3: each is closed
// unless it was opened by name.
type Case string

// The cases; NoCase is what ends in none of them.
const (
	NoCase    Case = ""
	Absent    Case = "absent"
	Overload  Case = "overload"
	Exception Case = "exception"
)

// Row is what became of one fault.
type Row struct {
	Fault string `json:"fault"`
	// What was done.
	What string `json:"what"`
	// Fails is the case that the fault brings about, Open what was opened by --fail-open.
	Fails Case `json:"fails,omitempty"`
	Open  Case `json:"open,omitempty"`
	// Seen is what the firewall, its log and its screens made of it.
	Seen string `json:"seen"`
	// Asked and Lost are questions of the probe, one every 5 ms; Gap is the longest time
	// without an answer, and Recovery how long it took after the end of the cause until
	// answers came steadily and transfers went on.
	Asked    int           `json:"asked"`
	Lost     int           `json:"lost"`
	Gap      time.Duration `json:"gap_ns"`
	Recovery time.Duration `json:"recovery_ns"`
	// Denied packets that arrived: while the case was open, and while it was not.
	DeniedOpen int `json:"denied_while_open"`
	Denied     int `json:"denied"`
	// Sent is how many denied packets were sent, Verified how many bytes of accepted
	// transfers were compared, Corrupt how often they were others.
	Sent     int64 `json:"denied_sent"`
	Verified int64 `json:"verified"`
	Corrupt  int64 `json:"corrupt"`
	// Wrong is what was not as it should be; empty if all was.
	Wrong string `json:"wrong,omitempty"`
	// Skipped: why it could not be tried here.
	Skipped string `json:"skipped,omitempty"`
}

// Sample is what the firewall uses, at some moment of a long run.
type Sample struct {
	After      time.Duration `json:"after_ns"` // since the start of the run
	Age        time.Duration `json:"age_ns"`   // of the process
	PID        int           `json:"pid"`
	Resident   int64         `json:"resident"` // bytes
	Files      int           `json:"files"`
	Goroutines int           `json:"goroutines"` // 0: not known, it could not be asked
}

// Told is what the child tells: one of these.
type Told struct {
	Row      *Row     `json:"row,omitempty"`
	Sample   *Sample  `json:"sample,omitempty"`
	Progress string   `json:"progress,omitempty"`
	Summary  *Summary `json:"summary,omitempty"`
}

// Summary is of a whole run.
type Summary struct {
	Took     time.Duration `json:"took_ns"`
	Faults   int           `json:"faults"`
	Wrong    int           `json:"wrong"`
	Sent     int64         `json:"denied_sent"`
	Denied   int           `json:"denied"` // outside of what was open
	Verified int64         `json:"verified"`
	Corrupt  int64         `json:"corrupt"`
	Whole    int64         `json:"transfers_whole"`
	Broken   int64         `json:"transfers_broken"`
	Asked    int           `json:"asked"`
	Lost     int           `json:"lost"`
	Starts   int           `json:"starts"`
	// Missed are packets that the watch at the far side had no room for.
	Missed int `json:"watch_missed"`
	// Leaks are processes that used more at their end than at their beginning.
	Leaks []string `json:"leaks,omitempty"`
}
