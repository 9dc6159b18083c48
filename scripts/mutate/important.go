package main

import "slices"

// mostImportant are the names of the thirty checks without which something denied leaves
// by itself, or one endpoint has its way with others. `checks important` tries them alone.
var mostImportant = []string{
	"nft: who is no endpoint",
	"nft: dropped while nobody listens",
	"nft: the table stays when the program ends",
	"queue: closed where it is full",
	"outer: later fragments",
	"outer: who is no endpoint",
	"reassembly: segments past the end",
	"reassembly: one total length",
	"reassembly: overlap with the segment before",
	"reassembly: overlap with the segment behind",
	"reassembly: every byte has come",
	"reassembly: a dropped key stays dropped",
	"reassembly: the share of one source",
	"frame: the L4 offset of a partial checksum",
	"frame: partial, the IP length ends with the frame",
	"inner: no fragment over the headers of the first",
	"inner: later fragments follow the first",
	"inner: later fragments without their first",
	"tenant: Context IDs of nobody",
	"tenant: its own endpoints",
	"bindings: declared ones",
	"flow: its endpoints",
	"flow: judged anew by other rules",
	"flow: TCP moves on right checksums alone",
	"rules: what none accepts",
	"canonical: the first packet holds all headers",
	"canonical: a header that is not leaves anew",
	"frame ID: none twice",
	"reload: a file that does not load changes nothing",
	"control: who may change things",
}

func (c *check) important() bool { return slices.Contains(mostImportant, c.what) }

// label is what a check is chosen by.
func (c *check) label() string {
	s := c.what + " " + c.by
	if c.important() {
		s += " important"
	}
	return s
}
