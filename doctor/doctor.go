package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"sttwall/control"
	"sttwall/nfq"
	"sttwall/policy"
)

// Config says what is looked at, and what the firewall there is to do.
type Config struct {
	// Root is the root folder of the host: proc, sys, boot. nil is "/".
	Root fs.FS
	// Rules is the rules file; "": none. Its ports and endpoints are what the checks
	// are about; without it that is port 7471, and no endpoint is known.
	Rules string
	// Hooks are where the firewall sits or shall sit: prerouting, output, bridge. None
	// is prerouting.
	Hooks []string
	// Queue is the first queue's number; 0 is 7471.
	Queue uint16
	// CPUs are the processors that the workers are to be pinned to; none: any.
	CPUs []int
	// ReceiveBuffer is what a queue's socket wants, in bytes; 0 is
	// [nfq.DefaultReceiveBuffer].
	ReceiveBuffer int
	// Ordinary: who asks is no root, and may want to run the demo.
	Ordinary bool
	// Drops asks a running firewall what it has dropped; nil: nobody is asked.
	Drops func(context.Context) ([]control.Drop, error)
	// Kernel, Guard, Clock, ForceBuffer, Writable and TCX answer in place of the kernel, for tests of
	// what no namespace can be without; nil: the kernel is asked.
	Kernel      func() []nfq.KernelPart
	Guard       func() error
	Clock       func() (synchronised bool, err error)
	ForceBuffer func(bytes int) error
	Writable    func(path string) error
	TCX         func(index int) (programs []uint32, err error)
}

// Severity is how much a finding hurts.
type Severity uint8

const (
	// Hint: it works, and would work better otherwise.
	Hint Severity = iota + 1
	// Risk: it works now, and will not when something happens.
	Risk
	// Broken: STT does not pass, or passes uninspected, or the firewall does not start.
	Broken
)

// String returns hint, risk or broken.
func (s Severity) String() string { return [...]string{"", "hint", "risk", "broken"}[s] }

// MarshalText writes the word.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Finding is something that will hurt.
type Finding struct {
	// ID is the number of the check, such as STT-D001.
	ID       string   `json:"id"`
	Severity Severity `json:"severity"`
	// What is wrong here, in one sentence.
	What string `json:"what"`
	// Why it hurts: of the check, the same for all of its findings.
	Why string `json:"why"`
	// Evidence is what was read, and where.
	Evidence []string `json:"evidence"`
	// Cure says what to do in words.
	Cure string `json:"cure"`
	// Commands do it, in order; none where only a person can.
	Commands []Command `json:"commands,omitempty"`
	// Safe: the commands take nothing away that somebody may need, and can be undone.
	Safe bool `json:"safe"`
}

// Outcome is what came of a check.
type Outcome struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// Seen is what was seen where nothing is wrong.
	Seen string `json:"seen,omitempty"`
	// Unknown says why it could not be looked at; "": it could.
	Unknown  string `json:"unknown,omitempty"`
	Findings int    `json:"findings"`
}

// Report is what came of all checks.
type Report struct {
	// Findings, the worst first.
	Findings []Finding `json:"findings"`
	Checks   []Outcome `json:"checks"`
}

// Passed counts the checks that were made and found nothing; unknown those that could not
// be made.
func (r *Report) Passed() (passed, unknown int) {
	for _, o := range r.Checks {
		switch {
		case o.Unknown != "":
			unknown++
		case o.Findings == 0:
			passed++
		}
	}
	return passed, unknown
}

// Hurts reports whether anything is worse than a hint.
func (r *Report) Hurts() bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Severity > Hint })
}

// Run makes all checks. Its error is about the question, not about the host.
func Run(ctx context.Context, c Config) (*Report, error) {
	if c.Root == nil {
		c.Root = os.DirFS("/")
	}
	if c.Queue == 0 {
		c.Queue = defaultQueue
	}
	if len(c.Hooks) == 0 {
		c.Hooks = []string{HookPrerouting}
	}
	for _, h := range c.Hooks {
		if !slices.Contains(Hooks(), h) {
			return nil, fmt.Errorf("hook %q: want one or more of %v", h, Hooks())
		}
	}
	h := &host{Config: c, ctx: ctx, settings: policy.Settings{STTPorts: []uint16{defaultPort}}}
	h.load()
	r := Report{Findings: []Finding{}}
	for _, check := range Checks() {
		seen, found, err := check.look(h)
		o := Outcome{ID: check.ID, Name: check.Name, Seen: seen, Findings: len(found)}
		if err != nil {
			o.Seen, o.Unknown = "", unknown(err)
		}
		for i := range found {
			f := &found[i]
			f.ID, f.Why = check.ID, check.Why
			f.Severity = cmp.Or(f.Severity, check.Severity)
			if slices.ContainsFunc(f.Commands, func(c Command) bool { return c == nil }) {
				f.Commands, f.Safe = nil, false // each may rest on the others
				f.Cure += ". " + noCommand
			}
		}
		r.Findings = append(r.Findings, found...)
		r.Checks = append(r.Checks, o)
	}
	slices.SortStableFunc(r.Findings, func(a, b Finding) int { return cmp.Compare(b.Severity, a.Severity) })
	return &r, nil
}

const (
	defaultQueue = 7471
	defaultPort  = 7471
)

// Where a firewall can sit.
const (
	HookPrerouting = "prerouting"
	HookOutput     = "output"
	HookBridge     = "bridge"
)

// Hooks lists them.
func Hooks() []string { return []string{HookPrerouting, HookOutput, HookBridge} }

// counted writes a number and what it is of.
func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// unknown is why something could not be looked at.
func unknown(err error) string {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "not allowed: " + err.Error()
	case errors.Is(err, fs.ErrNotExist):
		return "not there: " + err.Error()
	}
	return err.Error()
}
