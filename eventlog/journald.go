package eventlog

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/coreos/go-systemd/v22/journal"
)

// journaldWriter sends each event to journald: a sentence as message, the line of
// JSON, and fields to search for.
type journaldWriter struct{}

func (journaldWriter) write(lines []line) (n int, err error) {
	for ; n < len(lines); n++ {
		r := lines[n].event
		if err := journal.Send(sentence(r), journal.Priority(priority(r)), journalFields(r, lines[n].text)); err != nil {
			return n, err
		}
	}
	return n, nil
}

func (journaldWriter) reopen()      {}
func (journaldWriter) close() error { return nil }

// journalFields are the fields of an event; those without a value are left out.
func journalFields(r *record, text []byte) map[string]string {
	fields := map[string]string{
		"SYSLOG_IDENTIFIER": syslogTag,
		"STTWALL_EVENT":     strings.TrimSuffix(string(text), "\n"),
		"STTWALL_TYPE":      r.EventType,
	}
	put := func(name, value string) {
		if value != "" {
			fields["STTWALL_"+name] = value
		}
	}
	if r.FlowID != 0 {
		put("FLOW_ID", strconv.FormatUint(r.FlowID, 10))
	}
	put("SRC_IP", address(r.SrcIP))
	put("DEST_IP", address(r.DestIP))
	put("SRC_PORT", number(r.SrcPort))
	put("DEST_PORT", number(r.DestPort))
	put("PROTO", r.Proto)
	if r.Drop != nil {
		put("REASON", r.Drop.Reason)
	}
	if t := r.Tunnel; t != nil {
		put("TUNNEL_SRC_IP", address(t.SrcIP))
		put("TUNNEL_DEST_IP", address(t.DestIP))
	}
	if o := r.Own; o != nil {
		put("TENANT", o.Tenant)
		put("RULE", o.Rule)
		put("WOULD_REASON", o.WouldReason)
		if o.ContextID != nil {
			put("CONTEXT_ID", o.ContextID.String())
		}
	}
	return fields
}

func address(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func number(n *uint16) string {
	if n == nil {
		return ""
	}
	return strconv.Itoa(int(*n))
}

// sentence is an event for people: "drop TCP 10.1.0.9:4242 > 10.1.0.7:22 tenant acme
// tenant_default". Names from rules files are quoted where they hold what is not to
// be printed.
func sentence(r *record) string {
	var b strings.Builder
	b.WriteString(r.EventType)
	if r.SrcIP.IsValid() {
		fmt.Fprintf(&b, " %s %s > %s", r.Proto, end(r.SrcIP, r.SrcPort), end(r.DestIP, r.DestPort))
	}
	if r.Drop != nil {
		b.WriteString(" " + r.Drop.Reason)
	}
	if r.Flow != nil {
		fmt.Fprintf(&b, " %s", r.Flow.State)
	}
	if o := r.Own; o != nil {
		if o.Tenant != "" {
			b.WriteString(" tenant " + printable(o.Tenant))
		}
		if o.Rule != "" {
			b.WriteString(" rule " + printable(o.Rule))
		}
		if o.WouldReason != "" {
			b.WriteString(" " + o.WouldReason)
		}
		if o.Reload != nil && o.Reload.Error != "" {
			b.WriteString(" " + printable(o.Reload.Error))
		}
	}
	return b.String()
}

func end(a netip.Addr, port *uint16) string {
	if port == nil {
		return a.String()
	}
	return net.JoinHostPort(a.String(), strconv.Itoa(int(*port)))
}

// printable is a text as it is, or quoted.
func printable(text string) string {
	if q := strconv.QuoteToGraphic(text); q != `"`+text+`"` {
		return q
	}
	return text
}
