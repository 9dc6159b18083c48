package firewall

import (
	"net/netip"
	"strings"
	"testing"

	"sttwall/reason"
	"sttwall/reassembly"
	"sttwall/stt"
)

// beginnings sends the first segment of so many frames, each from another forged source.
func (b *bench) beginnings(n int) {
	f := sttFrame(stt.FrameHeader{ContextID: 100}, innerUDP(b.t, 100))
	for i := range n {
		p := path()
		p.Src = netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)})
		data := cut(p, uint32(i), f, 100)[0]
		b.fw.Process(b.now, &Packet{ID: uint64(1000 + i), Data: data, Length: len(data)}, &b.out)
	}
}

const anyEndpoint = `
tenant "all" {
  context_ids    = [100]
  default_action = "accept"
}
`

// Where nobody is listed, forged sources together have one share, and push out no frame of
// a source of which frames were accepted.
func TestForgedSourcesHaveOneShareTogether(t *testing.T) {
	bounds := reassembly.Config{Frames: 40, SourceFrames: 10}
	b := newBench(t, benchConfig{rules: anyEndpoint, reassembly: bounds})
	f := sttFrame(stt.FrameHeader{ContextID: 100}, innerUDP(t, 100))
	b.one(reason.None, cut(path(), 5, f, 100)...) // known from here on

	honest := cut(path(), 6, f, 100)
	b.out.Reset()
	b.fw.Process(b.now, &Packet{ID: 1, Data: honest[0], Length: len(honest[0])}, &b.out)
	b.beginnings(300)
	if held := b.fw.Held(); held.Frames != 11 || held.Sources != 2 {
		t.Errorf("%d frames of %d sources are held, want 10 of the forged and the honest one", held.Frames, held.Sources)
	}
	if n := b.fw.Counters().Reasons[reason.ReassemblyFull].Load(); n != 0 {
		t.Errorf("reassembly was full %d times", n)
	}
	b.out.Reset()
	b.fw.Process(b.now, &Packet{ID: 2, Data: honest[1], Length: len(honest[1])}, &b.out)
	if len(b.out.List) != 2 || b.out.List[0].Action != Accept {
		t.Errorf("the honest frame: %v", b.out.List)
	}

	// A minute of silence, and it is one of all.
	b.now += knownFor
	b.fw.Process(b.now, &Packet{ID: 3, Data: cut(path(), 7, f, 100)[0], Length: len(honest[0])}, &b.out)
	b.beginnings(300)
	if held := b.fw.Held(); held.Frames != 10 || held.Sources != 1 {
		t.Errorf("%d frames of %d sources are held, want 10 of all", held.Frames, held.Sources)
	}
}

// Where endpoints are listed each has a share, and after a reload the list that holds
// decides.
func TestListedSourcesHaveAShareEach(t *testing.T) {
	listed := "settings {\n  endpoints = [\"203.0.0.0/16\", \"192.0.2.0/24\"]\n}\n" + anyEndpoint
	b := newBench(t, benchConfig{rules: listed, reassembly: reassembly.Config{Frames: 40, SourceFrames: 10}})
	b.beginnings(30)
	if held := b.fw.Held(); held.Frames != 30 || held.Sources != 30 {
		t.Errorf("%d frames of %d sources are held, want 30 of 30", held.Frames, held.Sources)
	}
	b.fw.Flush(&b.out)
	b.now += int64(reassembly.DefaultTombstoneLife)
	b.shared.SetPolicy(compile(t, strings.TrimSpace(anyEndpoint)+"\n"))
	b.beginnings(30)
	if held := b.fw.Held(); held.Frames != 10 || held.Sources != 1 {
		t.Errorf("%d frames of %d sources are held after the reload, want 10 of one share", held.Frames, held.Sources)
	}
}

// Places are taken from nobody whose frames go on.
func TestAKnownSourceKeepsItsPlace(t *testing.T) {
	b := newBench(t, benchConfig{})
	k := &b.fw.known
	source := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}) }
	k.met(1, endpointA)
	for i := range 5000 {
		k.met(2, source(i))
	}
	n := 0
	for i := range 5000 {
		if k.has(3, source(i)) {
			n++
		}
	}
	if !k.has(3, endpointA) || n > knownSets*knownWays || n < knownSets {
		t.Errorf("known %v, of the others %d", k.has(3, endpointA), n)
	}
	if k.has(1+knownFor, endpointA) {
		t.Error("a source is known for ever")
	}
	if n := testing.AllocsPerRun(100, func() { k.met(1, endpointA); k.has(1, endpointA) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
