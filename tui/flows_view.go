package tui

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"sttwall/control"
	"sttwall/filter"
)

// View returns the table, or why there is none.
func (s *flows) View(width, height int) string {
	if s.table.total > 0 {
		return s.table.View(width, height)
	}
	return s.env.empty(width, height, emptyTable{heard: s.heard, err: s.err, what: "flow", hidden: s.env.status.Flows})
}

// flowColumns make the cells of flows.
type flowColumns struct {
	env    *env
	trends map[string][]float64
	now    func() time.Time
}

// sortable marks columns by which the firewall sorts.
func sortable(a, b *control.Flow) int { return 0 }

func (c flowColumns) all() []column[control.Flow] {
	text := func(get func(*control.Flow) string) func(*control.Flow) cell {
		return func(f *control.Flow) cell { return cell{get(f), toneText} }
	}
	dim := func(get func(*control.Flow) string) func(*control.Flow) cell {
		return func(f *control.Flow) cell { return cell{get(f), toneDim} }
	}
	return []column[control.Flow]{
		{Key: "verdict", Title: "VERDICT", Min: 8, Max: 8, Less: sortable, Cell: func(f *control.Flow) cell {
			v := flowVerdict(f)
			return cell{verdictText(v), verdictTone(v)}
		}, File: flowVerdict},
		{Key: "tenant", Title: "TENANT", Min: 6, Max: 20, Drop: 2, Less: sortable, Cell: text(func(f *control.Flow) string { return f.Tenant })},
		{Key: "protocol", Title: "PROTO", Min: 5, Max: 9, Drop: 5, Less: sortable, Cell: text(protocolText)},
		{Key: "src", Title: "SOURCE", Min: 9, Max: 47, Less: sortable, Cell: text(func(f *control.Flow) string { return end(f.Src, f.SrcPort) })},
		{Key: "src_port", Title: "SPORT", Min: 5, Max: 5, Right: true, Off: true, Drop: 6, Less: sortable, Cell: text(func(f *control.Flow) string { return portText(f.SrcPort) })},
		{Key: "dst", Title: "DESTINATION", Min: 9, Max: 47, Less: sortable, Cell: text(func(f *control.Flow) string { return end(f.Dst, f.DstPort) })},
		{Key: "dst_port", Title: "DPORT", Min: 5, Max: 5, Right: true, Off: true, Drop: 6, Less: sortable, Cell: text(func(f *control.Flow) string { return portText(f.DstPort) })},
		{Key: "state", Title: "STATE", Min: 5, Max: 12, Drop: 6, Less: sortable, Cell: func(f *control.Flow) cell {
			if f.State == "established" {
				return cell{f.State, toneText}
			}
			return cell{f.State, toneDim}
		}},
		{Key: "rate", Title: "RATE", Min: 7, Max: 8, Right: true, Less: sortable, Largest: true, Cell: func(f *control.Flow) cell {
			r := bothRates(f)
			if r.Bytes == 0 {
				return cell{"0", toneDim}
			}
			return cell{bitsText(r.Bytes), toneStrong}
		}, File: func(f *control.Flow) string { return fileBits(bothRates(f).Bytes) }},
		{Key: "trend", Title: "TREND", Min: 8, Max: 8, Drop: 8, Drawn: true, Cell: func(f *control.Flow) cell {
			return cell{c.env.spark(c.trends[f.ID], 8), tonePlot}
		}},
		{Key: "bytes", Title: "BYTES", Min: 6, Max: 6, Right: true, Drop: 7, Less: sortable, Largest: true, Cell: text(func(f *control.Flow) string { return bytesText(f.Original.Bytes + f.Reply.Bytes) }),
			File: func(f *control.Flow) string { return fileNumber(f.Original.Bytes + f.Reply.Bytes) }},
		{Key: "packets", Title: "PACKETS", Min: 7, Max: 7, Right: true, Drop: 10, Less: sortable, Largest: true, Cell: text(func(f *control.Flow) string { return countText(f.Original.Packets + f.Reply.Packets) }),
			File: func(f *control.Flow) string { return fileNumber(f.Original.Packets + f.Reply.Packets) }},
		{Key: "age", Title: "AGE", Min: 6, Max: 6, Right: true, Drop: 9, Less: sortable, Largest: true, Cell: dim(func(f *control.Flow) string { return ageText(c.now().Sub(f.Begun)) }),
			File: func(f *control.Flow) string { return fileSeconds(c.now().Sub(f.Begun)) }},
		{Key: "rule", Title: "RULE", Min: 6, Max: 32, Drop: 11, Less: sortable, Cell: func(f *control.Flow) cell {
			if f.Rule == "" {
				return cell{"default", toneDim}
			}
			return cell{f.Rule, toneText}
		}, File: func(f *control.Flow) string { return f.Rule }},
		{Key: "context", Title: "CONTEXT", Min: 7, Max: 18, Drop: 12, Less: sortable, Cell: dim(func(f *control.Flow) string { return contextText(f.Context) })},
		{Key: "from", Title: "FROM", Min: 7, Max: 39, Drop: 13, Less: sortable, Cell: dim(func(f *control.Flow) string { return addressText(f.From) })},
		{Key: "to", Title: "TO", Min: 7, Max: 39, Drop: 14, Less: sortable, Cell: dim(func(f *control.Flow) string { return addressText(f.To) })},
		{Key: "last", Title: "IDLE", Min: 6, Max: 6, Right: true, Off: true, Drop: 15, Less: sortable, Largest: true, Cell: dim(func(f *control.Flow) string { return ageText(c.now().Sub(f.Last)) }),
			File: func(f *control.Flow) string { return fileSeconds(c.now().Sub(f.Last)) }},
		{Key: "expires", Title: "EXPIRES", Min: 7, Max: 7, Right: true, Off: true, Drop: 16, Less: sortable, Cell: dim(func(f *control.Flow) string { return ageText(f.Expires.Sub(c.now())) }),
			File: func(f *control.Flow) string { return fileSeconds(f.Expires.Sub(c.now())) }},
	}
}

// flowVerdict is the verdict in the words of filters: audit where only audit mode
// lets it pass.
func flowVerdict(f *control.Flow) string {
	if f.WouldBe != "" {
		return "audit"
	}
	return f.Verdict
}

// bothRates is what goes in both directions.
func bothRates(f *control.Flow) (sum control.Rate) {
	for _, r := range []*control.Rate{f.OriginalRate, f.ReplyRate} {
		if r != nil {
			sum.Packets += r.Packets
			sum.Bytes += r.Bytes
		}
	}
	return sum
}

func protocolText(f *control.Flow) string {
	if f.ICMPType != nil {
		return fmt.Sprintf("%s/%d", strings.Replace(f.Protocol, "icmpv6", "icmp6", 1), *f.ICMPType)
	}
	return f.Protocol
}

// contextText writes a context ID as short as it is.
func contextText(id control.ContextID) string { return fmt.Sprintf("0x%x", uint64(id)) }

func addressText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func end(a netip.Addr, port *uint16) string {
	switch {
	case !a.IsValid():
		return ""
	case port == nil:
		return a.String()
	}
	return netip.AddrPortFrom(a, *port).String()
}

func portText(p *uint16) string {
	if p == nil {
		return ""
	}
	return fmt.Sprint(*p)
}

// flowFilter selects a flow by what makes it one.
func flowFilter(f *control.Flow) string {
	terms := []string{"tenant:" + filter.Quote(f.Tenant), "proto:" + f.Protocol, "src:" + f.Src.String(), "dst:" + f.Dst.String()}
	if f.SrcPort != nil {
		terms = append(terms, fmt.Sprintf("sport:%d", *f.SrcPort))
	}
	if f.DstPort != nil {
		terms = append(terms, fmt.Sprintf("dport:%d", *f.DstPort))
	}
	terms = append(terms, "context:"+contextText(f.Context))
	return strings.Join(terms, " ")
}
