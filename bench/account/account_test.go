package main

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sttwall/bench/rows"
)

// looks are samples as perf writes them: the start of a program, then packets.
const looks = `sttwall 11 1.000000: 
	           2692a runtime.mallocgc
	          b875ce main.run

my loop    12 9.100000: 
	ffffffff8162f605 kfree
	ffffffff81000130 entry_SYSCALL_64_after_hwframe

sttwall 11 9.400000: 
	ffffffff8162f605 process_backlog
	ffffffff8162f605 do_softirq.part.0
	ffffffff8162f605 nfqnl_reinject
	ffffffff81000130 entry_SYSCALL_64_after_hwframe
	          8aa885 sttwall/nfq.(*Worker).run

sttwall 11 9.500000: 
	ffffffff8162f605 _copy_to_iter
	ffffffff8162f605 skb_copy_datagram_iter
	ffffffff8162f605 do_recvmmsg
	ffffffff81000130 entry_SYSCALL_64_after_hwframe
	          8aa885 sttwall/nfq.(*Worker).run

sttwall 11 9.600000: 
	          448d40 sttwall/conntrack.(*Table).trackFlow
	          8aa885 sttwall/nfq.(*Worker).run

sttwall 11 9.700000: 
	ffffffff8162f605 ip_output
	ffffffff8162f605 nfqnl_reinject
	ffffffff8162f605 nfqnl_recv_verdict_batch
	ffffffff81000130 entry_SYSCALL_64_after_hwframe
	          8aa885 sttwall/nfq.(*Worker).run

sttwall 11 9.900000: 
	          448d40 runtime.futex

`

func TestSamplesAreThoseOfPackets(t *testing.T) {
	all, err := readSamples(strings.NewReader(looks))
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 7 || all[1].command != "my loop" || all[1].at != 9.1 || !all[1].has("kfree") {
		t.Fatalf("%+v", all)
	}
	got := during(all, "sttwall")
	if len(got) != 4 || got[0].at != 9.4 || got[3].at != 9.7 {
		t.Errorf("%+v", got)
	}
	for _, text := range []string{"\tffff kfree\n", "sttwall 11\n", "sttwall 11 soon:\n"} {
		if _, err := readSamples(strings.NewReader(text)); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func TestAStackHasItsPart(t *testing.T) {
	const call, worker = "entry_SYSCALL_64_after_hwframe", "sttwall/nfq.(*Worker).run"
	for _, tt := range []struct {
		stack string
		want  part
	}{
		{"_copy_to_iter skb_copy_datagram_iter netlink_recvmsg do_recvmmsg " + call, copied},
		{"slab_free kfree consume_skb netlink_recvmsg do_recvmmsg " + call, freed},
		{"_raw_spin_unlock_irqrestore skb_recv_datagram netlink_recvmsg __sys_recvfrom " + call, take},
		{"import_iovec do_recvmmsg " + call + " " + worker, receive},
		{"kfree process_backlog do_softirq.part.0 __local_bh_enable_ip nfqnl_reinject nfqnl_recv_verdict " + call, sink},
		{"veth_xmit ip_output nfqnl_reinject nfqnl_recv_verdict_batch " + call, sent},
		{"fib_table_lookup ip_rcv_finish nfqnl_reinject nfqnl_recv_verdict_batch " + call, route},
		{"ip_forward nfqnl_reinject nfqnl_recv_verdict_batch " + call, again},
		{"__dequeue_entry nfqnl_recv_verdict_batch netlink_sendmsg " + call, find},
		{"nfnetlink_rcv_msg netlink_sendmsg " + call, send},
		{"ep_poll " + call + " " + worker, waits},
		{"handle_mm_fault asm_exc_page_fault main", faced},
		{"parse main", netlink},
		{"sttwall/internal/checksum.Sum sttwall/firewall.(*Firewall).quickRead " + worker, sums},
		{"sttwall/firewall.(*Firewall).quickRead sttwall/firewall.(*Firewall).ProcessBatch " + worker, outer},
		{"aeshashbody sttwall/conntrack.(*shard).expect " + worker, flow},
		{"runtime.memmove sttwall/firewall.(*Firewall).quickDecide " + worker, decision},
		{"sttwall/nfq.(*answers).give sttwall/nfq.(*fast).answer " + worker, verdict},
		{"sttwall/nfq.(*fast).packet sttwall/nfq.(*fast).receive " + worker, netlink},
		{"internal/runtime/syscall/linux.Syscall6 sttwall/nfq.(*fast).receive " + worker, runtime},
		{"sttwall/eventlog.(*encoder).line sttwall/eventlog.(*Log).run runtime.goexit.abi0", others},
		{"", others},
	} {
		s := sample{stack: strings.Fields(tt.stack)}
		if got := partOf(&s); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.stack, got, tt.want)
		}
	}
}

func TestPartsAddUpToWhatWasMeasured(t *testing.T) {
	all, err := readSamples(strings.NewReader(looks))
	if err != nil {
		t.Fatal(err)
	}
	r := recording{rows.Row{Variant: "sttwall_rules_1000", Time: 4000}, during(all, "sttwall")}
	ns, sum := r.times(), 0.0
	for _, p := range parts {
		sum += ns[p]
	}
	if math.Abs(sum-4000) > 0.001 || math.Abs(ns[flow]-1000) > 0.001 {
		t.Errorf("%v add up to %v", ns, sum)
	}
	want := `| ns of a packet: 150 bytes | ` + "`sttwall_rules_1000`" + ` |
| --- | --- |
| kernel, receiving: copied to the program | 1000 |
| program: the flow, found and moved on | 1000 |
| kernel, verdict: the packet sent over the link | 1000 |
| kernel, verdict: the packet at the other end of the link, counted and freed | 1000 |
| **all**, as it was measured | 4000 |
| samples | 4 |
`
	if got := markdown("150", []recording{r}); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestAFolderIsReadAsItWasRecorded(t *testing.T) {
	folder := t.TempDir()
	if _, err := tables(folder); err == nil {
		t.Error("an empty folder was taken")
	}
	base := filepath.Join(folder, "150")
	const row = `{"variant":"sttwall_rules_1000","packet":"150","queues":1,"flows":1000,"ns":3000,"run":{"rounds":3,"kernel":"6.18.5-x","processor":"P","cpus":2}}`
	for _, f := range []struct{ name, text string }{{base + ".json", row}, {base + ".stacks", looks}} {
		if err := os.WriteFile(f.name, []byte(f.text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := tables(folder)
	if err != nil || !strings.Contains(got, "Linux 6.18, P, 2 CPUs") || !strings.Contains(got, "| **all**, as it was measured | 3000 |") {
		t.Errorf("%v: %s", err, got)
	}
}

// Two variants take turns on one CPU, and the first of the rows has no process.
func TestVariantsStandBesideEachOther(t *testing.T) {
	const both = `c_batch 12 9.100000: 
	ffffffff8162f605 process_backlog
	ffffffff8162f605 do_softirq
	ffffffff8162f605 nfqnl_reinject
	ffffffff81000130 entry_SYSCALL_64_after_hwframe

sttwall 11 9.200000: 
	ffffffff8162f605 ip_output
	ffffffff8162f605 nfqnl_reinject
	ffffffff81000130 entry_SYSCALL_64_after_hwframe

c_batch 12 9.300000: 
	ffffffff8162f605 ip_output
	ffffffff8162f605 nfqnl_reinject
	ffffffff81000130 entry_SYSCALL_64_after_hwframe

sttwall 11 9.400000: 
	          448d40 sttwall/conntrack.(*Table).trackFlow
	          8aa885 sttwall/nfq.(*Worker).run

sttwall 11 9.500000: 
	ffffffff8162f605 ip_output
	ffffffff8162f605 nfqnl_reinject
	ffffffff81000130 entry_SYSCALL_64_after_hwframe

`
	base := filepath.Join(t.TempDir(), "gso64k")
	row := func(variant string, ns float64) rows.Row {
		return rows.Row{Variant: variant, Packet: "gso64k", Queues: 1, Flows: 1000, Time: ns}
	}
	var text bytes.Buffer
	if err := rows.Write(&text, []rows.Row{row("forward", 100), row("c_batch_copy256", 80), row("sttwall_rules_1000", 90)}); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{".json": text.Bytes(), ".stacks": []byte(both)} {
		if err := os.WriteFile(base+name, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	list, err := read(base)
	if err != nil {
		t.Fatal(err)
	}
	want := "| ns of a packet: super-segments of 64,000 bytes | `c_batch_copy256` | `sttwall_rules_1000` | more |" + `
| --- | --- | --- | --- |
| program: the flow, found and moved on | 0 | 30 | +30 |
| kernel, verdict: the packet sent over the link | 40 | 60 | +20 |
| kernel, verdict: the packet at the other end of the link, counted and freed | 40 | 0 | -40 |
| **all**, as it was measured | 80 | 90 | +10 |
| samples | 2 | 3 |  |
`
	if got := markdown("gso64k", list); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// The page of this repository can be written anew.
func TestTheDocumentationHasTheMarks(t *testing.T) {
	page, err := os.ReadFile("../../docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := marks.Between(page, nil); err != nil {
		t.Error(err)
	}
}
