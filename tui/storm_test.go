package tui

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	tea "charm.land/bubbletea/v2"

	"sttwall/control"
)

// Whatever is pressed and clicked, in whatever order, while rows come and go, the
// firewall is there or not, and the window changes: no panic, and a screen that fits.
func TestAnyKeysAndClicksInAnyState(t *testing.T) {
	const seeds = 5
	keys := []string{
		"1", "2", "3", "4", "5", "6", "7", "9", "tab", "shift+tab", "/", "p", "t", "e", "y", "?", "esc", "j", "k", "up", "down", "pgup", "pgdown",
		"g", "G", "home", "end", "enter", "enter", "s", "S", "f", "space", "c", "K", "J", "left", "right", "h", "l", "r", "v", "R", "backspace", "delete",
		"ctrl+w", "ctrl+u", "ctrl+k", "ctrl+a", "ctrl+e", "ctrl+z", "shift+left", "shift+right", "x", "!", "(", "\"", ":", "é", "東",
	}
	for seed := range uint64(seeds) {
		random := rand.New(rand.NewPCG(seed, 11))
		pick := func() string { return hostileNames[random.IntN(len(hostileNames))] }
		f := newBusy()
		all := newBusy()
		d := drive(t, f, 100, 30, func(c *Config) { c.Theme, c.Inside = "dark", seed%2 == 0 })
		var last []string
		for i := range 500 {
			var did string
			switch n := random.IntN(20); {
			case n < 12:
				did = keys[random.IntN(len(keys))]
				d.press(did)
			case n < 15:
				x, y := random.IntN(d.width+1), random.IntN(d.height+1)
				did = fmt.Sprint("click ", x, " ", y)
				d.send(tea.MouseClickMsg{X: x, Y: y, Button: tea.MouseLeft})
			case n < 16:
				did = "wheel"
				d.send(tea.MouseWheelMsg{X: random.IntN(100), Y: random.IntN(50), Button: []tea.MouseButton{tea.MouseWheelUp, tea.MouseWheelDown}[random.IntN(2)]})
			case n < 17:
				w, h := 1+random.IntN(220), 1+random.IntN(70)
				did = fmt.Sprint("size ", w, " ", h)
				d.send(tea.WindowSizeMsg{Width: w, Height: h})
			case n < 18:
				did = "paste"
				d.send(tea.PasteMsg{Content: pick()})
			case n < 19:
				did = "other data"
				f.err, f.flowsErr = nil, nil
				f.flows, f.tenants, f.rules, f.drops, f.recent, f.health, f.history = all.flows, all.tenants, all.rules, all.drops, all.recent, all.health, all.history
				switch random.IntN(6) {
				case 0:
					f.err = errors.New(pick())
				case 1:
					f.flows, f.tenants, f.rules, f.drops, f.recent = nil, nil, nil, nil, control.RecentDrops{}
				case 2:
					f.flows = f.flows[:random.IntN(len(f.flows)+1)]
					f.rules = f.rules[:random.IntN(len(f.rules)+1)]
					f.tenants = f.tenants[random.IntN(len(f.tenants)+1):]
				case 3:
					f.status.PID++
					f.history, f.health = control.History{}, control.Health{}
				case 4:
					f.flows = append([]control.Flow(nil), f.flows...)
					random.Shuffle(len(f.flows), func(a, b int) { f.flows[a], f.flows[b] = f.flows[b], f.flows[a] })
					for j := range f.flows {
						f.flows[j].ID = fmt.Sprint(random.IntN(5))
						f.flows[j].Tenant = pick()
					}
				}
			default:
				did = "tick"
				d.tick()
			}
			last = append(last, did)
			d.quit = false
			d.whole(fmt.Sprintf("seed %d, step %d, after %q", seed, i, last[max(0, len(last)-12):]))
		}
	}
}
