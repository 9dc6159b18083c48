package handover

import (
	"bytes"
	"encoding/json"
	"time"
)

// Header begins a state. Its block holds it as JSON.
type Header struct {
	// Program is the version of the program that wrote it, for people.
	Program string `json:"program"`
	Moment
	// Stopped is when the last packet was decided, in ns since the boot.
	Stopped int64 `json:"stopped"`
	// Table is the number that the kernel has given to the nftables table
	// (nfq.TableHandle); 0 where it was somebody else's. As long as it is there, nothing
	// has passed undecided.
	Table uint64 `json:"table"`
	// Open: STT passes undecided while nobody listens.
	Open bool `json:"open"`
}

// MaxAge is how old a state may be: flows of which nothing was heard for longer have
// given up, or have gone on without us.
const MaxAge = 5 * time.Minute

// Write writes the header as first block.
func (h *Header) Write(w *Writer) error {
	text, err := json.Marshal(h)
	if err != nil {
		return err
	}
	return w.Record(KindHeader, text)
}

// Read reads the first block.
func (h *Header) Read(r *Reader) error {
	_, text, err := r.Next()
	if err != nil {
		return err
	}
	*h = Header{}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(h); err != nil {
		return Broken("its header: %w", err)
	}
	return nil
}
