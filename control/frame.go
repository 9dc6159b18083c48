package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"sttwall/tap"
)

// Frame is a decided STT frame with the bytes of the inner frame.
type Frame struct {
	// Seq counts the frames of its list or stream; it only grows.
	Seq uint64 `json:"seq"`
	// Verdict is accept, drop, reject, or audit: accepted by audit mode alone.
	Verdict string `json:"verdict"`
	Event
	// State is what it was to the flow table, see docs/conntrack.md.
	State string `json:"state,omitempty"`
	// FrameID and SrcPort are of the outer packets, of which there were Segments.
	FrameID  uint32 `json:"frame_id"`
	SrcPort  uint16 `json:"outer_src_port"`
	Segments int    `json:"segments"`
	// Header is the STT frame header, 18 bytes; nil if they never came. Where Context is
	// nil nobody has looked at it: the frame was dropped before.
	Header []byte `json:"header,omitempty"`
	// Data is the beginning of the inner frame, which is InnerBytes long.
	Data       []byte `json:"data,omitempty"`
	InnerBytes int    `json:"inner_bytes"`
	// Parts are the first of its packets, of a stream.
	Parts []tap.Segment `json:"parts,omitempty"`
	// Outer says which packet Data is, in a stream of outer packets.
	Outer *OuterPacket `json:"outer,omitempty"`
	// Explanation, if it was asked for, is by the rules and flows right after it was
	// decided; nil where more than some a second were, or that took too long, or the frame's form was wrong.
	Explanation *Explanation `json:"explanation,omitempty"`
	// Rewritten: it left with other bytes than it came with.
	Rewritten bool `json:"rewritten,omitempty"`
}

// OuterPacket is an outer packet of a frame.
type OuterPacket struct {
	Index int       `json:"index"` // among those of the frame, from 0
	Bytes int       `json:"bytes"` // on the wire
	Time  time.Time `json:"time"`  // when it came
	// Alone: it belongs to no frame that was told of: it was dropped by itself, or came
	// behind a frame that was.
	Alone bool `json:"alone,omitempty"`
}

// FrameQuery says which frames are wanted.
type FrameQuery struct {
	Filter string // see docs/filter.md; "" selects all
	// Snap is how many bytes of each inner frame are wanted; 0 is [DefaultSnap].
	Snap int
	// Limit, of RecentDrops: how many, the newest; 0 is [DefaultRecent].
	Limit int
	// After, of RecentDrops: only those with a larger Seq.
	After uint64
	// Outer, of Frames: the outer packets that carried the frames, each as a Frame of
	// its own. Explain: with an Explanation.
	Outer, Explain bool
}

// Bounds of a [FrameQuery].
const (
	DefaultSnap, MaxSnap     = 256, 65535
	DefaultRecent, MaxRecent = 200, 1024
)

func (q *FrameQuery) values() url.Values {
	v := url.Values{}
	if q.Filter != "" {
		v.Set("filter", q.Filter)
	}
	if q.Snap != 0 {
		v.Set("snap", strconv.Itoa(q.Snap))
	}
	if q.Limit != 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	if q.After != 0 {
		v.Set("after", strconv.FormatUint(q.After, 10))
	}
	if q.Outer {
		v.Set("outer", "true")
	}
	if q.Explain {
		v.Set("explain", "true")
	}
	return v
}

// RecentDrops are frames that were dropped, rejected, or let pass by audit mode
// alone, the oldest first. GET /v1/drops/recent.
type RecentDrops struct {
	Frames []Frame `json:"frames"`
	// Skipped is how many since the start were not kept: they came too fast.
	Skipped uint64 `json:"skipped"`
}

// RecentDrops asks for frames that were dropped lately.
func (c *Client) RecentDrops(ctx context.Context, q FrameQuery) (d RecentDrops, err error) {
	err = c.call(ctx, http.MethodGet, q.path("/v1/drops/recent"), nil, &d)
	return d, err
}

// maxFrameLine bounds a line of frames in bytes: the largest frame, in base64, and
// what is said of it and of the rules that were tried.
const maxFrameLine = 1 << 20

// Frames calls each with every frame from now on that the filter selects, whatever its
// verdict, until ctx ends or each returns an error; it returns that error, or why the
// stream has ended. lost, if not nil, is told how many frames are missing: this
// reader was too slow. GET /v1/frames.
func (c *Client) Frames(ctx context.Context, q FrameQuery, each func(*Frame) error, lost func(uint64)) error {
	response, err := c.ask(ctx, http.MethodGet, q.path("/v1/frames"), nil)
	if err != nil {
		return err
	}
	return readFrames(ctx, response, each, lost)
}

func (q *FrameQuery) path(call string) string {
	if v := q.values(); len(v) > 0 {
		return call + "?" + v.Encode()
	}
	return call
}

func readFrames(ctx context.Context, response *http.Response, each func(*Frame) error, lost func(uint64)) error {
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, maxFrameLine)
	for lines.Scan() {
		var f Frame
		if err := json.Unmarshal(lines.Bytes(), &f); err != nil {
			return fmt.Errorf("frames: %w", err)
		}
		if f.Type == EventLost {
			if lost != nil {
				lost(f.Count)
			}
			continue
		}
		if err := each(&f); err != nil {
			return err
		}
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case lines.Err() != nil:
		return fmt.Errorf("frames: the firewall has stopped: %w", lines.Err())
	}
	return errors.New("frames: the firewall has stopped")
}

// Remedy is the smallest change to the rules that would let a frame pass. POST
// /v1/remedy.
type Remedy struct {
	// Text is a rule, or a line of one, ready to paste; "" where no rule helps, as
	// Why says.
	Text string `json:"text,omitempty"`
	// Place says where it goes, in words, with the file and line.
	Place string `json:"place,omitempty"`
	// Why says what the rule does, or why none helps and what does.
	Why string `json:"why"`
	// Tried: the rules file with Text in its place was loaded and asked, and accepts the
	// frame, or the packet that begins its flow.
	Tried bool `json:"tried"`
}

// RemedyRequest names a frame, as the client knows it from a [Frame].
type RemedyRequest struct {
	Context ContextID `json:"context"` // 0: that of Header
	Header  []byte    `json:"header,omitempty"`
	Data    []byte    `json:"data,omitempty"`
	// InnerBytes is its length; 0: that of Data.
	InnerBytes int    `json:"inner_bytes,omitempty"`
	Reason     string `json:"reason,omitempty"` // for which it was dropped
	From       string `json:"from,omitempty"`   // outer endpoints
	To         string `json:"to,omitempty"`
}

// Remedy asks for the smallest change to the rules that would let a frame pass.
func (c *Client) Remedy(ctx context.Context, ask RemedyRequest) (r Remedy, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/remedy", ask, &r)
	return r, err
}
