package policy

import (
	"errors"

	"sttwall/inspect"
)

// evaluate decides about a frame of which nothing but the context ID is known.
func evaluate(p *Policy, contextID uint64, f *inspect.Frame) Decision {
	return p.Evaluate(&Packet{ContextID: contextID, Frame: f, Peek: true})
}

// steady evaluates as a worker does, with a packet that stays.
type steady struct{ packet Packet }

func (s *steady) evaluate(p *Policy, contextID uint64, f *inspect.Frame) Decision {
	s.packet.ContextID, s.packet.Frame = contextID, f
	return p.Evaluate(&s.packet)
}

// noFiles is for tests that must not read from the disk.
func noFiles(string) ([]byte, error) { return nil, errors.New("no files here") }

// largeRules writes a tenant with that many rules, most of them plain.
func largeRules(n int) string {
	text, _ := realistic(n)
	return text
}
