package tui

import (
	"context"
	"slices"
	"strings"
	"time"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"sttwall/control"
	"sttwall/filter"
	"sttwall/tui/plot"
)

// Firewall is what is asked of a running firewall; [*control.Client] is one. Its methods
// are called from any goroutine.
type Firewall interface {
	Status(context.Context) (control.Status, error)
	History(context.Context) (control.History, error)
	Health(context.Context) (control.Health, error)
	Flows(context.Context, control.FlowQuery) (control.FlowPage, error)
	Tenants(context.Context) ([]control.TenantHits, error)
	Rules(context.Context) ([]control.RuleHits, error)
	Rule(context.Context, string) (control.RuleHits, error)
	Drops(context.Context) ([]control.Drop, error)
	RecentDrops(context.Context, control.FrameQuery) (control.RecentDrops, error)
	Frames(ctx context.Context, q control.FrameQuery, each func(*control.Frame) error, lost func(uint64)) error
	Explain(context.Context, control.ExplainRequest) (control.Explanation, error)
	Remedy(context.Context, control.RemedyRequest) (control.Remedy, error)
	Reload(context.Context) (control.Reloaded, error)
}

// question asks the firewall. It runs in a goroutine of its own with a deadline, and
// must not touch its screen: what it needs it has been given.
type question func(context.Context, Firewall) (any, error)

// screen is what fills the space between the tabs and the status line. All of its
// methods are called by the event loop. Constructors get the env and keep it.
type screen interface {
	// Title stands in the tab: one word.
	Title() string
	// Ask returns what to ask at this tick, nil for nothing. Its answer comes as an
	// [answer].
	Ask() question
	// Update takes keys (those that the app does not use itself), mouse messages with
	// Y counted from the screen's first line, answers, and what its own commands
	// bring (see [env.call]).
	Update(tea.Msg) tea.Cmd
	// View returns at most height lines of at most width columns. It changes nothing
	// that matters and does no I/O; sizes may be anything from 1 up.
	View(width, height int) string
	// Keys are those that work here now, the most useful first, for the footer.
	Keys() []key.Binding
}

// What a screen may offer besides.
type (
	// filtered is a screen that heeds env.filter. It is told of a change by
	// filterMsg, and asked anew at once.
	filtered interface {
		// Filtered says how many it hides, for the status line.
		Filtered() string
	}
	// copier has something to copy: text, and what it is.
	copier interface{ Copy() (text, what string) }
	// exporter has rows to export.
	exporter interface {
		// Export returns a question whose answer is an [exportRows].
		Export() question
	}
	// chooser has columns to choose from.
	chooser interface{ Chooser() columnChooser }
	// placed has a place in a table to tell, for the status line.
	placed interface{ Place() string }
	// closer has something to end when it is left.
	closer interface{ Close() }
)

// Messages that reach Update of a screen.
type (
	// answer is what came of a question: of Ask, or of env.call. Value is nil
	// with an error.
	answer struct {
		value any
		err   error
	}
	// filterMsg says that env.filter is another one.
	filterMsg struct{}
	// sizeMsg says that env.width and env.height are others.
	sizeMsg struct{}
)

// Messages that a screen's commands send to the app.
type (
	// openMsg puts a screen over this one; Esc takes it away.
	openMsg struct{ screen screen }
	// closeMsg takes this screen away, as Esc does.
	closeMsg struct{}
	// gotoMsg shows the tab with that title, with that filter.
	gotoMsg struct{ title, filter string }
	// noticeMsg says something in the status line for some seconds.
	noticeMsg struct {
		text string
		tone tone
	}
	// askMsg asks the visible screen at once, not at the next tick.
	askMsg struct{}
	// calledMsg brings an answer to a screen.
	calledMsg struct {
		to screen
		answer
	}
)

// notice is the command that says something in the status line.
func notice(as tone, text string) tea.Cmd { return func() tea.Msg { return noticeMsg{text, as} } }

// env is what screens share with the app, which alone changes it.
type env struct {
	theme *theme
	// glyphs are what plots are drawn with.
	glyphs plot.Glyphs
	keys   *keyMap
	now    func() time.Time
	// filter is the one in force; see [filtered].
	filter *filter.Filter
	// known are the names of tenants and rules, for completing filters. Screens that
	// learn them set it.
	known map[string][]string
	// status is the last that came, and rates what changed since the one before.
	// There is none before the first answer.
	status    control.Status
	hasStatus bool
	rates     rates
	// lost is why the firewall does not answer, nil if it does: data is old then,
	// and shown in toneDim.
	lost   error
	paused bool
	// width and height are the room that screens have.
	width, height int

	// where names the firewall, such as the path of its socket.
	where string
	// sampleTime is how long a detail waits for frames.
	sampleTime time.Duration

	ctx    context.Context
	source Firewall
	// sent are messages of screens that the app has not taken yet.
	sent []tea.Msg
}

// send sends a message to the app, which takes it as soon as the screen is done: a key
// that was typed meanwhile meets what this one has opened. It returns no command.
func (e *env) send(m tea.Msg) tea.Cmd {
	e.sent = append(e.sent, m)
	return nil
}

// rates are a second.
type rates struct {
	known                              bool
	packets, bytes                     float64
	accepted, dropped, audited, reject float64
}

// deadline bounds how long a question may take.
const deadline = 5 * time.Second

// call asks the firewall something for a screen, which gets an answer message.
func (e *env) call(to screen, q question) tea.Cmd { return e.callUntil(e.ctx, to, q) }

// callUntil is call that is given up when ctx ends.
func (e *env) callUntil(ctx context.Context, to screen, q question) tea.Cmd {
	source := e.source
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(ctx, deadline)
		defer cancel()
		value, err := q(ctx, source)
		return calledMsg{to, answer{value, inWords(err)}}
	}
}

// paint writes clean text in a tone; what is old is dim throughout.
func (e *env) paint(as tone, text string) string {
	if e.lost != nil {
		switch as {
		case toneSelected, toneBrand, toneTab, toneTabOn, toneKey, toneBad:
		default:
			as = toneDim
		}
	}
	return e.theme.paint(as, text)
}

// narrowed is the filter in force and a term of that field besides; the term alone
// where the filter asks for the field already.
func (e *env) narrowed(field, value string) string {
	term, text := field+":"+filter.Quote(value), strings.TrimSpace(e.filter.String())
	if e.filter.All() || slices.Contains(e.filter.Fields(), field) || len(text)+len(term)+3 > filter.MaxLen {
		return term
	}
	words := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return strings.ContainsRune(" ()", r) })
	if slices.Contains(words, "or") || slices.Contains(words, "||") {
		text = "(" + text + ")" // "or" binds least
	}
	return text + " " + term
}

// spark draws values, the newest last, as a sparkline of so many columns.
func (e *env) spark(values []float64, columns int) string {
	return plot.Sparkline(plot.Window{Values: values}, columns, 0, e.glyphs)
}

// screens are the tabs, in their order.
func screens(e *env) []screen {
	return []screen{newOverview(e), newFlows(e), newTenants(e), newRules(e), newDrops(e), newHealth(e)}
}
