package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"sttwall/filter"
)

// filterFlag is --filter.
type filterFlag struct {
	text   string
	parsed *filter.Filter // nil: none was given
	of     *filtered      // nil: what has all fields
}

// filtered is what has a few of the fields.
type filtered struct {
	what   string
	fields []string
}

func (f *filterFlag) add(flags *pflag.FlagSet, what string) {
	flags.Var(f, "filter", "only "+what+" that this `FILTER` selects, such as 'tenant:acme dport:443 not tcp'; see docs/filter.md")
}

// addFor adds the flag of a command whose rows have few of the fields.
func (f *filterFlag) addFor(flags *pflag.FlagSet, what, example string, fields []string) {
	f.of = &filtered{what, fields}
	flags.Var(f, "filter", fmt.Sprintf("only %s that this `FILTER` selects, such as '%s'; they have %s", what, example, strings.Join(fields, ", ")))
}

// selects reports whether a row is wanted.
func (f *filterFlag) selects(r *filter.Record) bool { return f.parsed == nil || f.parsed.Match(r) }

// Set reads the filter, so that a wrong one asks nobody.
func (f *filterFlag) Set(text string) error {
	parsed, err := filter.Parse(text)
	if err == nil && f.of != nil {
		err = parsed.Only(f.of.what, f.of.fields...)
	}
	var wrong *filter.Error
	if errors.As(err, &wrong) {
		return errors.New(wrong.Problem + "\n" + wrong.Pointed())
	}
	f.text, f.parsed = text, parsed
	return err
}

// String returns the filter.
func (f *filterFlag) String() string { return f.text }

// Type is what help calls the value.
func (f *filterFlag) Type() string { return "FILTER" }
