package nfq_test

import (
	"context"
	"fmt"
	"log"
	"net/netip"
	"os/signal"
	"syscall"

	"sttwall/nfq"
)

// A firewall inline: the queue first, then the table, so that nothing passes
// uninspected.
func Example() {
	var core nfq.Core // a *firewall.Firewall

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()

	config := nfq.Config{Number: 0, Length: 65536}
	if err := config.ValidateHolding(16384); err != nil {
		log.Fatal(err)
	}
	queue, err := nfq.Open(config)
	if err != nil {
		log.Fatal(err) // errors.Is(err, nfq.ErrNoCapability) and the like
	}
	worker, err := nfq.NewWorker(nfq.WorkerConfig{Queue: queue, Core: core, Affinity: nfq.CPU(0)})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := nfq.InstallTable(nfq.TableConfig{Ports: []uint16{7471}, FirstQueue: 0, Queues: 1}); err != nil {
		log.Fatal(err)
	}
	// The table stays behind and drops STT until the next run, or until
	// nfq.RemoveTable.
	if err := worker.Run(ctx); err != nil {
		log.Fatal(err)
	}
}

func ExampleConfig_ValidateHolding() {
	fmt.Println(nfq.Config{Number: 3, Length: 4096}.ValidateHolding(3000))
	// Output:
	// queue 3: up to 3000 packets may be held, but the queue is 4096 packets long and at most half of it may be held: hold at most 2048, or make the queue at least 6000 long
}

func ExampleAppendIPTables() {
	text, err := nfq.AppendIPTables(nil, nfq.TableConfig{
		Ports:            []uint16{7471},
		FirstQueue:       10,
		Queues:           1,
		PassOtherTunnels: true,
		Endpoints:        []netip.Prefix{netip.MustParsePrefix("10.47.0.0/16")},
	}, nfq.IPv4)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s", text)
	// Output:
	// # STT to the sttwall firewall, IPv4. Load once, while sttwall listens:
	// #   iptables-restore --noflush FILE
	// # Take away:
	// #   iptables -t raw -D PREROUTING -j STTWALL
	// # What differs from the nftables table:
	// # - IPv4 and IPv6 are loaded one after the other, and not in the place of rules
	// #   loaded before.
	// # - Queues share the packets by another hash of the source port (xt_bpf), whose
	// #   secret is in this file.
	// # - What comes into a VRF is queued where it comes in and once more for the VRF, and
	// #   is lost there: iptables does not know kinds of interfaces. Use the nft form.
	// # - Counters are per rule (iptables -t raw -vL), without names.
	// # Without a listener the kernel drops STT.
	// *raw
	// :STTWALL - [0:0]
	// :STTWALL-STT - [0:0]
	// :STTWALL-FROM - [0:0]
	// :STTWALL-SOURCE - [0:0]
	// :STTWALL-DEST - [0:0]
	// :STTWALL-BETWEEN - [0:0]
	// -A PREROUTING -j STTWALL
	// -A STTWALL ! -f -p tcp --dport 7471 -j STTWALL-STT
	// -A STTWALL -j STTWALL-SOURCE
	// -A STTWALL-STT -j CT --notrack
	// -A STTWALL-STT -m u32 --u32 "4&0x2000=0x2000" -j DROP
	// -A STTWALL-STT -j STTWALL-FROM
	// -A STTWALL-STT -j NFQUEUE --queue-num 10
	// -A STTWALL-STT -j DROP
	// -A STTWALL-FROM -s 10.47.0.0/16 -j RETURN
	// -A STTWALL-FROM -j DROP
	// -A STTWALL-SOURCE -s 10.47.0.0/16 -g STTWALL-DEST
	// -A STTWALL-DEST -d 10.47.0.0/16 -g STTWALL-BETWEEN
	// -A STTWALL-BETWEEN -p tcp -f -j DROP
	// COMMIT
}
