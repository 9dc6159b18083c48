package firewall

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"sttwall/stt"
)

// With so many tenants that most are in no near cache, a worker looks for the context IDs
// of a batch in advance, where packets most likely have them: cut anywhere, over IPv4 or
// IPv6, plain or not, each is decided as it is alone.
func TestABatchOfManyTenantsIsDecidedAsItsPackets(t *testing.T) {
	const tenants = 1100
	var rules strings.Builder
	rules.WriteString("settings {\n  endpoints = [\"192.0.2.0/24\", \"2001:db8:47::/64\"]\n}\n")
	for i := range tenants {
		fmt.Fprintf(&rules, "tenant \"t%d\" {\n  context_ids = [%d]\n  default_action = %q\n}\n", i, 100+i, []string{"accept", "drop"}[i%2])
	}
	one, many := newBench(t, benchConfig{rules: rules.String()}), newBench(t, benchConfig{rules: rules.String()})
	many.fw.ids.key = one.fw.ids.key
	if !many.shared.Policy().Cold() {
		t.Fatalf("%d tenants are too few", tenants)
	}
	over6 := path()
	over6.Src, over6.Dst = netip.MustParseAddr("2001:db8:47::1"), netip.MustParseAddr("2001:db8:47::2")
	r := rand.New(rand.NewPCG(7, 8))
	var packets []Packet
	for id := range uint32(3000) {
		p := []stt.Path{path(), over6}[r.IntN(2)]
		frame := innerUDP(t, 20)
		if r.IntN(2) == 0 {
			frame = innerARP(t)
		}
		size := 0
		if r.IntN(4) == 0 {
			size = 60
		}
		for _, data := range cut(p, id, sttFrame(stt.FrameHeader{ContextID: uint64(90 + r.IntN(tenants+20))}, frame), size) {
			length := len(data)
			switch r.IntN(6) {
			case 0: // the kernel copied a part
				data = data[:r.IntN(len(data)+1)]
			case 1: // that is all there is
				data = data[:r.IntN(len(data)+1)]
				length = len(data)
			}
			packets = append(packets, Packet{ID: uint64(len(packets)), Data: data, Length: length, Checksum: ChecksumGood})
		}
	}
	accepted := 0
	for rest := packets; len(rest) > 0; {
		n := min(len(rest), 1+r.IntN(64))
		for i := range n {
			one.fw.Process(one.now, &rest[i], &one.out)
		}
		many.fw.ProcessBatch(many.now, rest[:n], &many.out)
		rest = rest[n:]
	}
	if got, want := fmt.Sprint(many.out.List), fmt.Sprint(one.out.List); got != want {
		t.Fatalf("as batches\n%s, one by one\n%s", got, want)
	}
	for _, v := range many.out.List {
		if v.Action == Accept {
			accepted++
		}
	}
	if accepted < len(packets)/8 || accepted > len(packets)*3/4 {
		t.Errorf("%d of %d packets were accepted", accepted, len(packets))
	}
}
