package evasion

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"

	"sttwall/inspect"
	"sttwall/internal/receiver"
	"sttwall/policy"
	"sttwall/reason"
)

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
