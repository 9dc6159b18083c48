package evasion

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"sttwall/internal/receiver"
)

func TestNetworksLoseDoubleAndReorder(t *testing.T) {
	left := []Wire{{0, []byte("a")}, {1, []byte("b")}, {2, []byte("c")}, {int64(5 * time.Second), []byte("d")}}
	seen := map[string]bool{}
	for _, n := range Networks(left, rand.New(rand.NewPCG(1, 2))) {
		order := ""
		for i, p := range n.Packets {
			order += string(p.Packet)
			if i > 0 && p.At < n.Packets[i-1].At {
				t.Errorf("%s: time goes back", n.Name)
			}
		}
		seen[order] = true
		if n.Doubled != (len(order) > len(left)) {
			t.Errorf("%s: %s, doubled: %v", n.Name, order, n.Doubled)
		}
	}
	for _, want := range []string{"abcd", "bcd", "acd", "abd", "abc", "aabcd", "abcad", "abccd", "abcdd", "acbd", "bacd", "bcad", "cabd", "cbad"} {
		if !seen[want] {
			t.Errorf("no network made %s", want)
		}
	}
	for order := range seen {
		if len(order) >= len(left) && order[len(order)-1] != 'd' {
			t.Errorf("%s: a packet came seconds early or late", order)
		}
	}
}

func TestSuperSegmentsAreCutAsTheKernelDoes(t *testing.T) {
	frame := (&Script{}).web(3000)
	for _, v6 := range []bool{false, true} {
		s := wholeOf(7, frame)
		s.v6 = v6
		linux := receiver.NewLinux(receiver.LinuxConfig{IPv6: true})
		pieces := Segmentize(s.bytes(true), 1000)
		if len(pieces) != 4 {
			t.Fatalf("got %d pieces", len(pieces))
		}
		var got *receiver.Delivered
		for i, p := range pieces {
			if got = linux.Receive(0, 0, p); (got != nil) != (i == 3) {
				t.Fatalf("piece %d of 4: delivered %v", i, got != nil)
			}
		}
		if !bytes.Equal(got.Frame, frame[18:]) {
			t.Error("another frame is delivered")
		}
	}
}

// The suite must notice what a firewall without its checks would let happen: what is
// sent is handed to the receivers as it is.
func TestWithoutAFirewallCasesAreNoticed(t *testing.T) {
	c, err := NewCore(&Script{})
	if err != nil {
		t.Fatal(err)
	}
	noticed := map[string]string{}
	for _, k := range Cases() {
		s := &Script{Way: OnPlain}
		k.Send(s)
		var left []Wire
		for _, p := range s.Sent {
			left = append(left, Wire{int64(p.At), p.Packet})
		}
		for _, n := range Networks(left, rand.New(rand.NewPCG(1, 2))) {
			if n.Doubled {
				continue
			}
			v := &verifier{frames: s.Frames, rules: c.rules}
			if why := v.check(n); why != "" {
				noticed[k.Class+"/"+k.Name] = why
				break
			}
		}
	}
	for _, want := range []string{
		"Segments that overlap/a segment twice, with other bytes",
		"Segments that overlap/the bytes of a gap sent twice elsewhere",
		"Segments that contradict each other/total length shrinks to what has come",
		"Segments that contradict each other/the first length is that of the lengths that come",
		"Headers split over segments/split at every byte of the frame header",
		"Headers split over segments/a small first segment, for a denied port",
		"Frame IDs used again/while a frame is held",
		"Frame IDs used again/just after the frame was accepted",
		"Frame IDs used again/20 s later",
		"Frame IDs used again/59 s later",
		"Frame IDs used again/two frames spliced: denied headers, accepted rest",
		"Frame IDs used again/lost, then sent again in part",
		"The frame header/both checksum flags",
		"The frame header/every L4 offset",
		"The frame header/no TCP flag on TCP",
		"VLAN tags/a denied VLAN without V",
		"VLAN tags/V alone before a denied VLAN in the frame",
		"Inner fragments/fragments for a denied port",
		"Inner TCP and what looks like it/STT in STT",
		"Tenants, flows and endpoints/the largest",
	} {
		if noticed[want] == "" {
			t.Errorf("%s: nobody notices", want)
		}
	}
	t.Logf("%d of %d cases break something without a firewall", len(noticed), len(Cases()))
}
