package nfq

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"sttwall/firewall"
	"sttwall/limit"
	"sttwall/policy"
)

// wholeTable asks for all that a table can want.
func wholeTable() TableConfig {
	return TableConfig{Ports: []uint16{testPort}, Queues: 2, Hooks: HooksOf(HookPrerouting, HookOutput, HookBridge), Own: NewOwn(),
		Endpoints: prefixes("10.99.0.0/24", "fd00:99::/64"), Bound: []policy.BoundEndpoint{{Prefix: prefixes("10.99.0.0/24")[0], Interface: "near"}},
		OnlySTT: true, EndpointRate: limit.Rate{Events: 1000, Per: time.Second}}
}

// The kernel that the tests run on has all that the firewall needs, and nothing of the
// probes stays.
func TestWhatIsTriedIsThereAndLeavesNothing(t *testing.T) {
	ns := enterNS(t)
	for name, c := range map[string]TableConfig{
		"the least": {Ports: []uint16{testPort}, Queues: 1}, "output": {Ports: []uint16{testPort}, Queues: 1, Hooks: HooksOf(HookOutput)}, "all": wholeTable(),
	} {
		c.NetNS = ns
		parts := ProbeKernel(c)
		for _, p := range parts {
			if p.Err != nil || p.Configs == "" && p.Name != "the whole table" || p.For == "" {
				t.Errorf("%s: %+v", name, p)
			}
		}
		if last := parts[len(parts)-1]; last.Name != "the whole table" {
			t.Errorf("%s: the last one tried is %s", name, last.Name)
		}
	}
	conn, err := connect(ns)
	must(t, err)
	if tables, err := conn.ListTables(); err != nil || len(tables) != 0 {
		t.Errorf("left: %v, %v", tables, err)
	}
}

// A rule with another kind of expression has another part of the kernel behind it, which
// must be asked for by name.
func TestEachKindOfExpressionIsAskedFor(t *testing.T) {
	c := wholeTable()
	asked := make(map[string]bool)
	for _, p := range c.kernelParts() {
		for _, e := range p.exprs {
			asked[kindOfExpression(e)] = true
		}
	}
	// What nf_tables has had since Linux 5.1 without an option.
	for _, e := range []string{"cmp", "payload", "bitwise", "exthdr", "lookup", "dynset", "verdict", "immediate", "objref", "meta l4proto", "meta nfproto", "meta protocol",
		"meta iifname", "meta oif", "meta iiftype", "meta pkttype", "meta priority", "meta skuid", "meta oifkind"} {
		asked[e] = true
	}
	used := make(map[string]bool)
	rules := append(c.rules(targetDrop), c.bridgeRules()...)
	for _, r := range rules {
		for _, p := range r.parts {
			for _, e := range p.exprs {
				used[kindOfExpression(e)] = true
				if d, ok := e.(*expr.Dynset); ok {
					for _, e := range d.Exprs {
						used[kindOfExpression(e)] = true
					}
				}
			}
		}
	}
	for kind := range used {
		if !asked[kind] {
			t.Errorf("a rule has %s, which nothing asks the kernel for", kind)
		}
	}
	for kind := range asked {
		if !used[kind] {
			t.Errorf("%s is asked for, and no rule has it", kind)
		}
	}
}

func kindOfExpression(e expr.Any) string {
	if set, ok := e.(*ownSet); ok {
		e = set.lookup
	}
	kind := strings.ToLower(strings.TrimPrefix(fmt.Sprintf("%T", e), "*expr."))
	if m, ok := e.(*expr.Meta); ok {
		return kind + " " + map[expr.MetaKey]string{expr.MetaKeyL4PROTO: "l4proto", expr.MetaKeyNFPROTO: "nfproto", expr.MetaKeyPROTOCOL: "protocol",
			expr.MetaKeyIIFNAME: "iifname", expr.MetaKeyOIF: "oif", expr.MetaKeyIIFTYPE: "iiftype", expr.MetaKeyPKTTYPE: "pkttype", expr.MetaKeyPRIORITY: "priority",
			expr.MetaKeySKUID: "skuid", expr.MetaKey(iifKind): "iifkind", expr.MetaKey(oifKind): "oifkind", 25: "secpath"}[m.Key]
	}
	return kind
}

// What the kernel refuses of the table as a whole is told, and leaves what was there.
func TestATableThatTheKernelRefusesIsFoundBefore(t *testing.T) {
	enterNS(t)
	c := TableConfig{Ports: []uint16{testPort}, Queues: 1}
	run(t, "nft", "add table inet sttwall_probe")
	run(t, "nft", "add set inet sttwall_probe "+setPorts+" { type ipv4_addr; }") // ours has ports
	if err := c.tryAside(targetDrop); err == nil {
		t.Error("got no error")
	}
	if out := run(t, "nft", "list ruleset"); !strings.Contains(out, "type ipv4_addr") {
		t.Errorf("left:\n%s", out)
	}
}

// In a namespace of others nothing can be found out, and that is said.
func TestWithoutTheRightNothingIsFoundOut(t *testing.T) {
	enterNS(t)
	var header = unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	must(t, unix.Capset(&header, &none[0])) // of this thread, which ends with the test
	for _, p := range ProbeKernel(TableConfig{Ports: []uint16{testPort}, Queues: 2}) {
		if !errors.Is(p.Err, ErrNoCapability) {
			t.Errorf("%s: %v", p.Name, p.Err)
		}
	}
}

// The kernel empties all queues of a namespace when a chain in any of its hooks goes
// (nf_queue_nf_hook_drop): who asks beside a running firewall must have none there.
func TestTryingLosesNoPacketThatWaitsInAQueue(t *testing.T) {
	w := newWire(t)
	c := TableConfig{Ports: []uint16{testPort}, FirstQueue: 40, Queues: 1}
	_, err := InstallTable(c)
	must(t, err)
	q, err := Open(Config{NetNS: w.near, Number: 40})
	must(t, err)
	defer q.Close()
	w.send(t, outer{id: 1}.bytes())
	waits := take(t, q, 1)[0]
	ProbeKernel(c)
	must(t, q.SetVerdicts([]firewall.Verdict{{ID: waits.ID, Action: firewall.Accept}}))
	if diff := cmp.Diff(w.delivered(t), []uint32{1}); diff != "" {
		t.Errorf("delivered (-got +want):\n%s", diff)
	}
}
