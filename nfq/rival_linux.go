package nfq

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
)

// ErrTableInUse: the table that is there leads to a queue on which another program listens.
// Two firewalls would take the table from each other again and again, and in between STT
// would pass.
var ErrTableInUse = errors.New("another firewall runs in this network namespace")

// rival returns an error that wraps [ErrTableInUse] where the table leads to a queue that is
// none of c's, which are refused by their numbers, and on which somebody listens. Who may not
// read whether somebody does (others than root of the host) learns nothing; a table that
// cannot be read is no reason not to start, and whoever replaces it says what is wrong.
func (c *InlineConfig) rival() error {
	ns := c.Queue.NetNS
	proc := openProcQueue(ns, 0)
	if proc == nil {
		return nil
	}
	defer proc.close()
	numbers, _ := tableQueues(ns)
	for _, number := range numbers {
		if own := int(number) - int(c.Queue.Number); own >= 0 && own < c.Queues {
			continue
		}
		if owner, listens := proc.of(number); listens {
			return fmt.Errorf("table %s: %w: the table leads to queue %d, on which the program with netlink port %d (usually its process ID) listens; end that one, or take over from it; "+
				"if it is no sttwall, 'sttwall nft --remove' takes the old table away", TableName, ErrTableInUse, number, owner.Owner)
		}
	}
	return nil
}

// tableQueues returns the numbers of the queues to which the table leads: none where there is
// no table, or that of the time before the firewall.
func tableQueues(ns NetNS) (numbers []uint16, err error) {
	conn, err := connect(ns)
	if err != nil {
		return nil, err
	}
	for {
		rules, err := conn.GetRules(ourTable(), &nftables.Chain{Name: chainQueue(len(numbers)), Table: ourTable()})
		if err != nil {
			return numbers, err
		}
		number, ok := queueOf(rules)
		if !ok {
			return numbers, nil
		}
		numbers = append(numbers, number)
	}
}

// queueOf returns the queue to which a chain leads. See [queue].
func queueOf(rules []*nftables.Rule) (number uint16, ok bool) {
	for _, r := range rules {
		for _, e := range r.Exprs {
			switch e := e.(type) {
			case *expr.Queue:
				return e.Num, true
			case *expr.Target:
				if info, is := e.Info.(*xt.Unknown); is && e.Name == "NFQUEUE" && len(*info) >= 2 {
					return binary.NativeEndian.Uint16(*info), true
				}
			}
		}
	}
	return 0, false
}
