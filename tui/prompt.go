package tui

import (
	"context"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"sttwall/filter"
)

// maxPast is how many filters are remembered; the oldest is forgotten.
const maxPast = 50

// promptLines is how many lines the prompt takes.
const promptLines = 3

// prompt is the line in which a filter is typed.
type prompt struct {
	env  *env
	text string
	at   int // byte of the cursor
	// past are the filters from before, and draft what was typed before one of them
	// was taken; pastAt is len(past) while the draft is shown.
	past   []string
	pastAt int
	draft  string
	// offered are completions, of which Tab takes one after the other.
	offered filter.Completion
	taken   int // -1: none yet
	// early: Tab was pressed when there was nothing to complete yet.
	early bool
	// refused: Enter was pressed, and the filter is wrong.
	refused bool
}

// knownMsg are names for completing filters, by field.
type knownMsg map[string][]string

// openPrompt begins a filter with the one in force, and asks for names.
func (a *app) openPrompt() tea.Cmd {
	p := &prompt{env: a.env, text: a.env.filter.String(), past: a.past, pastAt: len(a.past)}
	if p.text != "" && !strings.HasSuffix(p.text, " ") {
		p.text += " "
	}
	p.at = len(p.text)
	p.complete()
	a.prompt = p
	return a.askNames()
}

// askNames asks for names that complete filters, unless that is under way.
func (a *app) askNames() tea.Cmd {
	if a.naming {
		return nil
	}
	a.naming = true
	ctx, source := a.env.ctx, a.env.source
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(ctx, deadline)
		defer cancel()
		known := knownMsg{}
		// Without names the fields can still be completed.
		if tenants, err := source.Tenants(ctx); err == nil {
			for _, t := range tenants {
				known["tenant"] = append(known["tenant"], t.Tenant)
			}
		}
		if rules, err := source.Rules(ctx); err == nil {
			for _, r := range rules {
				known["rule"] = append(known["rule"], r.Rule)
			}
		}
		return known
	}
}

// learn takes names. A Tab that came before them is done now.
func (a *app) learn(names knownMsg) {
	a.naming = false
	for field, list := range names {
		a.env.known[field] = list
	}
	p := a.prompt
	if p == nil || p.taken >= 0 {
		return
	}
	early := p.early
	if p.complete(); early {
		p.take()
	}
}

// prompted takes a key while the prompt is open.
func (a *app) prompted(msg tea.KeyPressMsg) tea.Cmd {
	p, k := a.prompt, a.env.keys
	switch {
	case key.Matches(msg, k.Cancel):
		a.prompt = nil
	case key.Matches(msg, k.Enter):
		text := strings.TrimSpace(p.text)
		if _, err := filter.Parse(text); err != nil {
			p.refused = true // the line below says why
			return nil
		}
		a.prompt = nil
		if text != "" {
			a.past = slices.DeleteFunc(slices.Clone(a.past), func(s string) bool { return s == text })
			a.past = append(a.past, text)
			a.past = a.past[max(0, len(a.past)-maxPast):]
		}
		return a.setFilter(text)
	default:
		p.press(msg)
	}
	return nil
}

func (p *prompt) keys() []key.Binding {
	k := p.env.keys
	return []key.Binding{k.Apply, k.Complete, k.Past, k.Cancel}
}

func (p *prompt) press(msg tea.KeyPressMsg) {
	if key.Matches(msg, p.env.keys.Complete) {
		p.take()
		return
	}
	switch msg.String() {
	case "left", "ctrl+b":
		_, n := utf8.DecodeLastRuneInString(p.text[:p.at])
		p.at -= n
	case "right", "ctrl+f":
		_, n := utf8.DecodeRuneInString(p.text[p.at:])
		p.at += n
	case "home", "ctrl+a":
		p.at = 0
	case "end", "ctrl+e":
		p.at = len(p.text)
	case "up", "ctrl+p":
		p.recall(p.pastAt - 1)
		return
	case "down", "ctrl+n":
		p.recall(p.pastAt + 1)
		return
	case "backspace", "ctrl+h":
		_, n := utf8.DecodeLastRuneInString(p.text[:p.at])
		p.remove(p.at-n, p.at)
	case "delete", "ctrl+d":
		_, n := utf8.DecodeRuneInString(p.text[p.at:])
		p.remove(p.at, p.at+n)
	case "ctrl+w":
		word := strings.TrimRight(p.text[:p.at], " ")
		p.remove(strings.LastIndexByte(word, ' ')+1, p.at)
	case "ctrl+u":
		p.remove(0, p.at)
	case "ctrl+k":
		p.remove(p.at, len(p.text))
	default:
		if msg.Text != "" {
			p.insert(msg.Text)
		}
		return
	}
	p.complete()
}

// insert puts typed or pasted text at the cursor; a filter is one line of bounded
// length.
func (p *prompt) insert(text string) {
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t', r == '\r':
			return ' '
		case r < ' ', r == 0x7f:
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	if len(p.text)+len(text) > filter.MaxLen || text == " " && strings.HasSuffix(p.text[:p.at], " ") {
		return // a completed word has a space behind it already
	}
	p.text = p.text[:p.at] + text + p.text[p.at:]
	p.at += len(text)
	p.complete()
}

func (p *prompt) remove(from, to int) {
	p.text, p.at = p.text[:from]+p.text[to:], from
}

// recall takes a filter from before; the draft is the newest.
func (p *prompt) recall(i int) {
	if i < 0 || i > len(p.past) || i == p.pastAt {
		return
	}
	if p.pastAt == len(p.past) {
		p.draft = p.text
	}
	if p.pastAt = i; i == len(p.past) {
		p.text = p.draft
	} else {
		p.text = p.past[i]
	}
	p.at = len(p.text)
	p.complete()
}

// complete looks for what could stand at the cursor.
func (p *prompt) complete() {
	p.offered = filter.Complete(p.text[:p.at], func(f *filter.Field) []string { return p.env.known[f.Name] })
	p.taken, p.refused, p.early = -1, false, false
}

// take puts the next completion in place.
func (p *prompt) take() {
	if p.taken < 0 {
		p.complete() // names may have come meanwhile
	}
	n := len(p.offered.Candidates)
	if p.early = n == 0; p.early {
		return
	}
	p.taken = (p.taken + 1) % n
	text := p.offered.Candidates[p.taken].Text
	p.text = p.text[:p.offered.From] + text + p.text[p.at:]
	p.at = p.offered.From + len(text)
	if n == 1 {
		if !strings.HasSuffix(text, ":") && p.at == len(p.text) {
			p.insert(" ")
		}
		p.complete()
	}
}

// wrong is what is wrong with the filter, nil if nothing is.
func (p *prompt) wrong() *filter.Error {
	var wrong *filter.Error
	_, err := filter.Parse(strings.TrimRight(p.text, " "))
	errors.As(err, &wrong)
	return wrong
}
