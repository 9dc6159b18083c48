package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"sttwall/capture"
	"sttwall/control"
	"sttwall/dissect"
	"sttwall/eventlog"
	"sttwall/inspect"
	"sttwall/reason"
)

// lookAgain is how often it is looked whether something that nobody tells of is there.
const lookAgain = 20 * time.Millisecond

// shownSteps are about what the lines before have left: how an operator sees it.
func shownSteps() []step {
	return []step{
		{What: "flows: the TCP connection to " + InnerB.String(), Tenant: "acme", Expected: "shown, by acme/web", run: flowIsShown},
		{What: "flows --filter 'dprot:443', a slip", Tenant: "-", Expected: "refused at its column", run: slipIsRefused},
		{What: "drops: the frame with the lying L4 offset", Tenant: "acme", Expected: "shown, the lie pointed at", run: lieIsShown},
		{What: "trace: a UDP datagram, byte by byte", Tenant: "acme", Expected: "shown, by acme/echo", run: frameIsFollowed},
		{What: "capture: a dropped datagram as pcapng", Tenant: "acme", Expected: "rule and reason as comment", run: dropIsCaptured},
		{What: "event log: the TCP connection from its start", Tenant: "acme", Expected: "logged as EVE JSON", run: flowIsLogged},
		{What: "metrics: /readyz and a scrape", Tenant: "-", Expected: "as many drops as counted", run: metricsAgree},
		{What: "health: queues, tables, losses", Tenant: "-", Expected: "nothing lost", run: nothingIsLost},
		{What: "the rule that would allow telnet, added, reload", Tenant: "acme", Expected: "telnet passes by it", run: remedyWorks},
	}
}

func flowIsShown(ctx context.Context, s *scenario) (string, error) {
	filter := fmt.Sprintf("tenant:acme tcp sport:%d dst:%s dport:%d", sharedPort, InnerB, portWeb)
	page, err := s.shown.client.Flows(ctx, control.FlowQuery{Filter: filter, Sort: "bytes", Descending: true})
	if err != nil {
		return "", err
	}
	if len(page.Flows) != 1 || page.Flows[0].Rule != "acme/web" {
		return "", fmt.Errorf("%d flows: %+v", len(page.Flows), page.Flows)
	}
	f := &page.Flows[0]
	return fmt.Sprintf("shown: %s by %s, %d packets there and %d back", f.State, f.Rule, f.Original.Packets, f.Reply.Packets), nil
}

func slipIsRefused(ctx context.Context, s *scenario) (string, error) {
	_, err := s.shown.client.Flows(ctx, control.FlowQuery{Filter: "tenant:acme dprot:443"})
	if err == nil || !strings.Contains(err.Error(), "column 13") || !strings.Contains(err.Error(), "dport") {
		return "", fmt.Errorf("the answer: %w", err)
	}
	return "refused: " + err.Error(), nil
}

// lastDrop waits for the newest kept frame that a filter selects.
func (s *scenario) lastDrop(ctx context.Context, filter string) (f control.Frame, err error) {
	err = s.soon(ctx, "a kept frame of "+filter, func() (bool, error) {
		recent, err := s.shown.client.RecentDrops(ctx, control.FrameQuery{Filter: filter, Snap: control.RecentSnap})
		if err != nil || len(recent.Frames) == 0 {
			return false, err
		}
		f = recent.Frames[len(recent.Frames)-1]
		return true, nil
	})
	return f, err
}

// soon waits until something is there that nobody tells of.
func (s *scenario) soon(ctx context.Context, what string, there func() (bool, error)) error {
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for {
		if is, err := there(); is || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, context.Cause(ctx))
		}
	}
}

func lieIsShown(ctx context.Context, s *scenario) (string, error) {
	f, err := s.lastDrop(ctx, "drop reason:"+reason.L4OffsetMismatch.String())
	if err != nil {
		return "", err
	}
	for _, layer := range dissect.Dissect(&dissect.Frame{Header: f.Header, Data: f.Data, Length: f.InnerBytes}) {
		for _, field := range layer.Fields {
			if layer.InHeader && field.Offset == 2 && field.Note != "" {
				return fmt.Sprintf("shown: %s %s: %s", field.Name, field.Value, field.Note), nil
			}
		}
	}
	return "", errors.New("nothing is said of the L4 offset")
}

func frameIsFollowed(ctx context.Context, s *scenario) (string, error) {
	message, _ := s.mark(0)
	f, err := s.followed(ctx, fmt.Sprintf("tenant:acme udp dst:%s dport:%d", InnerB, portEcho), func(ctx context.Context) error {
		return s.lab.exchange(ctx, flow{place: AcmeA, network: "udp", to: netip.AddrPortFrom(InnerB, portEcho)}, message)
	})
	if err != nil {
		return "", err
	}
	if f.Rule != "acme/echo" || f.Verdict != "accept" || !bytes.Contains(f.Data, message) {
		return "", fmt.Errorf("a frame that was not sent: %s by %s, % x", f.Verdict, f.Rule, f.Data)
	}
	return fmt.Sprintf("shown: %s by %s, its %d bytes as they were sent", f.Verdict, f.Rule, f.InnerBytes), nil
}

// followed follows the frames that a filter selects, does act until there is one, and
// returns it.
func (s *scenario) followed(ctx context.Context, filter string, act func(context.Context) error) (found control.Frame, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	errFound := errors.New("found")
	ended := make(chan error, 1)
	go func() {
		ended <- s.shown.client.Frames(ctx, control.FrameQuery{Filter: filter, Snap: control.MaxSnap}, func(f *control.Frame) error {
			found = *f
			return errFound
		}, nil)
	}()
	if err := s.soon(ctx, "a frame of "+filter, func() (bool, error) {
		select {
		case err := <-ended:
			if errors.Is(err, errFound) {
				err = nil
			}
			return true, err
		default:
			return false, act(ctx) // what was sent before it began to follow is not shown
		}
	}); err != nil {
		return control.Frame{}, err
	}
	return found, nil
}

func dropIsCaptured(ctx context.Context, s *scenario) (string, error) {
	message, _ := s.mark(0)
	f, err := s.followed(ctx, fmt.Sprintf("tenant:acme drop udp dport:%d", portSyslog), func(ctx context.Context) error {
		return s.lab.sendUDP(ctx, flow{place: AcmeA, to: netip.AddrPortFrom(InnerB, portSyslog)}, message)
	})
	if err != nil {
		return "", err
	}
	var (
		file   bytes.Buffer
		record capture.Record
		packet capture.Packet
	)
	if !f.Record(&record) {
		return "", errors.New("its bytes are not known")
	}
	w, err := capture.NewWriter(&file, "sttwall")
	if err == nil {
		err = errors.Join(w.Write(&record), w.Flush())
	}
	if err != nil {
		return "", err
	}
	size := file.Len()
	r, err := capture.NewReader("capture.pcapng", &file)
	if err == nil {
		err = r.Next(&packet)
	}
	if err != nil {
		return "", err
	}
	var inner inspect.Frame
	if why := inner.Decode(packet.Data, len(packet.Data), 0, inspect.Tagged(false)); why != reason.None || inner.DstPort != portSyslog {
		return "", fmt.Errorf("the frame: %v, to port %d", why, inner.DstPort)
	}
	for _, want := range []string{"verdict=drop", "reason=rule_drop", "rule=acme/no-syslog"} {
		if !strings.Contains(string(packet.Comment), want) {
			return "", fmt.Errorf("the comment %q does not have %s", packet.Comment, want)
		}
	}
	return fmt.Sprintf("%d bytes of pcapng: verdict=drop reason=rule_drop rule=acme/no-syslog", size), nil
}

func flowIsLogged(ctx context.Context, s *scenario) (string, error) {
	type line struct {
		Type    string     `json:"event_type"`
		Src     netip.Addr `json:"src_ip"`
		SrcPort int        `json:"src_port"`
		Dst     netip.Addr `json:"dest_ip"`
		DstPort int        `json:"dest_port"`
		Proto   string     `json:"proto"`
		FlowID  uint64     `json:"flow_id"`
	}
	var found line
	err := s.soon(ctx, "the line of the flow", func() (bool, error) {
		text, err := os.ReadFile(s.shown.logFile)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return false, err
		}
		for l := range bytes.Lines(text) {
			var one line
			if !bytes.HasSuffix(l, []byte("\n")) {
				continue // being written
			}
			if err := json.Unmarshal(l, &one); err != nil {
				return false, fmt.Errorf("%s: %w", l, err)
			}
			if one.Type == eventlog.TypeFlowStart && one.Proto == "TCP" && one.SrcPort == sharedPort && one.Dst == InnerB && one.DstPort == portWeb {
				found = one
				return true, nil
			}
		}
		return false, nil
	})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("logged: %s, flow_id %d, %s:%d > %s:%d", found.Type, found.FlowID, found.Src, found.SrcPort, found.Dst, found.DstPort), nil
}

// scrape asks for metrics as Prometheus does.
func (o *onlookers) scrape(ctx context.Context, path string) (string, error) {
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", o.scrapes)
	}, DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://sttwall"+path, nil)
	if err != nil {
		return "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", path, response.Status, text)
	}
	return string(text), err
}

func metricsAgree(ctx context.Context, s *scenario) (string, error) {
	if _, err := s.shown.scrape(ctx, "/readyz"); err != nil {
		return "", err
	}
	text, err := s.shown.scrape(ctx, "/metrics")
	if err != nil {
		return "", err
	}
	n := s.lab.Totals().Reasons[reason.L4OffsetMismatch]
	want := fmt.Sprintf("sttwall_dropped_frames_total{reason=%q} %d\n", reason.L4OffsetMismatch, n)
	if n == 0 || !strings.Contains(text, want) {
		return "", fmt.Errorf("a scrape of %d bytes without %s", len(text), want)
	}
	return fmt.Sprintf("%d lines; %s", strings.Count(text, "\n"), strings.TrimSpace(want)), nil
}

func nothingIsLost(ctx context.Context, s *scenario) (string, error) {
	h, err := s.shown.client.Health(ctx)
	if err != nil {
		return "", err
	}
	if len(h.Troubles) > 0 {
		return "", fmt.Errorf("%s: %s", h.Troubles[0].Severity, h.Troubles[0].What)
	}
	var packets uint64
	for _, q := range h.Queues {
		packets += q.Packets
		if lost := q.Overruns + q.DroppedBuffer + q.DroppedFull + q.Late + q.Refused + q.Errors; lost > 0 {
			return "", fmt.Errorf("queue %d: %+v", q.Number, q)
		}
	}
	return fmt.Sprintf("%s, %d packets, nothing lost, %d flows, no troubles", plural(len(h.Queues), "queue"), packets, h.Flows.Now), nil
}

var ruleName = regexp.MustCompile(`(?m)^\s*rule "([^"]+)"`)

// remedyWorks asks for the rule that would have let telnet pass, puts it where it says,
// has it put in force, and tries again.
func remedyWorks(ctx context.Context, s *scenario) (string, error) {
	f, err := s.lastDrop(ctx, "rule:acme/no-telnet tcp")
	if err != nil {
		return "", err
	}
	remedy, err := s.shown.client.Remedy(ctx, control.RemedyRequest{
		Context: *f.Context, Header: f.Header, Data: f.Data, InnerBytes: f.InnerBytes, Reason: f.Reason, From: f.From.String(), To: f.To.String(),
	})
	if err != nil {
		return "", err
	}
	name := ruleName.FindStringSubmatch(remedy.Text)
	if name == nil {
		return "", fmt.Errorf("no rule: %s", remedy.Why)
	}
	rules, err := s.shown.client.Rules(ctx)
	if err != nil {
		return "", err
	}
	at := slices.IndexFunc(rules, func(r control.RuleHits) bool { return r.Rule == "acme/no-telnet" })
	if at < 0 || !strings.Contains(remedy.Place, fmt.Sprintf("%s:%d", rules[at].File, rules[at].Line)) {
		return "", fmt.Errorf("it does not say that it goes in front of acme/no-telnet: %s", remedy.Place)
	}
	text, err := os.ReadFile(s.shown.rules)
	if err != nil {
		return "", err
	}
	lines := slices.Insert(strings.SplitAfter(string(text), "\n"), rules[at].Line-1, remedy.Text+"\n")
	if err := os.WriteFile(s.shown.rules, []byte(strings.Join(lines, "")), 0o644); err != nil {
		return "", err
	}
	if _, err := s.shown.client.Reload(ctx); err != nil {
		return "", err
	}
	message, _ := s.mark(0)
	return s.passes(ctx, passage{
		act: func(ctx context.Context) error {
			return s.lab.exchange(ctx, flow{place: AcmeA, network: "tcp", from: netip.AddrPortFrom(InnerA, telnetPort+1), to: netip.AddrPortFrom(InnerB, portTelnet)}, message)
		},
		event: innerMatch(func(c uint64, f *inspect.Frame) bool {
			return c == ContextAcme && f.HasTCP && f.SrcPort == telnetPort+1 && f.DstPort == portTelnet
		}).event,
		rule: "acme/" + name[1],
	})
}
