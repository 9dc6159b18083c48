package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// newManCommand is for those who make packages, and so not in the help.
func newManCommand(s streams) *cobra.Command {
	return &cobra.Command{
		Use:    "man DIR",
		Hidden: true,
		Short:  "Write the manual pages of all commands into a folder",
		Long: "man writes a manual page for each command, made of what its help says, into a folder, which it makes\n" +
			"where there is none: sttwall.8, sttwall-run.8 and so on. Read one with 'man -l DIR/sttwall-run.8'.",
		Example: "  sttwall man /tmp/man8",
		Args:    arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return err
			}
			pages := manPages(cmd.Root(), built())
			for _, name := range slices.Sorted(maps.Keys(pages)) {
				if err := os.WriteFile(filepath.Join(args[0], name), []byte(pages[name]), 0o644); err != nil {
					return err
				}
			}
			_, err := fmt.Fprintf(s.out, "%s: %d pages\n", args[0], len(pages))
			return err
		},
	}
}

// built is the day of the commit that the program was built from, as 2026-01-31; today
// where the program does not know.
func built() string {
	info, ok := debug.ReadBuildInfo()
	if ok {
		for _, setting := range info.Settings {
			if setting.Key == "vcs.time" {
				day, _, _ := strings.Cut(setting.Value, "T")
				return day
			}
		}
	}
	return time.Now().UTC().Format(time.DateOnly)
}

// manPages returns the pages of a command and of those below it by their file names.
// date stands at the foot of each.
func manPages(root *cobra.Command, date string) map[string]string {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	pages := map[string]string{}
	var write func(*cobra.Command)
	write = func(c *cobra.Command) {
		pages[manName(c)+".8"] = manPage(c, date)
		for _, below := range manual(c.Commands()) {
			write(below)
		}
	}
	write(root)
	return pages
}

// manual are the commands that have a page: those that the help lists.
func manual(commands []*cobra.Command) (shown []*cobra.Command) {
	for _, c := range commands {
		if !c.Hidden && c.Name() != "help" {
			shown = append(shown, c)
		}
	}
	return shown
}

func manName(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

// hostDefaults are the defaults of flags that depend on who asks, and on which host. A
// page is made on another one, and says what root finds.
var hostDefaults = map[string]string{
	"control": "/run/sttwall/control.sock",
	"state":   "/var/lib/sttwall/temporary.json",
	"queues":  fmt.Sprintf("one for each processor, %d at most", mostQueues),
}

// manFiles are the files of sttwall(8).
var manFiles = [][2]string{
	{"/etc/sttwall/rules.hcl", "The rules that the service runs with."},
	{"/etc/default/sttwall", "Flags that the service gives to run."},
	{"/run/sttwall/control.sock", "The control socket."},
	{"/var/lib/sttwall/temporary.json", "Temporary rules, over a restart."},
	{"/usr/share/doc/sttwall", "The whole documentation; docs/rules.md there is the rules language."},
}

// manPage writes the page of one command: man(7), in what groff, mandoc and their like
// all read.
func manPage(c *cobra.Command, date string) string {
	c.InitDefaultHelpFlag()
	var p strings.Builder
	fmt.Fprintf(&p, ".TH %s 8 %q %q\n", roff(strings.ToUpper(manName(c))), date, "sttwall")
	fmt.Fprintf(&p, ".SH NAME\n%s \\- %s\n", roff(manName(c)), roff(c.Short))
	p.WriteString(".SH SYNOPSIS\n")
	if manual(c.Commands()) != nil {
		fmt.Fprintf(&p, "\\fB%s\\fR \\fICOMMAND\\fR [\\fIflags\\fR]\n", roff(c.CommandPath()))
	} else {
		path := c.CommandPath()
		fmt.Fprintf(&p, "\\fB%s\\fR%s\n", roff(path), roff(strings.TrimPrefix(c.UseLine(), path)))
	}
	p.WriteString(".SH DESCRIPTION\n")
	long := c.Long
	if long == "" {
		long = c.Short + "."
	}
	manProse(&p, long)
	if below := manual(c.Commands()); below != nil {
		p.WriteString(".SH COMMANDS\n")
		for _, b := range below {
			fmt.Fprintf(&p, ".TP\n\\fB%s\\fR(8)\n%s.\n", roff(manName(b)), roff(b.Short))
		}
	}
	groups := []flagGroup(nil)
	if c.Name() == "run" {
		groups = runFlags
	}
	manFlags(&p, c.LocalFlags(), groups)
	if c.Example != "" {
		fmt.Fprintf(&p, ".SH EXAMPLES\n.nf\n%s.fi\n", roffLines(c.Example))
	}
	if !c.HasParent() {
		p.WriteString(".SH FILES\n")
		for _, f := range manFiles {
			fmt.Fprintf(&p, ".TP\n\\fI%s\\fR\n%s\n", roff(f[0]), roff(f[1]))
		}
	}
	p.WriteString(".SH EXIT STATUS\n0 where all is fine, 1 where something is refused, fails or was found, 2 for a mistake on the command line.\n")
	if c.HasParent() {
		fmt.Fprintf(&p, ".SH SEE ALSO\n\\fB%s\\fR(8)\n", roff(manName(c.Parent())))
	}
	return p.String()
}

// manFlags writes each flag that the help shows, in the groups of the help.
func manFlags(p *strings.Builder, flags *pflag.FlagSet, groups []flagGroup) {
	sets := make([]strings.Builder, 1+len(groups))
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		in := slices.IndexFunc(groups, func(g flagGroup) bool { return slices.Contains(g.names, f.Name) })
		manFlag(&sets[in+1], f)
	})
	for i := range sets {
		switch {
		case sets[i].Len() == 0:
			continue
		case i == 0:
			p.WriteString(".SH OPTIONS\n")
		default:
			fmt.Fprintf(p, ".SS %s\n", roff(groups[i-1].title))
		}
		p.WriteString(sets[i].String())
	}
}

func manFlag(p *strings.Builder, f *pflag.Flag) {
	value, usage := pflag.UnquoteUsage(f)
	name := "\\fB" + roff("--"+f.Name) + "\\fR"
	if f.Shorthand != "" {
		name = "\\fB" + roff("-"+f.Shorthand) + "\\fR, " + name
	}
	if value != "" {
		name += " \\fI" + roff(value) + "\\fR"
	}
	usage = strings.Join(strings.Fields(usage), " ")
	standard, fixed := hostDefaults[f.Name]
	if !fixed {
		standard = f.DefValue
		if f.Value.Type() == "string" && standard != "" {
			standard = fmt.Sprintf("%q", standard)
		}
	}
	if !slices.Contains([]string{"", "0", "0s", "false", "[]"}, standard) {
		usage += " (default " + standard + ")"
	}
	fmt.Fprintf(p, ".TP\n%s\n%s\n", name, roff(usage))
}

// manProse writes paragraphs. Lines that are indented stay as they are.
func manProse(p *strings.Builder, text string) {
	for i, paragraph := range strings.Split(strings.Trim(text, "\n"), "\n\n") {
		if i > 0 {
			p.WriteString(".PP\n")
		}
		if strings.HasPrefix(paragraph, "\t") || strings.HasPrefix(paragraph, "  ") {
			fmt.Fprintf(p, ".nf\n%s.fi\n", roffLines(paragraph))
			continue
		}
		p.WriteString(roffLines(paragraph))
	}
}

// roffLines is roff for lines of text: one that begins with a dot or an apostrophe is no
// request.
func roffLines(text string) string {
	var out strings.Builder
	for line := range strings.SplitSeq(strings.Trim(text, "\n"), "\n") {
		line = roff(strings.ReplaceAll(strings.TrimRight(line, " \t"), "\t", "    "))
		out.WriteString(line + "\n")
	}
	return out.String()
}

// roffSigns are the characters that groff would show as others, or take for its own.
var roffSigns = strings.NewReplacer(`\`, `\(rs`, `-`, `\-`, `'`, `\(aq`, "`", `\(ga`, `^`, `\(ha`, `~`, `\(ti`)

// roff returns a line of text as it is written in a page.
func roff(line string) string {
	line = roffSigns.Replace(line)
	if strings.HasPrefix(line, ".") {
		line = `\&` + line
	}
	return line
}
