package space_test

import (
	"math/rand/v2"

	"sttwall/policy/space"
)

// The small world: three fields of four values each, so that all packets of it
// can be counted. All other fields are as the world says.
var smallFields = []space.Field{space.Src, space.Dst, space.DstPort}

const smallValues = 4

// smallWorld is UDP over IPv4 between few addresses and ports.
func smallWorld() space.Product {
	var p space.Product
	for _, f := range smallFields {
		p[f] = f.Between(0, smallValues-1)
	}
	p[space.Family] = space.Family.Values(4)
	p[space.Kind] = space.Kind.Values(17)
	p[space.SrcPort] = space.SrcPort.Values(7)
	p[space.TCPFlags] = space.TCPFlags.Values(space.NoFlags)
	p[space.ARPOperation] = space.ARPOperation.Values(space.NoARP)
	return p
}

// smallPackets returns all packets of the small world.
func smallPackets() []space.Point {
	world := smallWorld()
	base, _ := world.Typical()
	out := []space.Point{base}
	for _, f := range smallFields {
		var next []space.Point
		for _, x := range out {
			for v := range uint64(smallValues) {
				x[f] = space.V(v)
				next = append(next, x)
			}
		}
		out = next
	}
	return out
}

// smallProduct makes a product from three bytes: each has a bit for each value
// of a field, all bits set being no constraint.
func smallProduct(bits [3]byte) space.Product {
	var p space.Product
	for i, f := range smallFields {
		b := bits[i] & (1<<smallValues - 1)
		if b == 1<<smallValues-1 {
			continue
		}
		p[f] = setOf(f, uint64(b))
	}
	return p
}

func setOf(f space.Field, bits uint64) space.Set {
	var values []uint64
	for v := range uint64(64) {
		if bits>>v&1 == 1 {
			values = append(values, v)
		}
	}
	return f.Values(values...)
}

func randomProduct(r *rand.Rand) space.Product {
	var bits [3]byte
	for i := range bits {
		bits[i] = byte(r.Uint32())
		if r.IntN(3) == 0 {
			bits[i] = 0xff
		}
	}
	return smallProduct(bits)
}
