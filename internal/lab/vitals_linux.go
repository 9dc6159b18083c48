package lab

import (
	"sttwall/control"
	"sttwall/internal/vitals"
)

// Vitals are those of the firewall; see [control.Config].
func (l *Lab) Vitals() (v control.Vitals) {
	_ = l.Do(Firewall, func() error { // where its table is; a lab that is closed has none
		v = vitals.Of(l.firewall)
		return nil
	})
	return v
}

// Drops are what was dropped before the firewall saw it; see [control.Config].
func (l *Lab) Drops() (list []control.Drop) {
	_ = l.Do(Firewall, func() error {
		list = vitals.Drops(l.firewall)
		return nil
	})
	return list
}
