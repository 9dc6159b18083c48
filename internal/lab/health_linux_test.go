package lab

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"sttwall/control"
	"sttwall/nfq"
)

func TestHealthOfARealFirewall(t *testing.T) {
	if !Inside(t) {
		return
	}
	l := policyLab(t)
	ctx := bounded(t)
	fw := l.ask(t, fmt.Sprintf(policyRules, "accept"))
	if err := l.exchange(ctx, flow{place: AcmeA, network: "tcp", to: netip.AddrPortFrom(InnerB, portWeb)}, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	h, err := fw.Health(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var packets, verdicts uint64
	for _, q := range h.Queues {
		packets += q.Packets
		verdicts += q.Verdicts
		if q.Length != nfq.DefaultLength || q.ReceiveBuffer == 0 {
			t.Errorf("%+v", q)
		}
	}
	if len(h.Queues) != 2 || packets < 6 || verdicts < 6 || h.Flows.Now == 0 || h.Flows.Created == 0 {
		t.Errorf("%+v", h)
	}
	r := h.Reassembly
	if r.Frames.Bound == 0 || r.Packets.Bound == 0 || r.Memory.Bound == 0 || r.Tombstones.Bound == 0 || r.FragmentPackets.Bound == 0 {
		t.Errorf("a part without bound: %+v", r)
	}
	gone := func(h control.Health) bool {
		return slices.ContainsFunc(h.Troubles, func(tr control.Trouble) bool {
			return tr.Severity == control.SeverityCritical && tr.What == "the nftables table is gone or changed: STT passes uninspected, or is dropped by others"
		})
	}
	if gone(h) {
		t.Errorf("the table is there: %+v", h.Troubles)
	}
	if err := l.Do(Firewall, func() error { return l.firewall.Table().Remove() }); err != nil {
		t.Fatal(err)
	}
	if h, err = fw.Health(ctx); err != nil || !gone(h) {
		t.Errorf("the table is gone: %+v, %v", h.Troubles, err)
	}
}
