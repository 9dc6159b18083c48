package policy

import "sttwall/policy/classify"

// Definitions are the address groups and services of a rules file, by name. All
// of it is the policy's own and must not be changed.
type Definitions struct {
	Groups map[string]*classify.Addresses
	// Services holds the alternatives of each; none where one looks at TCP flags,
	// which a [classify.Service] does not show.
	Services map[string][]classify.Service
}

// Definitions returns what the file names, used or not.
func (p *Policy) Definitions() Definitions { return p.definitions }

// define keeps what was compiled of the groups and services.
func (l *loader) define() {
	d := Definitions{make(map[string]*classify.Addresses), make(map[string][]classify.Service)}
	for name, g := range l.groups {
		d.Groups[name] = g.set
	}
	for name, g := range l.services {
		boxes := make([]classify.Service, 0, len(g.services))
		for _, s := range g.services {
			boxes = append(boxes, s.box)
			if s.flagMask != 0 {
				boxes = nil
				break
			}
		}
		d.Services[name] = boxes
	}
	l.policy.definitions = d
}
