package main

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/pflag"

	"sttwall/nfq"
)

// addGuard adds the flag of the guard against super-segments of small pieces.
func addGuard(flags *pflag.FlagSet, word *string) {
	flags.StringVar(word, "gso-guard", nfq.GuardAuto.String(), "drop super-segments of small pieces before the queue, where\n"+
		"settings.receivers is \"any\": auto (where it can be; it takes\nCAP_BPF at the start), require (or do not start), off")
}

// guardMode reads the flag's value. foreign: the table is left to others.
func guardMode(word string, foreign bool) (nfq.GuardMode, error) {
	if word == "" {
		return nfq.GuardAuto, nil // the flag is not there
	}
	mode, err := nfq.ParseGuardMode(word)
	switch {
	case err != nil:
		return mode, fmt.Errorf("--%w", err)
	case mode == nfq.GuardRequire && foreign:
		return mode, errors.New("--gso-guard=require and --no-nft: the guard is a part of the table that is not installed then")
	}
	return mode, nil
}

// warnGuard says that there is no guard, why, and what helps.
func warnGuard(log *slog.Logger, missing error) {
	log.Warn("super-segments of small pieces can reach receivers on Windows, which write outside of their buffer for some",
		"why", missing, "remedy", "turn GRO and LRO off on the interfaces that face the endpoints (ethtool -K IF gro off lro off) and run with "+
			"--gso-guard=off, or set settings.receivers to \"linux\" if no receiver is Windows")
}
