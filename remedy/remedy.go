package remedy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"sttwall/firewall"
	"sttwall/inspect"
	"sttwall/policy"
	"sttwall/reason"
	"sttwall/stt"
)

// Request is a frame that was dropped.
type Request struct {
	// ContextID and TCI are those of its frame header.
	ContextID uint64
	TCI       uint16
	// Data is the inner frame or its beginning; empty if it is not known. Length is how
	// long the inner frame was; less than len(Data) means that.
	Data   []byte
	Length int
	// From and To are its outer endpoints; what is not valid is taken to be right.
	From, To netip.Addr
	// Reason is why it was dropped, or would have been; None: by the rules that hold now.
	Reason reason.Reason
	// Now is the time, in ns since 1970 UTC.
	Now int64
}

// Remedy is what would let it pass.
type Remedy struct {
	// Text is a rule, a line or a block of the rules language; "" where that does not help.
	Text string
	// Place says where it goes, in words, with file and line.
	Place string
	// Why says what it does, or what helps instead.
	Why string
	// Tried: the rules file with Text in its place was loaded, and accepts the frame.
	Tried bool
}

// Find returns the remedy for a frame that p has dropped.
func Find(p *policy.Policy, r Request) Remedy {
	out, _ := find(p, r)
	return out
}

// find returns the policy too that was tried out; nil if none was.
func find(p *policy.Policy, r Request) (Remedy, *policy.Policy) {
	f := &finder{policy: p, request: r, file: openFile(p)}
	out := f.find()
	return out, f.tried
}

func (f *finder) find() Remedy {
	p, r := f.policy, f.request
	if r.From.IsValid() && foreign(p, r.From) {
		return f.unknownEndpoint()
	}
	if r.Reason == reason.EndpointUnknown {
		return Remedy{Why: "the rules that hold now let its outer source send: it is in settings.endpoints"}
	}
	if len(r.Data) == 0 || !ofRules(r.Reason) {
		return none(r.Reason)
	}
	if why := f.read(); why != reason.None {
		return none(why)
	}
	x, err := firewall.ExplainFirst(p, r.Now, &f.question)
	if err != nil {
		return Remedy{Why: err.Error()}
	}
	d := &x.Decision
	why := d.Reason
	if d.Audit {
		why = d.Would
	}
	switch why {
	case reason.None:
		return f.accepted(d)
	case reason.TenantEndpoint:
		return f.foreignToTenant(d)
	case reason.BindingDeclared:
		return f.declared(d)
	case reason.RuleDrop, reason.RuleReject, reason.TenantDefault, reason.StateInvalid, reason.ContextUnknown:
		if b := f.beginnings(); b != nil {
			return f.middle(b)
		}
		return f.rule(&f.question)
	}
	return none(why)
}

// none is the remedy where rules have no say.
func none(why reason.Reason) Remedy {
	if why == reason.None {
		return Remedy{Why: "of this frame too little is known: name its reason, or send its bytes"}
	}
	return Remedy{Why: fmt.Sprintf("no rule lets it pass: %s. %s", why.Meaning(), sentence(why.Remedy()))}
}

func sentence(text string) string { return strings.ToUpper(text[:1]) + text[1:] }

func foreign(p *policy.Policy, from netip.Addr) bool {
	listed := p.Settings().Endpoints
	return len(listed) > 0 && !slices.ContainsFunc(listed, func(e netip.Prefix) bool { return e.Contains(from) })
}

// finder looks for one remedy.
type finder struct {
	policy   *policy.Policy
	request  Request
	file     *file // nil: too large to be looked into
	frame    inspect.Frame
	question firewall.Question
	tried    *policy.Policy // the last that was
}

// read decodes the frame.
func (f *finder) read() reason.Reason {
	r := &f.request
	length := max(len(r.Data), r.Length)
	if why := f.frame.Decode(r.Data, length, r.TCI, inspect.Tagged(r.TCI != 0)); why != reason.None {
		return why
	}
	f.question = firewall.Question{ContextID: r.ContextID, Frame: &f.frame, Data: Whole(r.Data, length), From: r.From, To: r.To}
	return reason.None
}

// Whole returns an inner frame of that length of which data is the beginning; the
// rest is zero. Lengths of no frame are cut.
func Whole(data []byte, length int) []byte {
	length = min(length, 65535-stt.FrameHeaderLen)
	if length <= len(data) {
		return data
	}
	return append(slices.Clone(data), make([]byte, length-len(data))...)
}

// accepted is the remedy for a frame that the rules accept.
func (f *finder) accepted(d *policy.Decision) Remedy {
	by := "by default"
	if d.Rule != "" {
		by = "by " + d.Rule
	}
	switch f.request.Reason {
	case reason.BindingLearned:
		return f.learned()
	case reason.RateLimit: // buckets were taken to be full
		out := none(reason.RateLimit)
		if d.RuleIndex >= 0 {
			if _, name, line := f.policy.RuleText(d.RuleIndex); name != "" {
				out.Place = fmt.Sprintf("the limit of rule %q, %s:%d", d.Rule, name, line)
			}
		}
		return out
	}
	return Remedy{Why: "the rules that hold now accept it, " + by + ": they have changed, or a time window has opened", Tried: true}
}

// ofRules reports whether rules can have a say in what is dropped for a reason.
func ofRules(why reason.Reason) bool {
	switch why {
	case reason.None, reason.ContextUnknown, reason.TenantEndpoint, reason.BindingDeclared, reason.BindingLearned,
		reason.RuleDrop, reason.RuleReject, reason.RateLimit, reason.TenantDefault, reason.StateInvalid:
		return true
	}
	return false
}

// passes reports whether p accepts a frame outright.
func passes(p *policy.Policy, now int64, q *firewall.Question) bool {
	if q.From.IsValid() && foreign(p, q.From) {
		return false
	}
	x, err := firewall.ExplainFirst(p, now, q)
	return err == nil && x.Decision.Action == policy.Accept && !x.Decision.Audit
}

// try says whether the file with an edit lets the frame of the question pass.
func (f *finder) try(out Remedy, e edit, q *firewall.Question) Remedy {
	if f.file == nil {
		out.Why += ". It was not tried out: the rules file is too large to be loaded beside the one in force"
		return out
	}
	next, diagnostics := policy.Load(f.file.name, []byte(f.file.with(e)))
	switch {
	case next == nil:
		out.Why += ". It could not be tried out: with it the rules file does not load"
		for _, d := range diagnostics {
			if d.Severity == hcl.DiagError {
				out.Why += ": " + d.Summary
				break
			}
		}
	case passes(next, f.request.Now, q):
		out.Tried, f.tried = true, next
	default:
		out.Why += ". It may not be enough: the frame does not pass with it alone"
	}
	return out
}
