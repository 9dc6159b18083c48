package conntrack

import (
	"fmt"
	"testing"

	"sttwall/inspect"
)

const (
	syn, ack, fin, rst, psh = inspect.SYN, inspect.ACK, inspect.FIN, inspect.RST, inspect.PSH
)

type step struct {
	tcp  tcp
	want string
}

// shake is a handshake: client numbers from 1000, server's from 5000.
var shake = []step{
	{tcp{flags: syn, seq: 1000, window: 64240, scale: 7}, "original"},
	{tcp{flags: syn | ack, seq: 5000, ack: 1001, window: 65160, scale: 7, back: true}, "reply"},
	{tcp{flags: ack, seq: 1001, ack: 5001, window: 502, scale: -1}, "original"},
}

func shaken(more ...step) []step { return append(append([]step{}, shake...), more...) }

func TestTCP(t *testing.T) {
	elsewhere := clientHost.Next().Next().Next()
	for _, tt := range []struct {
		name  string
		steps []step
	}{
		{"a handshake, data both ways, and both FINs", shaken(
			step{tcp{flags: ack | psh, seq: 1001, ack: 5001, window: 502, payload: 100, scale: -1}, "original"},
			step{tcp{flags: ack, seq: 5001, ack: 1101, window: 509, scale: -1, back: true}, "reply"},
			step{tcp{flags: ack, seq: 5001, ack: 1101, window: 509, payload: 1448, scale: -1, back: true}, "reply"},
			step{tcp{flags: ack, seq: 1101, ack: 6449, window: 500, scale: -1}, "original"},
			step{tcp{flags: fin | ack, seq: 1101, ack: 6449, window: 500, scale: -1}, "original"},
			step{tcp{flags: fin | ack, seq: 6449, ack: 1102, window: 509, scale: -1, back: true}, "reply"},
			step{tcp{flags: ack, seq: 1102, ack: 6450, window: 500, scale: -1}, "original"},
			step{tcp{flags: ack, seq: 1102, ack: 6450, window: 500, scale: -1}, "original"},
			step{tcp{flags: syn, seq: 90000, window: 64240, scale: 7}, "original"},
		)},
		{"a packet from the middle begins nothing", []step{{tcp{flags: ack, seq: 1, ack: 1, window: 500, scale: -1}, "state_invalid"}}},
		{"unless it may", []step{
			{tcp{flags: ack, seq: 1001, ack: 5001, window: 500, payload: 100, scale: -1, loose: true}, "original"},
			{tcp{flags: ack, seq: 5001, ack: 1101, window: 500, payload: 1448, scale: -1, back: true}, "reply"},
			{tcp{flags: ack, seq: 1101, ack: 6449, window: 500, payload: 100, scale: -1}, "original"},
			{tcp{flags: ack, seq: 1101 + 0x70000000, ack: 6449, window: 500, payload: 100, scale: -1}, "tcp_window"},
		}},
		{"a RST begins nothing, also where it may", []step{{tcp{flags: rst, seq: 1, scale: -1, loose: true}, "state_invalid"}}},
		{"a SYN is sent again", []step{shake[0], shake[0], shake[1], shake[1], shake[0], shake[2]}},
		{"and with another number", []step{shake[0], {tcp{flags: syn, seq: 77000, window: 64240, scale: 7}, "original"},
			{tcp{flags: syn | ack, seq: 5000, ack: 77001, window: 65160, scale: 7, back: true}, "reply"}}},
		{"a SYN+ACK that acknowledges something else", []step{shake[0], {tcp{flags: syn | ack, seq: 5000, ack: 2001, window: 65160, scale: 7, back: true}, "tcp_window"}}},
		{"a SYN inside a flow", shaken(
			step{tcp{flags: syn, seq: 1001, window: 64240, scale: 7}, "tcp_syn"},
			step{tcp{flags: syn, seq: 5001, window: 64240, scale: 7, back: true}, "tcp_syn"},
			step{tcp{flags: ack, seq: 1001, ack: 5001, window: 502, payload: 10, scale: -1}, "original"},
		)},
		{"a RST at another number ends nothing", shaken(
			step{tcp{flags: rst, seq: 1002, scale: -1}, "tcp_reset"},
			step{tcp{flags: rst, seq: 1000, scale: -1}, "tcp_reset"},
			step{tcp{flags: rst, seq: 5900, scale: -1, back: true}, "tcp_reset"},
			step{tcp{flags: ack, seq: 1001, ack: 5001, window: 502, payload: 10, scale: -1}, "original"},
		)},
		{"a RST at the right one ends the flow", shaken(
			step{tcp{flags: rst, seq: 1001, scale: -1}, "original"},
			step{tcp{flags: syn, seq: 3000, window: 64240, scale: 7}, "original"},
		)},
		{"a RST that does not come: its receiver goes on, and gets another", shaken(
			step{tcp{flags: rst, seq: 1001, scale: -1}, "original"},
			step{tcp{flags: ack, seq: 5001, ack: 1001, window: 509, payload: 100, scale: -1, back: true}, "reply"},
			step{tcp{flags: rst, seq: 1001, scale: -1}, "original"},
			step{tcp{flags: rst, seq: 1002, scale: -1}, "tcp_reset"},
			step{tcp{flags: ack, seq: 5101, ack: 1002, window: 509, scale: -1, back: true}, "tcp_window"},
			step{tcp{flags: syn | ack, seq: 5101, ack: 1001, window: 509, scale: 7, back: true}, "tcp_syn"},
			step{tcp{flags: syn, seq: 3000, window: 64240, scale: 7}, "original"},
		)},
		{"a RST that comes without the data before it: its receiver asks", shaken(
			step{tcp{flags: ack, seq: 1001, ack: 5001, window: 502, payload: 100, scale: -1}, "original"},
			step{tcp{flags: rst, seq: 1101, scale: -1}, "original"},
			step{tcp{flags: ack, seq: 5001, ack: 1001, window: 509, scale: -1, back: true}, "reply"},
			step{tcp{flags: rst, seq: 1001, scale: -1}, "original"},
		)},
		{"a RST at what was acknowledged last, with data on its way", shaken(
			step{tcp{flags: ack, seq: 1001, ack: 5001, window: 502, payload: 100, scale: -1}, "original"},
			step{tcp{flags: rst, seq: 1001, scale: -1}, "original"},
		)},
		{"a refused connection", []step{shake[0],
			{tcp{flags: rst | ack, seq: 0, ack: 1001, scale: -1, back: true}, "reply"},
			{tcp{flags: rst | ack, seq: 0, ack: 1001, scale: -1, back: true}, "reply"},
			{tcp{flags: rst | ack, seq: 0, ack: 1002, scale: -1, back: true}, "tcp_reset"},
			{tcp{flags: rst, seq: 1001, scale: -1}, "tcp_reset"},
			{tcp{flags: ack, seq: 1001, ack: 1, scale: -1}, "state_invalid"},
			{tcp{flags: syn, seq: 2000, window: 64240, scale: 7}, "original"}}},
		{"refused by somebody who does not know the SYN", []step{shake[0],
			{tcp{flags: rst | ack, seq: 0, ack: 1002, scale: -1, back: true}, "tcp_reset"},
			{tcp{flags: rst, seq: 0, scale: -1, back: true}, "tcp_reset"},
			shake[1]}},
		{"an old connection is asked about and reset", []step{shake[0],
			{tcp{flags: ack, seq: 8000, ack: 4321, window: 100, scale: -1, back: true}, "reply"},
			{tcp{flags: rst, seq: 4321, scale: -1}, "original"},
			shake[0], shake[1]}},
		{"both open at once", []step{shake[0],
			{tcp{flags: syn, seq: 5000, window: 65160, scale: 7, back: true}, "reply"},
			{tcp{flags: syn | ack, seq: 1000, ack: 5001, window: 64240, scale: 7}, "original"},
			{tcp{flags: syn | ack, seq: 5000, ack: 1001, window: 65160, scale: 7, back: true}, "reply"},
			{tcp{flags: ack, seq: 1001, ack: 5001, window: 502, payload: 10, scale: -1}, "original"}}},
		{"data in a SYN", []step{{tcp{flags: syn, seq: 1000, window: 64240, scale: 7, payload: 500}, "original"},
			{tcp{flags: syn | ack, seq: 5000, ack: 1501, window: 65160, scale: 7, back: true}, "reply"}}},
		{"data in a SYN that is taken, and the SYN again without it", []step{{tcp{flags: syn, seq: 1000, window: 64240, scale: 7, payload: 500}, "original"},
			shake[0],
			{tcp{flags: syn | ack, seq: 5000, ack: 1501, window: 65160, scale: 7, back: true}, "reply"},
			{tcp{flags: ack, seq: 1501, ack: 5001, window: 502, payload: 500, scale: -1}, "original"}}},
		{"data in a SYN that is not taken", []step{{tcp{flags: syn, seq: 1000, window: 64240, scale: 7, payload: 500}, "original"},
			{tcp{flags: syn | ack, seq: 5000, ack: 1001, window: 65160, scale: 7, back: true}, "reply"},
			{tcp{flags: ack, seq: 1001, ack: 5001, window: 502, payload: 500, scale: -1}, "original"}}},
		{"more than the other side has room for", shaken(
			step{tcp{flags: ack, seq: 1001 + 65160 + 1, ack: 5001, window: 502, payload: 1, scale: -1}, "tcp_window"},
			step{tcp{flags: ack, seq: 1001 + 65160, ack: 5001, window: 502, payload: 1, scale: -1}, "original"},
		)},
		{"an acknowledgment of what was not sent", shaken(
			step{tcp{flags: ack, seq: 1001, ack: 5002, window: 502, scale: -1}, "tcp_window"},
			step{tcp{flags: ack, seq: 1001, ack: 5001, window: 502, scale: -1, sack: 5100}, "tcp_window"},
			step{tcp{flags: ack, seq: 1001, ack: 5001 + 1<<31 - 1, window: 502, scale: -1, sack: 5001 - 2}, "tcp_window"}, // the block is above, modulo 2^32
		)},
		{"data from long ago", shaken(
			step{tcp{flags: ack, seq: 1001 - 70000 + 1<<32, ack: 5001, window: 502, payload: 10, scale: -1}, "tcp_window"},
		)},
		{"a keep-alive, one behind", shaken(
			step{tcp{flags: ack, seq: 1000, ack: 5001, window: 502, scale: -1}, "original"},
			step{tcp{flags: ack, seq: 5001, ack: 1001, window: 509, scale: -1, back: true}, "reply"},
		)},
		{"a closed window and its probe", shaken(
			step{tcp{flags: ack, seq: 5001, ack: 1001, window: 0, scale: -1, back: true}, "reply"},
			step{tcp{flags: ack, seq: 1001, ack: 5001, window: 502, payload: 1, scale: -1}, "original"},
		)},
		{"numbers that wrap", []step{
			{tcp{flags: syn, seq: 0xfffffff0, window: 64240, scale: 7}, "original"},
			{tcp{flags: syn | ack, seq: 0xffffff00, ack: 0xfffffff1, window: 65160, scale: 7, back: true}, "reply"},
			{tcp{flags: ack, seq: 0xfffffff1, ack: 0xffffff01, window: 502, payload: 1000, scale: -1}, "original"},
			{tcp{flags: ack, seq: 0xffffff01, ack: 0xfffffff1 + 1000 - 1<<32, window: 509, payload: 1000, scale: -1, back: true}, "reply"},
			{tcp{flags: ack, seq: 0xfffffff1 + 1000 - 1<<32, ack: 0xffffff01 + 1000 - 1<<32, window: 502, scale: -1}, "original"},
		}},
		{"windows are not scaled where one side does not", []step{
			{tcp{flags: syn, seq: 1000, window: 1000, scale: 7}, "original"},
			{tcp{flags: syn | ack, seq: 5000, ack: 1001, window: 1000, scale: -1, back: true}, "reply"},
			{tcp{flags: ack, seq: 1001, ack: 5001, window: 1000, scale: -1}, "original"},
			{tcp{flags: ack, seq: 5001, ack: 1001, window: 1000, payload: 1000, scale: -1, back: true}, "reply"},
			{tcp{flags: ack, seq: 6002, ack: 1001, window: 1000, payload: 1, scale: -1, back: true}, "tcp_window"},
		}},
		{"another endpoint's packets are not the flow's", shaken(
			step{tcp{flags: ack, seq: 1001, ack: 5001, window: 502, payload: 10, scale: -1, from: elsewhere}, "flow_endpoint"},
			step{tcp{flags: rst, seq: 5001, scale: -1, back: true, from: elsewhere}, "flow_endpoint"},
			step{tcp{flags: rst, seq: 5001, scale: -1, back: true, from: clientHost}, "flow_endpoint"},
			step{tcp{flags: ack, seq: 1001, ack: 5001, window: 502, payload: 10, scale: -1}, "original"},
		)},
		{"unless any will do", shaken(
			step{tcp{flags: ack, seq: 1001, ack: 5001, window: 502, payload: 10, scale: -1, from: elsewhere, anyEnd: true}, "original"},
		)},
		{"a checksum that nobody vouches for moves nothing", shaken(
			step{tcp{flags: rst, seq: 1001, scale: -1, untrusted: true}, "original"},
			step{tcp{flags: ack, seq: 1001, ack: 5001, window: 502, payload: 10, scale: -1}, "original"},
		)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			table := newTable(t, 100)
			for i, s := range tt.steps {
				if got := word(meet(table, int64(i), s.tcp.packet(), Limits{})); got != s.want {
					t.Fatalf("step %d, %s: got %s, want %s", i, fmt.Sprintf("%+v", s.tcp), got, s.want)
				}
			}
			recount(t, table)
		})
	}
}

func TestTCPStatus(t *testing.T) {
	table := newTable(t, 100)
	for i, s := range []struct {
		tcp  tcp
		want string
	}{
		{shake[0].tcp, "syn_sent"},
		{shake[1].tcp, "syn_received"},
		{shake[2].tcp, "established"},
		{tcp{flags: fin | ack, seq: 1001, ack: 5001, window: 500, scale: -1}, "fin_wait"},
		{tcp{flags: ack, seq: 5001, ack: 1002, window: 509, scale: -1, back: true}, "close_wait"},
		{tcp{flags: fin | ack, seq: 5001, ack: 1002, window: 509, scale: -1, back: true}, "last_ack"},
		{tcp{flags: ack, seq: 1002, ack: 5002, window: 500, scale: -1}, "time_wait"},
	} {
		meet(table, int64(i), s.tcp.packet(), Limits{})
		var got string
		table.Sweep(int64(i), func(_ Handle, f *Flow, _ *inspect.Frame) bool { got = f.Status; return true })
		if got != s.want {
			t.Errorf("after %+v: %s, want %s", s.tcp, got, s.want)
		}
	}
}
