package main

import (
	"errors"

	"github.com/spf13/pflag"

	"sttwall/filter"
)

// filterFlag is --filter.
type filterFlag struct{ text string }

func (f *filterFlag) add(flags *pflag.FlagSet, what string) {
	flags.Var(f, "filter", "only "+what+" that this `FILTER` selects, such as 'tenant:acme dport:443 not tcp'; see docs/filter.md")
}

// Set reads the filter, so that a wrong one asks nobody.
func (f *filterFlag) Set(text string) error {
	_, err := filter.Parse(text)
	var wrong *filter.Error
	if errors.As(err, &wrong) {
		return errors.New(wrong.Problem + "\n" + wrong.Pointed())
	}
	f.text = text
	return err
}

// String returns the filter.
func (f *filterFlag) String() string { return f.text }

// Type is what help calls the value.
func (f *filterFlag) Type() string { return "FILTER" }
