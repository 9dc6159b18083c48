package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"sttwall/control"
	"sttwall/doctor"
)

func newDoctorCommand(s streams) *cobra.Command {
	var (
		c       doctor.Config
		queue   int
		cpus    string
		socket  string
		asJSON  bool
		fix     bool
		verbose bool
	)
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say what on this host will hurt, and the cure for it",
		Long: "doctor looks at this host as the firewall will find it: rules of others that drop STT, routing, interfaces, the kernel,\n" +
			"other tunnels, losses. It says what will hurt, why, what was read where, and the command that cures it. It changes nothing,\n" +
			"unless --fix has it run the commands that take nothing away. Run it as root, in the network namespace of the firewall.\n" +
			"The exit status is 1 if anything is broken or a risk, 0 otherwise (a hint alone is none), 2 for a mistake on the command line.\n" +
			"docs/doctor.md has each check by its number.",
		Example: "  sttwall doctor --rules /etc/sttwall/rules.hcl\n" +
			"  sttwall doctor --rules rules.hcl --hook bridge --verbose\n" +
			"  sttwall doctor --rules rules.hcl --fix",
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if queue < 0 || queue > 65535 {
				return usageError{fmt.Errorf("--queue %d: want 0 to 65535", queue)}
			}
			if asJSON && fix {
				return usageError{errors.New("--json and --fix: one at a time")}
			}
			var err error
			if c.CPUs, err = cpuList(cpus); err != nil {
				return usageError{fmt.Errorf("--cpus %s: %w", cpus, err)}
			}
			c.Queue, c.Ordinary = uint16(queue), os.Geteuid() != 0
			if socket != "" {
				c.Drops = func(ctx context.Context) (drops []control.Drop, err error) {
					err = (&controlFlag{socket}).ask(ctx, func(ctx context.Context, from *control.Client) error {
						drops, err = from.Drops(ctx)
						return err
					})
					return drops, err
				}
			}
			// All of it in the network namespace of one thread.
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			r, err := doctor.Run(cmd.Context(), c)
			if err != nil {
				return usageError{err}
			}
			if fix && fixable(r) == 0 {
				fmt.Fprint(s.out, "--fix: no finding has a command that is safe to run.\n\n")
			} else if fix {
				if err := applyFixes(cmd.Context(), s, r); err != nil {
					return err
				}
				if r, err = doctor.Run(cmd.Context(), c); err != nil {
					return err
				}
			}
			if asJSON {
				err = writeReportJSON(s.out, r)
			} else {
				err = writeReport(s.out, r, verbose)
			}
			if err == nil && r.Hurts() {
				err = errFindings
			}
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&c.Rules, "rules", "", "rules `file`: its ports and endpoints are what is looked at")
	flags.StringSliceVar(&c.Hooks, "hook", []string{doctor.HookPrerouting}, "where the firewall sits: prerouting, output, bridge")
	flags.IntVar(&queue, "queue", defaultQueue, "number of the firewall's first queue")
	flags.StringVar(&cpus, "cpus", "", "processors that workers are to be pinned to, a `list`\nas of 'run --cpus'")
	flags.StringVar(&socket, "control", "", "control `socket` of a running firewall, to be asked what it\nhas dropped; \"\" asks nobody")
	flags.BoolVar(&fix, "fix", false, "run the commands of findings that are marked as safe, and\nlook again")
	flags.BoolVar(&verbose, "verbose", false, "list each check and what was seen, or why it could not be\nmade")
	flags.BoolVar(&asJSON, "json", false, "write the report as JSON")
	return cmd
}

func writeReportJSON(w io.Writer, r *doctor.Report) error {
	passed, unknown := r.Passed()
	out := json.NewEncoder(inJSON(w))
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	return out.Encode(struct {
		*doctor.Report
		Passed  int `json:"passed"`
		Unknown int `json:"unknown"`
	}{r, passed, unknown})
}

func writeReport(w io.Writer, r *doctor.Report, verbose bool) error {
	var out strings.Builder
	for _, f := range r.Findings {
		out.WriteString(wrapped(fmt.Sprintf("%s %s: %s", f.ID, f.Severity, clean(f.What)), "", "    "))
		out.WriteString(wrapped(f.Why, "    why: ", "         "))
		for _, e := range f.Evidence {
			fmt.Fprintf(&out, "    saw: %s\n", clean(e))
		}
		out.WriteString(wrapped(clean(f.Cure), "    do:  ", "         "))
		for _, c := range f.Commands {
			fmt.Fprintf(&out, "         # %s\n", clean(c.String()))
		}
		if f.Safe {
			out.WriteString("         (--fix runs that)\n")
		}
		out.WriteString("\n")
	}
	if verbose {
		for _, o := range r.Checks {
			switch {
			case o.Unknown != "":
				out.WriteString(wrapped(fmt.Sprintf("%s ? %s: not looked at: %s", o.ID, o.Name, clean(o.Unknown)), "", "    "))
			case o.Findings > 0:
				fmt.Fprintf(&out, "%s ! %s: %s\n", o.ID, o.Name, counted(o.Findings, "finding"))
			default:
				out.WriteString(wrapped(fmt.Sprintf("%s ok %s: %s", o.ID, o.Name, clean(o.Seen)), "", "    "))
			}
		}
		out.WriteString("\n")
	}
	passed, unknown := r.Passed()
	switch {
	case len(r.Findings) == 0 && unknown == 0:
		fmt.Fprintf(&out, "All %d checks passed.\n", passed)
	case len(r.Findings) == 0:
		fmt.Fprintf(&out, "All %s that could be made passed; %d could not be made", counted(passed, "check"), unknown)
	default:
		fmt.Fprintf(&out, "%s; %s passed", counted(len(r.Findings), "finding"), counted(passed, "check"))
		if unknown > 0 {
			fmt.Fprintf(&out, ", %d could not be made", unknown)
		}
	}
	if unknown > 0 && !verbose {
		out.WriteString(" (--verbose says why)")
	}
	if unknown > 0 || len(r.Findings) > 0 {
		out.WriteString(".\n")
	}
	if len(r.Findings) > 0 {
		out.WriteString("docs/doctor.md says more of each, by its number.\n")
	}
	_, err := io.WriteString(w, out.String())
	return err
}

func fixable(r *doctor.Report) (n int) {
	for _, f := range r.Findings {
		if f.Safe && len(f.Commands) > 0 {
			n++
		}
	}
	return n
}

// applyFixes runs the commands of findings that are safe, and says what came of them. One
// that fails is told, and the others have their turn.
func applyFixes(ctx context.Context, s streams, r *doctor.Report) error {
	ran, failed := 0, 0
	for _, f := range r.Findings {
		if !f.Safe {
			continue
		}
		for _, c := range f.Commands {
			fmt.Fprintf(s.out, "%s: # %s\n", f.ID, clean(c.String()))
			ran++
			said, err := exec.CommandContext(ctx, c[0], c[1:]...).CombinedOutput()
			if err != nil {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				failed++
				fmt.Fprintf(s.err, "sttwall: %s: %v: %s\n", clean(c.String()), err, clean(strings.TrimSpace(string(said))))
				break // the others of this finding may rest on it
			}
		}
	}
	text := "--fix: " + counted(ran, "command") + " run"
	if failed > 0 {
		text += fmt.Sprintf(", %d failed", failed)
	}
	_, err := fmt.Fprint(s.out, text+". What they set is gone after a restart of the host.\n\n")
	return err
}
