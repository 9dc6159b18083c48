package evasion

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"sttwall/firewall"
	"sttwall/inspect"
	"sttwall/internal/receiver"
	"sttwall/policy"
	"sttwall/reason"
	"sttwall/reassembly"
)

// Core is the firewall under attack, with its clock.
type Core struct {
	workers []*firewall.Firewall
	rules   []standing // in the order of their times
	shared  *firewall.Shared
	rebuild bool
	queueOf func(port uint16) int
	start   int64
	sizes   []int // how the kernel cuts super-segments that leave
	packets map[uint64]Sent
	next    uint64
	now     int64
	out     firewall.Verdicts
	before  firewall.Totals
	left    [][]Wire // for each of sizes

	mu       sync.Mutex // workers on real queues run at once
	accepted [][]byte   // the frames that were, with headers as they came
	answers  [][]byte   // that the firewall sent by itself
}

// NewCore makes a firewall with [Rules], as a script wants it, an hour of clock behind
// it, in which the client has opened its flows with the web server.
func NewCore(s *Script) (*Core, error) {
	set := s.Rules
	if set == nil {
		set = usual
	}
	rules, err := set.load(s.Rebuild)
	if err != nil {
		return nil, err
	}
	start := or(s.Start, int64(time.Hour))
	c := &Core{
		rules: []standing{{0, set, rules}}, start: start, now: start, queueOf: s.QueueOf, rebuild: s.Rebuild,
		sizes: []int{512, 1400}, packets: map[uint64]Sent{},
	}
	if c.queueOf == nil {
		c.queueOf = func(port uint16) int { return int(port % 2) }
	}
	guard := time.Duration(0)
	if s.Startup {
		guard = 90 * time.Second
	}
	ids, err := firewall.NewFrameIDFilter(firewall.FrameIDConfig{Bits: 16, Start: c.start, StartupGuard: guard})
	if err != nil {
		return nil, err
	}
	shared, err := firewall.NewShared(rules, ids)
	if err != nil {
		return nil, err
	}
	c.shared = shared
	config := firewall.Config{
		Shared: shared, Reassembly: reassembly.Config{SourceFrames: s.Held},
		Observer: func(e *firewall.FrameEvent) {
			if e.Verdict == firewall.Accept {
				h := header{tci: e.Header.TCI, context: e.Header.ContextID}
				inner := e.InnerData
				if n := e.FrameLength - 18; len(inner) < n { // the rest was not copied
					if b := c.packets[e.Packets[0].ID].Packet; len(b) >= n {
						inner = b[len(b)-n:]
					}
				}
				c.mu.Lock()
				c.accepted = append(c.accepted, frameOf(h, inner))
				c.mu.Unlock()
			}
		},
	}
	for n := range 2 {
		config.Random = rand.NewPCG(1, uint64(n))
		w, err := firewall.New(config)
		if err != nil {
			return nil, err
		}
		c.workers = append(c.workers, w)
	}
	if !s.Queues {
		c.workers = c.workers[:1]
	}
	c.open()
	for _, w := range c.workers {
		c.before.Add(w.Counters())
	}
	c.left = make([][]Wire, len(c.sizes))
	return c, nil
}

// open has the client's TCP handshakes pass, in each Context ID that has flows.
func (c *Core) open() {
	for _, v6 := range []bool{false, true} {
		for i, p := range []packet{
			{v6: v6, flags: 0x02, seq: 1<<32 - 1}, {v6: v6, flags: 0x12, reverse: true, seq: 1}, {v6: v6, flags: 0x10},
		} {
			b := p.bytes()
			if i == 1 { // the server's SYN comes before its first byte
				at := 34
				if v6 {
					at = 54
				}
				put32(b[at+4:], 2_000_000)
				src, dst := p.addresses()
				put16(b[at+16:], 0)
				put16(b[at+16:], ^sum(src, dst, []byte{0, 6}, word(len(b)-at), b[at:]))
			}
			s := wholeOf(1, frameOf(header{context: 200}, b))
			if p.reverse {
				s.src, s.dst = 2, 1
			}
			c.send(Sent{Packet: s.bytes(false)})
		}
	}
	c.out.Reset()
}

// Reload puts other rules in force at a time, in ns.
func (c *Core) Reload(now int64, set *RuleSet) error {
	rules, err := set.load(c.rebuild)
	if err != nil {
		return err
	}
	c.shared.SetPolicy(rules)
	c.shared.Rejudge(now)
	c.rules = append(c.rules, standing{now, set, rules})
	return nil
}

// send hands one packet in.
func (c *Core) send(s Sent) {
	c.pass(c.start + int64(s.At))
	p := firewall.Packet{Data: bytes.Clone(s.Packet), Length: len(s.Packet), GSO: s.GSO}
	if s.GSO || s.Partial {
		p.Checksum = firewall.ChecksumPartial
	}
	if s.Part && len(s.Packet) > CopyRange {
		p.Data, p.More = p.Data[:CopyRange], true
		if tcp := s.Packet[20:]; s.Packet[0] == 0x45 && // else the kernel says nothing
			sum(s.Packet[12:20], []byte{0, 6}, word(len(tcp)), tcp) == 0xffff {
			p.Checksum = firewall.ChecksumGood
		}
	}
	c.process(s, p)
	if list := c.out.List; len(list) > 0 && list[len(list)-1].Action == firewall.Again {
		p.Data, p.More = bytes.Clone(s.Packet), false
		c.process(s, p)
	}
}

// process hands a packet to its worker.
func (c *Core) process(s Sent, p firewall.Packet) {
	c.next++
	p.ID = c.next
	c.packets[c.next] = s
	worker := c.queueOf(SourcePort(s.Packet)) % len(c.workers)
	c.workers[worker].Process(c.now, &p, &c.out)
}

// SourcePort reads the source port of an outer packet without options; 0 if there is
// none.
func SourcePort(packet []byte) uint16 {
	at := 20
	if len(packet) > 0 && packet[0]>>4 == 6 {
		at = 40
	}
	if len(packet) < at+2 {
		return 0
	}
	return get16(packet[at:])
}

// pass lets time pass, and the firewall drop what is overdue when it is.
func (c *Core) pass(until int64) {
	for {
		next, due := until, -1
		for i, w := range c.workers {
			if deadline, held := w.NextDeadline(); held && deadline <= next {
				next, due = deadline, i
			}
		}
		if due < 0 {
			break
		}
		c.now = max(c.now+1, next)
		c.workers[due].Expire(c.now, &c.out)
		c.take()
	}
	c.now = max(c.now, until)
}

// take writes down what left.
func (c *Core) take() {
	for _, a := range c.out.Answers {
		c.answers = append(c.answers, bytes.Clone(a.Data))
	}
	for _, v := range c.out.List {
		if v.Action != firewall.Accept {
			continue
		}
		s := c.packets[v.ID]
		if v.Payload != nil {
			s.Packet = bytes.Clone(v.Payload)
		}
		c.leave(s)
	}
	c.out.Reset()
}

// leave writes down a packet that leaves, cut by the kernel if it is a super-segment.
func (c *Core) leave(s Sent) {
	for i, size := range c.sizes {
		if !s.GSO {
			c.left[i] = append(c.left[i], Wire{c.now, s.Packet})
			continue
		}
		for _, b := range Segmentize(s.Packet, size) {
			c.left[i] = append(c.left[i], Wire{c.now, b})
		}
	}
}

// Result is what became of a script.
type Result struct {
	// Accepted counts the frames that left, Reasons why others did not, each once.
	Accepted int
	Reasons  []reason.Reason
	// Rewritten counts the frames that left with new bytes.
	Rewritten int
	// Left are the packets that left, with super-segments cut small.
	Left []Wire
	// Answers counts the packets that the firewall sent by itself.
	Answers int
	// Networks counts the networks that were tried, Delivered the frames that both
	// receivers made of what came through them.
	Networks, Delivered int
	// Broken says what must never be and was; "" is well.
	Broken string
}

// Run sends a script through a firewall and what leaves through networks to both
// receivers. random draws the networks.
func Run(s *Script, random *rand.Rand) (*Result, error) {
	return run(s, random, false)
}

// Try is [Run] for a script whose frames may be spliced: what is delivered must be
// frames that the core has seen whole, whoever meant to send them. It tries a few
// networks only, and receivers with two CPUs too.
func Try(s *Script, random *rand.Rand) (*Result, error) {
	return run(s, random, true)
}

// Decide is [Run] without networks and receivers: what the core alone does.
func Decide(s *Script) (*Result, error) {
	c, err := decide(s)
	if err != nil {
		return nil, err
	}
	return c.Outcome(), nil
}

// decide sends all of a script through a core.
func decide(s *Script) (*Core, error) {
	c, err := NewCore(s)
	if err != nil {
		return nil, err
	}
	for _, p := range s.Sent {
		if p.Before {
			c.leave(p)
			continue
		}
		if p.Rules != nil {
			c.pass(c.start + int64(p.At))
			if err := c.Reload(c.now, p.Rules); err != nil {
				return nil, err
			}
			continue
		}
		c.send(p)
		c.take()
	}
	c.pass(c.start + int64(s.now+After))
	for _, w := range c.workers {
		w.Flush(&c.out)
	}
	c.take()
	return c, nil
}

func run(s *Script, random *rand.Rand, spliced bool) (*Result, error) {
	c, err := decide(s)
	if err != nil {
		return nil, err
	}
	r := c.Outcome()
	r.Left = c.left[0]
	if r.Broken = c.VerifyAnswers(s, c.answers); r.Broken != "" {
		return r, nil
	}
	for i := range c.sizes {
		if i > 0 && !slices.ContainsFunc(s.Sent, func(p Sent) bool { return p.GSO }) {
			break // nothing is cut: the same packets once more
		}
		networks := Networks(c.left[i], random)
		v := &verifier{frames: s.Frames, rules: c.rules}
		if spliced {
			v.frames, v.random = c.accepted, random
			random.Shuffle(len(networks), func(a, b int) { networks[a], networks[b] = networks[b], networks[a] })
			networks = networks[:min(len(networks), 6)]
		}
		if r.Broken = v.all(networks); r.Broken != "" {
			return r, nil
		}
		r.Networks += len(networks)
		r.Delivered += v.delivered
	}
	return r, nil
}

// After is how long a firewall is watched when a script is over: by then all that it
// held is dropped.
const After = 10 * time.Minute

// Firewalls are the workers of the core, one for each queue.
func (c *Core) Firewalls() []*firewall.Firewall { return c.workers }

// Outcome returns what the workers have counted since the core was made.
func (c *Core) Outcome() *Result {
	var after firewall.Totals
	for _, w := range c.workers {
		after.Add(w.Counters())
	}
	r := &Result{
		Accepted:  int(after.FramesAccepted - c.before.FramesAccepted),
		Rewritten: int(after.FramesRewritten - c.before.FramesRewritten),
		Answers:   int(after.RejectsSent - c.before.RejectsSent),
	}
	for i := range after.Reasons {
		if after.Reasons[i] != c.before.Reasons[i] {
			r.Reasons = append(r.Reasons, reason.Reason(i))
		}
	}
	return r
}

// Verify has both receivers take what networks deliver of what has left a firewall. It
// returns how many frames they made of it, and what must never be and was; "" is well.
func (c *Core) Verify(s *Script, networks []Network) (delivered int, broken string) {
	v := &verifier{frames: s.Frames, rules: c.rules}
	if s.Spread {
		// Segments of two frames may have met in one queue: what counts is that the
		// firewall has seen them as one.
		v.frames = slices.Concat(s.Frames, c.accepted)
	}
	broken = v.all(networks)
	return v.delivered, broken
}

// verifier has both receivers take what one network delivers, and looks at what they
// make of it.
type verifier struct {
	frames    [][]byte // that may be delivered
	rules     []standing
	random    *rand.Rand // not nil: which CPU takes a packet, of two
	delivered int
}

// all checks networks one after the other, until one breaks.
func (v *verifier) all(networks []Network) string {
	for _, n := range networks {
		if why := v.check(n); why != "" {
			return fmt.Sprintf("network %q: %s", n.Name, why)
		}
	}
	return ""
}

func (v *verifier) check(n Network) string {
	linux := receiver.NewLinux(receiver.LinuxConfig{IPv6: true})
	receivers := []struct {
		name  string
		model receiver.Receiver
		guest guest
		got   []string // what each delivery was
	}{
		{name: "linux", model: linux},
		{name: "windows", model: receiver.NewWindows(receiver.WindowsConfig{IPv6: true})},
		{name: "windows without TOS", model: receiver.NewWindows(receiver.WindowsConfig{IPv6: true, KeepsTOS: true})},
	}
	if v.rules[0].set.Linux {
		receivers = receivers[:1]
	}
	cpus := 1
	if v.random != nil {
		cpus = 2
		receivers = append(receivers, receivers[0])
		receivers[3].name, receivers[3].model = "linux on two CPUs", receiver.NewLinux(receiver.LinuxConfig{IPv6: true, CPUs: 2, Seed: v.random.Uint64()})
	}
	for i := range receivers {
		r := &receivers[i]
		for k, p := range n.Packets {
			cpu := 0
			if cpus > 1 {
				cpu = v.random.IntN(cpus)
			}
			d := r.model.Receive(p.At, cpu, p.Packet)
			if d == nil {
				continue
			}
			v.delivered++
			r.got = append(r.got, effect(d))
			if why := v.look(v.at(p.At), d, &r.guest, n.Doubled); why != "" {
				return fmt.Sprintf("%s delivered at packet %d: %s: %x", r.name, k, why, d.Frame[:min(len(d.Frame), 120)])
			}
		}
		if r.model.Faults() != (receiver.Faults{}) {
			return fmt.Sprintf("%s: %+v", r.name, r.model.Faults())
		}
	}
	if len(receivers) < 3 || n.Doubled {
		return ""
	}
	return differ(receivers[0].got, receivers[2].got, linux.PushedOut())
}

// differ says that receivers deliver different things. Where many frames wait at once
// Linux loses some: a frame has four places, which others may have by chance.
func differ(linux, windows []string, lost int) string {
	common := windows
	if lost > 0 {
		left := linux
		common = nil
		for _, d := range windows {
			if len(left) > 0 && left[0] == d {
				common, left = append(common, d), left[1:]
			}
		}
		if len(windows)-len(common) > lost {
			common = windows
		}
	}
	if !slices.Equal(linux, common) {
		return fmt.Sprintf("the receivers deliver different things: %d and %d frames", len(linux), len(windows))
	}
	return ""
}

// at returns the rules that were in force when a packet left.
func (v *verifier) at(now int64) *standing {
	st := &v.rules[0]
	for i := range v.rules {
		if v.rules[i].from <= now {
			st = &v.rules[i]
		}
	}
	return st
}

// effect is all that a tenant sees of a frame. A tag of zeros alone is as none.
func effect(d *receiver.Delivered) string {
	head := fmt.Sprint(d.Src, d.Dst, d.Context, d.Tagged && d.TCI != 0, d.TCI, d.Trusted, len(d.Packets))
	return head + string(bytes.Join(d.Packets, []byte("|")))
}

// look says what is wrong with what was delivered.
func (v *verifier) look(st *standing, d *receiver.Delivered, g *guest, doubled bool) string {
	if !v.sent(st, d) {
		return "nobody has sent this frame"
	}
	before, err := read(d, d.Frame)
	if err != nil {
		return "cannot be read: " + err.Error()
	}
	for _, u := range d.Undefined {
		// Of a packet that came twice the headers at least must be what was sent.
		if !doubled || u.From < len(d.Frame)-len(before.payload)+20 {
			return fmt.Sprintf("memory that nobody sent in %v", d.Undefined)
		}
	}
	if d.Gaps {
		return "pieces with gaps between them"
	}
	if why := st.set.permits(before); why != "" {
		return "denied: " + why
	}
	if why := st.evaluate(d); why != "" {
		return "the rules say " + why
	}
	for _, w := range d.Written {
		// A large frame is cut by its headers: what they are is looked at below.
		if len(d.Packets) == 1 && !before.mayBeWritten(w) {
			return fmt.Sprintf("the receiver writes to %v", w)
		}
	}
	for _, p := range d.Packets {
		after, err := read(d, p)
		if err != nil {
			return "cannot be read when it was written: " + err.Error()
		}
		if why := before.same(after); why != "" {
			return "the receiver has written to " + why
		}
		if after.fragment == nil {
			continue
		}
		if why := g.take(st.set, after); why != "" {
			return "fragments make a packet that is denied: " + why
		}
	}
	return ""
}

// sent reports whether the frame is one that the sender meant, byte for byte but for
// what the canonical encoding changes: no inner byte.
func (v *verifier) sent(st *standing, d *receiver.Delivered) bool {
	for _, f := range v.frames {
		context := uint64(get32(f[8:]))<<32 | uint64(get32(f[12:]))
		tci := get16(f[6:])
		tagged := tci != 0
		frame := f[18:]
		if st.set.changes != nil {
			frame = st.set.changes(f)
		}
		if len(d.Undefined) > 0 && len(frame) == len(d.Frame) {
			frame = bytes.Clone(frame)
			for _, u := range d.Undefined {
				copy(frame[u.From:u.To], d.Frame[u.From:u.To])
			}
		}
		if context == d.Context && bytes.Equal(frame, d.Frame) &&
			(!d.Tagged && (!tagged || tci == 0x1000) || d.Tagged && tagged && d.TCI == tci&^0x1000) {
			return true
		}
	}
	return false
}

// evaluate asks the rules engine about the frame by itself. Answers of the server, later
// fragments, and errors about a flow cannot be judged so.
func (st *standing) evaluate(d *receiver.Delivered) string {
	var f inspect.Frame
	tci := d.TCI
	if r := f.Decode(d.Frame, len(d.Frame), tci, inspect.Tagged(d.Tagged)); r != reason.None {
		return r.String()
	}
	if f.Fragmented && f.Fragment.Offset > 0 || isServer(f.Src.AsSlice()) || d.Context == 200 && f.HasICMP {
		return ""
	}
	x := st.policy.Explain(&policy.Packet{ContextID: d.Context, Frame: &f, From: d.Src, To: d.Dst})
	if x.Decision.Action != policy.Accept {
		return x.Decision.Reason.String()
	}
	return ""
}
