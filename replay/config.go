package replay

import (
	"fmt"
	"io"

	"sttwall/firewall"
	"sttwall/policy"
	"sttwall/reassembly"
)

// Format is how frames are shown.
type Format uint8

const (
	// Table is for people: aligned columns, and a summary in words.
	Table Format = iota
	// JSON is one object a line.
	JSON
)

// Checksums says what is made of outer TCP checksums. A capture on the
// sending side shows them before an offload has finished them.
type Checksums uint8

const (
	// ChecksumsAuto: one that holds exactly the pseudo-header sum is taken
	// for unfinished, every other one must be right.
	ChecksumsAuto Checksums = iota
	// ChecksumsRequire: each must be right, as on a wire.
	ChecksumsRequire
	// ChecksumsIgnore: each is taken for good.
	ChecksumsIgnore
)

// ParseChecksums reads the word that [Checksums.String] writes.
func ParseChecksums(s string) (Checksums, error) {
	for c := ChecksumsAuto; c <= ChecksumsIgnore; c++ {
		if c.String() == s {
			return c, nil
		}
	}
	return 0, fmt.Errorf("%q: want auto, require or ignore", s)
}

// String returns "auto", "require" or "ignore".
func (c Checksums) String() string {
	switch c {
	case ChecksumsAuto:
		return "auto"
	case ChecksumsRequire:
		return "require"
	case ChecksumsIgnore:
		return "ignore"
	}
	return "unknown"
}

// Config says what is replayed, by which rules, and what comes out.
type Config struct {
	// Policy decides. Required.
	Policy *policy.Policy
	// Inputs are the captures, one behind the other as if they were one: a
	// frame may begin in one and end in the next. "-" is Stdin.
	Inputs []string
	// Stdin is read for the input "-".
	Stdin io.Reader
	// Out takes the frames and the summary. Required, unless Observer is there.
	Out io.Writer
	// Observer, if not nil, is told of every frame; see [firewall.FrameEvent].
	Observer func(*firewall.FrameEvent)
	// Format says how they look there.
	Format Format
	// Hash adds the start of the SHA-256 of each inner frame to JSON.
	Hash bool
	// Write, if not nil, takes a pcapng file of what would have left.
	Write io.Writer
	// Checksums says which outer checksums are taken for good.
	Checksums Checksums
	// Reassembly bounds what is held. Times are those of the captures.
	Reassembly reassembly.Config
}
