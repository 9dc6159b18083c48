package eventlog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"time"
	"unicode/utf8"

	"sttwall/control"
)

// The types of events. Where the control socket tells of the same, its name is the
// same; but a flow that begins is "flow" there, and what Suricata calls a flow event
// is one that has ended.
const (
	TypeFlowStart = "flow_start"
	TypeFlow      = "flow"
	TypeDrop      = "drop"
	TypeReject    = "reject"
	TypeWouldDrop = "would_drop"
	TypeAccept    = "accept"
	TypeMove      = "move"
	TypeReload    = "reload"
	TypeStats     = "stats"
	TypeTenant    = "tenant"
)

// Types returns the types of events, as they stand in docs/events.md. The slice is
// the caller's.
func Types() []string {
	return []string{
		TypeFlowStart, TypeFlow, TypeDrop, TypeReject, TypeWouldDrop, TypeAccept, TypeMove, TypeReload, TypeStats, TypeTenant,
	}
}

// record is a line. All but Own is named as Suricata names it.
type record struct {
	Timestamp timestamp   `json:"timestamp"`
	FlowID    uint64      `json:"flow_id,omitempty"`
	EventType string      `json:"event_type"`
	VLAN      []uint16    `json:"vlan,omitempty"`
	SrcIP     netip.Addr  `json:"src_ip,omitzero"`
	SrcPort   *uint16     `json:"src_port,omitempty"`
	DestIP    netip.Addr  `json:"dest_ip,omitzero"`
	DestPort  *uint16     `json:"dest_port,omitempty"`
	Proto     string      `json:"proto,omitempty"`
	ICMPType  *uint8      `json:"icmp_type,omitempty"`
	ICMPCode  *uint8      `json:"icmp_code,omitempty"`
	Ether     *ether      `json:"ether,omitempty"`
	Tunnel    *tunnel     `json:"tunnel,omitempty"`
	Flow      *flow       `json:"flow,omitempty"`
	TCP       *tcp        `json:"tcp,omitempty"`
	Drop      *drop       `json:"drop,omitempty"`
	Verdict   *verdict    `json:"verdict,omitempty"`
	Stats     *statistics `json:"stats,omitempty"`
	Host      string      `json:"host,omitempty"`
	Own       *own        `json:"sttwall,omitempty"`
}

// timestamp is a time as Suricata writes it, in the local time zone of the host.
type timestamp string

// stamper makes timestamps. Most are of the second of the one before.
type stamper struct {
	second     int64
	head, tail string // of a timestamp in that second, around the microseconds
}

func (s *stamper) stamp(t time.Time) timestamp {
	if second := t.Unix(); s.head == "" || second != s.second {
		s.second, s.head, s.tail = second, t.Format("2006-01-02T15:04:05."), t.Format("-0700")
	}
	var text [40]byte
	b := append(text[:0], s.head...)
	for micros, unit := t.Nanosecond()/1000, 100_000; unit > 0; unit /= 10 {
		b = append(b, '0'+byte(micros/unit%10))
	}
	return timestamp(append(b, s.tail...))
}

// ether has the MACs: of a packet, or of the first packet of a flow.
type ether struct {
	SrcMAC   string   `json:"src_mac,omitempty"`
	DestMAC  string   `json:"dest_mac,omitempty"`
	SrcMACs  []string `json:"src_macs,omitempty"`
	DestMACs []string `json:"dest_macs,omitempty"`
}

type tunnel struct {
	SrcIP    netip.Addr `json:"src_ip,omitzero"`
	SrcPort  *uint16    `json:"src_port,omitempty"`
	DestIP   netip.Addr `json:"dest_ip,omitzero"`
	DestPort *uint16    `json:"dest_port,omitempty"`
	Proto    string     `json:"proto"`
	Depth    int        `json:"depth"`
}

type flow struct {
	PacketsToServer uint64     `json:"pkts_toserver"`
	PacketsToClient uint64     `json:"pkts_toclient"`
	BytesToServer   uint64     `json:"bytes_toserver"`
	BytesToClient   uint64     `json:"bytes_toclient"`
	Start           timestamp  `json:"start"`
	End             *timestamp `json:"end,omitempty"`
	Age             *int64     `json:"age,omitempty"` // seconds
	State           string     `json:"state"`
	Reason          string     `json:"reason,omitempty"`
}

type tcp struct {
	State string `json:"state"`
}

type drop struct {
	Length *int   `json:"len,omitempty"` // of the inner IP packet
	TOS    *uint8 `json:"tos,omitempty"`
	SYN    *bool  `json:"syn,omitempty"`
	ACK    *bool  `json:"ack,omitempty"`
	PSH    *bool  `json:"psh,omitempty"`
	RST    *bool  `json:"rst,omitempty"`
	URG    *bool  `json:"urg,omitempty"`
	FIN    *bool  `json:"fin,omitempty"`
	Reason string `json:"reason"`
}

type verdict struct {
	Action string   `json:"action"`
	Reject []string `json:"reject,omitempty"`
}

type statistics struct {
	Uptime  int64          `json:"uptime"` // seconds
	Capture *captured      `json:"capture,omitempty"`
	Decoder decoded        `json:"decoder"`
	Flow    flowStatistics `json:"flow"`
	IPS     ips            `json:"ips"`
}

type captured struct {
	KernelPackets uint64 `json:"kernel_packets"`
	KernelDrops   uint64 `json:"kernel_drops"`
}

type decoded struct {
	Packets uint64 `json:"pkts"`
	Bytes   uint64 `json:"bytes"`
}

type flowStatistics struct {
	Total  uint64 `json:"total"`
	Active uint64 `json:"active"`
}

type ips struct {
	Accepted uint64 `json:"accepted"`
	Blocked  uint64 `json:"blocked"`
	Rejected uint64 `json:"rejected"`
	Replaced uint64 `json:"replaced"`
}

// own is what Suricata has no field for.
type own struct {
	Tenant         string             `json:"tenant,omitempty"`
	Rule           string             `json:"rule,omitempty"`
	Flow           string             `json:"flow,omitempty"` // its ID, as `sttwall flows` has it
	ContextID      *control.ContextID `json:"context_id,omitempty"`
	ReplyContextID *control.ContextID `json:"reply_context_id,omitempty"`
	// WouldBe and WouldReason are what the rules say without audit mode.
	WouldBe     string           `json:"would_be,omitempty"`
	WouldReason string           `json:"would_reason,omitempty"`
	EtherType   string           `json:"ethertype,omitempty"`
	ICMPID      *uint16          `json:"icmp_id,omitempty"`
	State       string           `json:"state,omitempty"` // of a flow, as `sttwall flows` has it
	Ended       string           `json:"ended,omitempty"` // why
	Frame       *frame           `json:"frame,omitempty"`
	Moved       []control.Moved  `json:"moved,omitempty"`
	Spoofed     *control.Spoofed `json:"spoofed,omitempty"`

	Reload   *reloaded               `json:"reload,omitempty"`
	Counters *counters               `json:"counters,omitempty"`
	Drops    map[string]uint64       `json:"drops,omitempty"` // frames, by reason
	Lost     *lost                   `json:"lost,omitempty"`
	EventLog *control.EventLogHealth `json:"event_log,omitempty"`
}

// frame is the STT frame that carried the packet.
type frame struct {
	Bytes    int    `json:"bytes"`
	Packets  int    `json:"packets"`
	FrameID  uint32 `json:"id"`
	Complete bool   `json:"complete"`
}

type reloaded struct {
	Tenants    int    `json:"tenants"`
	Rules      int    `json:"rules"`
	FlowsEnded int    `json:"flows_ended"`
	Error      string `json:"error,omitempty"`
}

// counters are of a tenant, since the start.
type counters struct {
	Frames   uint64 `json:"frames"`
	Bytes    uint64 `json:"bytes"` // of STT frames
	Flows    uint64 `json:"flows"` // begun
	Dropped  uint64 `json:"dropped"`
	Audited  uint64 `json:"audited"`
	FlowsNow int    `json:"flows_now"`
	HalfOpen int    `json:"half_open"`
}

// lost is what nobody has seen one by one.
type lost struct {
	LatePackets uint64 `json:"late_packets"`
	// Elsewhere is what was dropped before the firewall, by reason.
	Elsewhere map[string]uint64 `json:"elsewhere,omitempty"`
}

// encoder makes lines of records.
type encoder struct {
	buf  bytes.Buffer
	json *json.Encoder
}

func newEncoder() *encoder {
	e := new(encoder)
	e.json = json.NewEncoder(&e.buf)
	e.json.SetEscapeHTML(false)
	return e
}

// line returns a record as a line, in memory of its own. Names from rules files, which
// may hold anything, come out as valid JSON that does nothing to a terminal.
func (e *encoder) line(r *record) ([]byte, error) {
	e.buf.Reset()
	if err := e.json.Encode(r); err != nil {
		return nil, err
	}
	return appendSafe(make([]byte, 0, e.buf.Len()), e.buf.Bytes()), nil
}

// appendSafe appends JSON with escapes for what a terminal may take for a command and
// JSON allows: DEL, the control characters behind it, and what turns the direction
// of text. They are in strings only.
func appendSafe(to, text []byte) []byte {
	for len(text) > 0 {
		if text[0] < 0x7f {
			n := 1
			for n < len(text) && text[n] < 0x7f {
				n++
			}
			to, text = append(to, text[:n]...), text[n:]
			continue
		}
		r, n := utf8.DecodeRune(text)
		if acts(r) {
			to = fmt.Appendf(to, `\u%04x`, r)
		} else {
			to = append(to, text[:n]...)
		}
		text = text[n:]
	}
	return to
}

func acts(r rune) bool {
	return r >= 0x7f && r <= 0x9f || r == 0x061c || r >= 0x200b && r <= 0x200f || r >= 0x202a && r <= 0x202e || r >= 0x2060 && r <= 0x206f || r == 0xfeff
}
