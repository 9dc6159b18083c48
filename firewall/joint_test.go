package firewall

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"sttwall/conntrack"
	"sttwall/describe"
)

var (
	packetsFlag = flag.Int("packets", 20_000, "how many packets in random sequences, through the whole core, are compared with the models")
	seedFlag    = flag.Uint64("seed", 0, "of the random sequences; 0: the time")
)

const jointLen = 600 // packets of one sequence

func TestRandomSequencesThroughTheCoreAgreeWithTheModels(t *testing.T) {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	met := make(map[string]int)
	for n := 0; n < *packetsFlag; n += jointLen {
		newJoint(t, r, met).run()
	}
	for _, what := range []string{"accepted new", "accepted original", "accepted reply", "accepted invalid", "dropped new", "dropped invalid", "dropped stale",
		"dropped other_context", "audited original", "audited reply", "audited invalid", "accepted untracked", "dropped untracked", "ended by a reload"} {
		if met[what] == 0 {
			t.Errorf("no packet was %s", what)
		}
	}
	t.Logf("%d packets: %v", *packetsFlag, met)
}

// joint is two workers and the models side by side.
type joint struct {
	*testing.T
	r       *rand.Rand
	shared  *Shared
	workers [2]*Firewall
	out     Verdicts
	now     int64
	event   FrameEvent
	model   jointModel
	frameID uint32
	n       int
	rules   string
	met     map[string]int
}

func newJoint(t *testing.T, r *rand.Rand, met map[string]int) *joint {
	p := randomPolicy(r)
	j := &joint{T: t, r: r, now: int64(time.Hour), rules: p.text(), met: met}
	j.model.reload(p)
	var err error
	if j.shared, err = NewShared(compile(t, j.rules), newFilter(t, FrameIDConfig{Bits: 16})); err != nil {
		t.Fatal(err)
	}
	for i := range j.workers {
		if j.workers[i], err = New(Config{Shared: j.shared, Random: rand.NewPCG(r.Uint64(), 2), Observer: func(e *FrameEvent) { j.event = *e }}); err != nil {
			t.Fatal(err)
		}
	}
	return j
}

func (j *joint) run() {
	for j.n = range jointLen {
		j.now += int64(time.Millisecond)
		switch j.r.IntN(100) {
		case 0, 1:
			p := randomPolicy(j.r)
			j.rules = p.text()
			j.shared.SetPolicy(compile(j, j.rules))
			j.model.reload(p)
		case 2:
			want := j.model.rejudge()
			if got := j.shared.Rejudge(j.now); got != want {
				j.Fatalf("packet %d: the new rules end %d flows, want %d\n%s", j.n, got, want, j.rules)
			}
			j.met["ended by a reload"] += want
		}
		if j.r.IntN(jointLen) == 0 {
			j.now += int64(25 * time.Hour) // all flows are over
			j.model.flows = nil
		}
		p, talk := j.packet()
		j.offer(&p, talk)
	}
	if got := j.shared.Flows().Stats().Flows; got < len(j.model.flows) {
		j.Errorf("%d flows, want %d", got, len(j.model.flows))
	}
}

// packet returns the next packet, and where it moves its connection to.
func (j *joint) packet() (p jointPacket, talk *jointTalk) {
	r := j.r
	if len(j.model.flows) == 0 || r.IntN(6) == 0 {
		return j.fresh()
	}
	f := j.model.flows[r.IntN(len(j.model.flows))]
	p = f.first
	if t := j.model.policy.owner(p.context); t == nil {
		p.tenant = ""
	} else {
		p.tenant = t.name
	}
	if p.tenant != f.first.tenant && p.protocol == "tcp" {
		return j.fresh() // it is another's now, whose numbers are others
	}
	dir := r.IntN(2)
	if dir == 1 {
		p.src, p.dst, p.sp, p.dp = p.dst, p.src, p.dp, p.sp
		p.reply = p.protocol == "icmp"
	}
	p.begins = p.protocol == "udp" || p.protocol == "icmp" && !p.reply
	p.from, p.to = f.ends[dir], f.ends[1-dir]
	if p.tenant == "ovn" {
		p.context = uint64(r.IntN(4))<<40 | uint64(r.IntN(4))<<24 | uint64(7+dir)
	}
	if r.IntN(8) == 0 {
		p.from = jointEnds[r.IntN(3)] // perhaps an impostor
	}
	if p.protocol == "tcp" {
		talk = f.speak(r, dir, &p)
	}
	if p.protocol == "icmp" && r.IntN(10) == 0 {
		p.reply = !p.reply // an answer from the one who asked
		p.begins = !p.reply
	}
	return p, talk
}

// fresh is a packet out of nothing.
func (j *joint) fresh() (p jointPacket, talk *jointTalk) {
	r := j.r
	p = jointPacket{context: anyOf[uint64](r, jointPlain, jointTrial, jointMoves, jointOVN), protocol: anyOf(r, "tcp", "tcp", "udp", "icmp"), sp: 1000 + r.IntN(3), dp: 1 + r.IntN(4), begins: true}
	if t := j.model.policy.owner(p.context); t != nil {
		p.tenant = t.name
	}
	a := r.IntN(3)
	b := (a + 1 + r.IntN(2)) % 3
	p.src, p.dst, p.from, p.to = jointHosts[a], jointHosts[b], jointEnds[a], jointEnds[b]
	switch p.protocol {
	case "tcp":
		talk = &jointTalk{next: [2]uint32{r.Uint32(), 0}}
		p.tcp = fmt.Sprintf("syn seq %d", talk.next[0])
		talk.next[0]++
		switch f, dir := j.model.find(&p); {
		case f == nil || f.closed:
		case dir == 1 && f.talk.phase == 0:
			return j.fresh() // both at once: conntrack's tests have that
		case f.talk.phase > 0:
			p.alien, talk = true, nil // a SYN inside a flow
		}
		if r.IntN(6) == 0 { // from the middle
			p.tcp, p.begins, p.alien = fmt.Sprintf("ack seq %d ack-number %d", r.Uint32(), r.Uint32()), false, true
		}
	case "icmp":
		p.dp = p.sp
		if r.IntN(6) == 0 {
			p.reply, p.begins = true, false
		}
	}
	return p, talk
}

// speak makes the packet what an honest side sends next, or a blind attacker.
func (f *jointFlow) speak(r *rand.Rand, dir int, p *jointPacket) *jointTalk {
	talk := f.talk
	me, other := talk.next[dir], talk.next[1-dir]
	switch {
	case f.closed && dir == 0 && r.IntN(2) == 0:
		talk = jointTalk{next: [2]uint32{me + 1<<20, 0}}
		p.tcp, p.begins = fmt.Sprintf("syn seq %d", talk.next[0]), true
		talk.next[0]++
	case r.IntN(6) == 0 && talk.phase > 0: // far from every number that is known
		p.tcp, p.alien = fmt.Sprintf("rst seq %d", me+1<<28+uint32(r.IntN(1<<28))), true
	case talk.phase == 0 && dir == 0:
		p.tcp, p.begins = fmt.Sprintf("syn seq %d", me-1), true
	case talk.phase == 0:
		talk.next[1] = r.Uint32()
		p.tcp = fmt.Sprintf("syn ack seq %d ack-number %d", talk.next[1], other)
		talk.next[1]++
		talk.phase = 1
	case talk.phase == 1 && dir == 1:
		p.tcp = fmt.Sprintf("syn ack seq %d ack-number %d", me-1, other)
	case r.IntN(16) == 0:
		p.tcp, p.last = fmt.Sprintf("rst seq %d", me), true
	default:
		talk.phase = 2
		talk.next[dir] += jointPayload
		p.tcp = fmt.Sprintf("ack seq %d ack-number %d", me, other)
	}
	return &talk
}

const jointPayload = 100

// offer gives the packet to one of the workers and to the models.
func (j *joint) offer(p *jointPacket, talk *jointTalk) {
	length := jointPayload
	if p.protocol == "tcp" && p.tcp[:3] != "ack" {
		length = 0 // SYN and RST
	}
	text := p.text(length)
	d, err := describe.Parse(text)
	if err != nil {
		j.Fatal(text, err)
	}
	outer := path()
	outer.Src, outer.Dst = p.from, p.to
	j.frameID++
	size := 0
	if j.r.IntN(4) == 0 {
		size = 100 + j.r.IntN(100) // perhaps in two packets
	}
	packets := cut(outer, j.frameID, sttFrame(p.header(), d.Data), size)
	worker := j.workers[j.r.IntN(2)]
	list := make([]Packet, len(packets))
	for i, data := range packets {
		list[i] = Packet{ID: uint64(i), Data: data, Length: len(data)}
	}
	j.out.Reset()
	j.event = FrameEvent{}
	worker.ProcessBatch(j.now, list, &j.out)
	want, state := j.model.step(p)
	if f, _ := j.model.find(p); f != nil && talk != nil && !p.alien && (state == conntrack.StateOriginal || state == conntrack.StateReply) {
		f.talk = *talk
	}
	j.compare(p, text, len(packets), want, state)
	j.compareKey(worker, &list[0], state)
}

func (j *joint) compare(p *jointPacket, text string, packets int, want jointDecision, state conntrack.State) {
	j.Helper()
	e := &j.event
	accepted := e.Verdict == Accept
	if accepted != want.accept || accepted && e.Decision.Audit != want.would || (accepted || state == conntrack.StateNew) && e.Decision.Rule != want.rule {
		j.Fatalf("packet %d in %s from %v: %s: got %v (%v) by %q, audit %v, state %v; want %+v, %v\n%s",
			j.n, p.tenant, p.from, text, e.Verdict, e.Reason, e.Decision.Rule, e.Decision.Audit, e.State, want, state, j.rules)
	}
	if len(j.out.List) != packets {
		j.Fatalf("packet %d: %d verdicts for %d packets", j.n, len(j.out.List), packets)
	}
	for _, v := range j.out.List {
		if (v.Action == Accept) != want.accept {
			j.Fatalf("packet %d: %s: a packet of the frame: %v, want accepted: %v", j.n, text, v.Action, want.accept)
		}
	}
	if accepted && e.State != state {
		j.Fatalf("packet %d: %s: got state %v, want %v", j.n, text, e.State, state)
	}
	word := "dropped "
	if accepted {
		word = "accepted "
		if want.would {
			word = "audited "
		}
	}
	j.met[word+state.String()]++
}

// compareKey: what expect reads of a packet is the flow that is looked for.
func (j *joint) compareKey(worker *Firewall, p *Packet, state conntrack.State) {
	j.Helper()
	got, ok := expectedKey(j.shared.current.Load(), p)
	if !ok || j.event.State == conntrack.StateUntracked || state == conntrack.StateUntracked {
		return
	}
	var want conntrack.Key
	tracked := true
	if q := &worker.quick.read[0]; q.plain {
		want = q.packet.Key()
	} else {
		want, tracked = conntrack.KeyOf(&worker.tracked)
	}
	if !tracked || got != want {
		j.Fatalf("packet %d: expect reads %+v, it is looked for %+v", j.n, got, want)
	}
}
