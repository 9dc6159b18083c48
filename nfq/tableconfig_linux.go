package nfq

import (
	crand "crypto/rand"
	"encoding/binary"
	"os"
	"reflect"

	"sttwall/policy"
)

// TunnelMode says whether other tunnels pass between two endpoints.
type TunnelMode uint8

const (
	// TunnelsByRules: as settings.other_tunnels says.
	TunnelsByRules TunnelMode = iota
	// TunnelsDropped: no, whatever the rules file says.
	TunnelsDropped
	// TunnelsPassed: yes, but where settings.only_stt forbids it.
	TunnelsPassed
)

// TableConfig returns the table that belongs to a rules file with these settings.
func (c *InlineConfig) TableConfig(s policy.Settings) TableConfig {
	return TableConfig{
		NetNS: c.Queue.NetNS, Hooks: c.Hooks, Own: c.own, Ports: s.STTPorts, Endpoints: s.Endpoints, Bound: s.BoundEndpoints,
		FirstQueue: c.Queue.Number, Queues: c.Queues, FailOpenAbsent: c.FailOpenAbsent,
		PassOtherTunnels: c.OtherTunnels == TunnelsPassed || c.OtherTunnels == TunnelsByRules && s.OtherTunnels,
		OnlySTT:          s.OnlySTT, Seed: c.spreadSeed, EndpointRate: s.EndpointRate,
	}
}

// equal reports whether both make the same table.
func (c TableConfig) equal(other TableConfig) bool {
	one := c.Guard == other.Guard
	c.Guard, other.Guard = nil, nil
	c.second, other.second = nil, nil
	return one && reflect.DeepEqual(c, other)
}

// NewOwn draws an [Own] for packets that this process sends.
func NewOwn() Own { return Own{Priority: NewSeed(), User: uint32(os.Geteuid())} }

// NewSeed draws a [TableConfig].Seed.
func NewSeed() uint32 {
	for {
		var b [4]byte
		crand.Read(b[:]) // never fails
		if seed := binary.NativeEndian.Uint32(b[:]); seed != 0 {
			return seed
		}
	}
}
