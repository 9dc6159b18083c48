package tui

import (
	"fmt"
	"strings"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"
)

// scroll moves through lines that do not fit.
type scroll struct{ top int }

// Update takes keys and the wheel, where there are so many lines.
func (s *scroll) Update(msg tea.Msg, e *env, lines int) {
	switch msg := msg.(type) {
	case tea.KeyPressMsg:
		k := e.keys
		switch {
		case key.Matches(msg, k.Up):
			s.top--
		case key.Matches(msg, k.Down):
			s.top++
		case key.Matches(msg, k.PageUp):
			s.top -= e.height - 1
		case key.Matches(msg, k.PageDown):
			s.top += e.height - 1
		case key.Matches(msg, k.Top):
			s.top = 0
		case key.Matches(msg, k.Bottom):
			s.top = lines
		}
	case tea.MouseWheelMsg:
		switch msg.Button {
		case tea.MouseWheelUp:
			s.top -= 3
		case tea.MouseWheelDown:
			s.top += 3
		}
	}
	s.top = s.within(lines, e.height)
}

func (s *scroll) within(lines, height int) int { return max(0, min(s.top, lines-height)) }

// View returns the lines that are seen; the last one says if there are more.
func (s *scroll) View(e *env, lines []string, width, height int) string {
	lines = lines[s.within(len(lines), height):]
	if more := len(lines) - height; more > 0 && height > 1 {
		lines = append(append([]string{}, lines[:height-1]...),
			e.line(width, piece{toneText, "  "}, piece{toneKey, "j"}, piece{toneDim, fmt.Sprintf(" %d more lines", more+1)}))
	}
	return strings.Join(lines[:max(0, min(height, len(lines)))], "\n")
}
