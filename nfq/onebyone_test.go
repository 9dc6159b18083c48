package nfq

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"sttwall/firewall"
)

// A lost verdict must not be made up for by the batch verdict behind it.
func TestAPacketWhoseVerdictIsLostDoesNotLeaveByThatOfOthers(t *testing.T) {
	for _, c := range []struct {
		name   string
		third  firewall.Verdict
		memory int // longest message that the kernel takes
		became map[string]string
		lost   uint64
		err    error
	}{
		{"no memory for a payload", firewall.Verdict{Action: firewall.Accept, Payload: outer{}.bytes()}, verdictLen(nil),
			map[string]string{"1": "accept", "2": "accept", "3": "drop", "4": "accept", "5": "accept"}, 1, nil},
		{"memory for each alone", firewall.Verdict{Action: firewall.Accept, Payload: outer{}.bytes()}, 1000,
			map[string]string{"1": "accept", "2": "accept", "3": "accept" + string(outer{}.bytes()), "4": "accept", "5": "accept"}, 0, nil},
		{"no memory for a drop", firewall.Verdict{Action: firewall.Drop}, 0, map[string]string{}, 0, unix.ENOBUFS},
	} {
		kernel := kernelList{t: t}
		held := &outstanding{}
		var list []firewall.Verdict
		for _, name := range []string{"1", "2", "3", "4", "5"} {
			id, _ := held.received(kernel.push(name, false), false)
			list = append(list, firewall.Verdict{ID: id, Action: firewall.Accept})
		}
		c.third.ID = list[2].ID
		list[2] = c.third
		got := map[string]string{}
		var lost uint64
		a := newAnswers(testQueue, held, &copyRange{bytes: wholePacket}, maxDatagram, func(pieces [][]byte) (err error) {
			lost, err = oneByOne(slices.Concat(pieces...), testQueue, func(message []byte) error {
				if len(message) > c.memory {
					return unix.ENOBUFS
				}
				kernel.carryOut(message, got)
				return nil
			})
			return err
		})
		if err := a.give(list); !errors.Is(err, c.err) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.err)
		}
		if diff := cmp.Diff(got, c.became); diff != "" {
			t.Errorf("%s: what became of the packets (-got +want):\n%s", c.name, diff)
		}
		if lost != c.lost {
			t.Errorf("%s: got %d verdicts lost, want %d", c.name, lost, c.lost)
		}
	}
}
