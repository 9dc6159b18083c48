package stt

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// Of all checksums that a header can have, those are good over which the sum of the
// package says so; with headers whose words carry as often as they can among them.
func TestTheHeaderSumIsThatOfTheChecksum(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for round := range 20 {
		var h [ipv4HeaderLen]byte
		for i := range h {
			h[i] = byte(r.Uint32())
			if round%4 == 0 {
				h[i] |= 0xff >> (round / 4)
			}
		}
		good := 0
		for sum := range 1 << 16 {
			binary.BigEndian.PutUint16(h[10:], uint16(sum))
			got, want := headerSumGood(&h), Checksum(h[:]) == 0
			if got != want {
				t.Fatalf("% x: got %t, want %t", h, got, want)
			}
			if got {
				good++
			}
		}
		if good == 0 || good > 2 { // 0 and 0xffff are one number
			t.Errorf("% x: %d checksums are good", h, good)
		}
	}
}
