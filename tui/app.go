package tui

import (
	"context"
	"slices"
	"strings"
	"time"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"sttwall/filter"
	"sttwall/tui/plot"
)

// noticeFor is how long a notice stays.
const noticeFor = 6 * time.Second

// trend is how many rates the header keeps for its sparkline.
const trend = 60

// app has the screens, and what is around them.
type app struct {
	config Config
	env    *env
	// tabs are stacks: the screen itself, and what was opened over it.
	tabs   [][]screen
	at     int
	auto   bool // the theme follows the terminal's background
	sized  bool // the terminal has said how large it is
	prompt *prompt
	// past are filters that were used, the newest last.
	past []string
	// exporting: the next key says in what form.
	exporting bool
	// writing: an export is under way, and naming: names have been asked for. There is one
	// of each at most.
	writing, naming bool
	poll            poll
	trend           []float64 // packets a second

	notice      noticeMsg
	noticeUntil time.Time
	hint        string

	width, height int
	// after brings a tickMsg; tests bring theirs.
	after func(time.Duration) tea.Cmd
	// resumable says whether somebody can let it go on after ^Z; tests bring theirs.
	resumable func() bool
}

func newApp(ctx context.Context, c Config) (*app, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Every == 0 {
		c.Every = time.Second
	}
	name, auto := c.Theme, false
	if name == "" || name == ThemeAuto {
		name, auto = "dark", true
		if variable(c.Environ, "NO_COLOR") != "" {
			name, auto = "none", false
		}
	}
	look, err := newTheme(name)
	if err != nil {
		return nil, err
	}
	selects, err := filter.Parse(c.Filter)
	if err != nil {
		return nil, err
	}
	a := &app{config: c, auto: auto, hint: c.Hint, after: everyTick, resumable: resumable}
	a.env = &env{
		theme: look, keys: newKeyMap(c.Inside), now: c.Now, filter: selects, known: make(map[string][]string),
		where: c.Where, sampleTime: sampleTime, ctx: ctx, source: c.Firewall,
	}
	if c.Filter != "" {
		a.past = []string{c.Filter}
	}
	for i, s := range screens(a.env) {
		a.tabs = append(a.tabs, []screen{s})
		if strings.EqualFold(s.Title(), c.Screen) {
			a.at = i
		}
	}
	if !utf8Locale(c.Environ) {
		a.env.glyphs = plot.ASCII
	}
	a.resize(80, 24) // until the terminal has said
	return a, nil
}

// top is the screen that is seen.
func (a *app) top() screen {
	stack := a.tabs[a.at]
	return stack[len(stack)-1]
}

// root is the screen of the tab that is seen.
func (a *app) root() screen { return a.tabs[a.at][0] }

// Init asks at once.
func (a *app) Init() tea.Cmd {
	cmds := []tea.Cmd{a.ask(withStatus), a.tick(), a.askNames()}
	if a.auto {
		cmds = append(cmds, tea.RequestBackgroundColor)
	}
	return tea.Batch(cmds...)
}

// Update is the only place where the state changes.
func (a *app) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	cmds := []tea.Cmd{a.update(msg)}
	for len(a.env.sent) > 0 {
		sent := a.env.sent[0]
		a.env.sent = a.env.sent[1:]
		cmds = append(cmds, a.update(sent))
	}
	return a, tea.Batch(cmds...)
}

func (a *app) update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case tickMsg:
		if a.notice.text != "" && !a.env.now().Before(a.noticeUntil) {
			a.notice = noticeMsg{}
		}
		return tea.Batch(a.tick(), a.ask(withStatus))
	case pollMsg:
		return a.answered(msg)
	case calledMsg:
		return msg.to.Update(msg.answer)
	case askMsg:
		return a.ask(screenOnly)
	case tea.WindowSizeMsg:
		first := !a.sized
		a.resize(msg.Width, msg.Height)
		if a.sized = true; first {
			return a.ask(screenOnly)
		}
		return tea.Batch(tea.Sequence(tea.Raw(wholeScreen), tea.ClearScreen), a.ask(screenOnly))
	case tea.ResumeMsg:
		return a.ask(withStatus)
	case tea.BackgroundColorMsg:
		if a.auto {
			a.setTheme(map[bool]string{true: "dark", false: "light"}[msg.IsDark()])
		}
		return nil
	case noticeMsg:
		a.notice, a.noticeUntil = msg, a.env.now().Add(noticeFor)
		return nil
	case openMsg:
		a.tabs[a.at] = append(a.tabs[a.at], msg.screen)
		return a.moved()
	case closeMsg:
		return a.back()
	case gotoMsg:
		return a.goTo(msg)
	case knownMsg:
		a.learn(msg)
		return nil
	case exportedMsg:
		return a.exported(msg)
	case tea.KeyPressMsg:
		a.hint = ""
		return a.press(msg)
	case tea.PasteMsg:
		if a.prompt != nil {
			a.prompt.insert(msg.Content)
		}
		return nil
	case tea.MouseClickMsg:
		a.hint = ""
		return a.click(msg)
	case tea.MouseWheelMsg:
		if a.prompt == nil {
			msg.Y -= bodyTop
			return a.pass(msg)
		}
	}
	return nil
}

// pass gives a message to the visible screen.
func (a *app) pass(msg tea.Msg) tea.Cmd { return a.top().Update(msg) }

func (a *app) press(msg tea.KeyPressMsg) tea.Cmd {
	k := a.env.keys
	switch {
	case key.Matches(msg, k.Interrupt):
		return tea.Interrupt
	case key.Matches(msg, k.Suspend):
		if a.config.Inside {
			return notice(toneWarn, "^Z would stop the firewall too, and what waits for it: q leaves the screen")
		}
		if !a.resumable() {
			return notice(toneWarn, "there is no shell here that could go on with this after ^Z: q leaves the screen")
		}
		return tea.Suspend
	case a.prompt != nil:
		return a.prompted(msg)
	case a.exporting:
		return a.chooseExport(msg)
	case key.Matches(msg, k.Quit):
		return tea.Quit
	case key.Matches(msg, k.Back):
		if len(a.tabs[a.at]) == 1 && !a.env.filter.All() {
			return a.setFilter("")
		}
		return a.back()
	case key.Matches(msg, k.Screen):
		if n := int(msg.Code - '1'); n >= 0 && n < len(a.tabs) {
			return a.show(n)
		}
		return nil
	case key.Matches(msg, k.Next):
		return a.show((a.at + 1) % len(a.tabs))
	case key.Matches(msg, k.Previous):
		return a.show((a.at + len(a.tabs) - 1) % len(a.tabs))
	case key.Matches(msg, k.Help):
		if _, open := a.top().(*help); open {
			return a.back()
		}
		return a.update(openMsg{newHelp(a.env, a.top())})
	case key.Matches(msg, k.Filter):
		return a.openPrompt()
	case key.Matches(msg, k.Pause):
		if !a.env.paused {
			return a.pause()
		}
		a.env.paused = false
		return a.ask(withStatus)
	case key.Matches(msg, k.Theme):
		a.auto = false
		i := slices.Index(Themes, a.env.theme.name)
		a.setTheme(Themes[(i+1)%len(Themes)])
		return notice(toneText, "theme: "+a.env.theme.name)
	case key.Matches(msg, k.Copy):
		if c, ok := a.top().(copier); ok {
			if text, what := c.Copy(); text != "" {
				return tea.Batch(tea.SetClipboard(cleanLines(text)), notice(toneText, "copied "+what+", if the terminal lets programs do that (OSC 52)"))
			}
		}
		return notice(toneWarn, "there is nothing to copy here")
	case key.Matches(msg, k.Export):
		return a.beginExport()
	case key.Matches(msg, k.Columns):
		if c, ok := a.top().(chooser); ok {
			return a.update(openMsg{newChooseColumns(a.env, c.Chooser())})
		}
	}
	return a.pass(msg)
}

// click finds what was clicked: a tab, or something in the screen.
func (a *app) click(msg tea.MouseClickMsg) tea.Cmd {
	if a.prompt != nil || msg.Button != tea.MouseLeft {
		return nil
	}
	if msg.Y == tabsLine {
		for i, span := range a.tabSpans() {
			if msg.X >= span.from && msg.X < span.to {
				return a.show(i)
			}
		}
		return nil
	}
	if msg.Y -= bodyTop; msg.Y >= 0 && msg.Y < a.env.height {
		return a.pass(msg)
	}
	return nil
}

// show shows a tab.
func (a *app) show(i int) tea.Cmd {
	if i == a.at {
		return nil
	}
	a.at = i
	return a.moved()
}

// moved asks for what another screen needs.
func (a *app) moved() tea.Cmd {
	a.exporting = false
	a.abandon()
	return a.ask(screenOnly)
}

// back takes away what was opened last.
func (a *app) back() tea.Cmd {
	stack := a.tabs[a.at]
	if len(stack) == 1 {
		return nil
	}
	a.end(stack[len(stack)-1])
	a.tabs[a.at] = stack[:len(stack)-1]
	return a.moved()
}

func (a *app) end(s screen) {
	if c, ok := s.(closer); ok {
		c.Close()
	}
}

// close ends what screens have begun.
func (a *app) close() {
	a.abandon()
	for _, stack := range a.tabs {
		for _, s := range stack {
			a.end(s)
		}
	}
}

func (a *app) goTo(to gotoMsg) tea.Cmd {
	for i, stack := range a.tabs {
		if stack[0].Title() == to.title {
			for _, s := range stack[1:] {
				a.end(s)
			}
			a.tabs[i] = stack[:1]
			a.at = i
			return tea.Batch(a.setFilter(to.filter), a.moved())
		}
	}
	return nil
}

// setFilter puts a filter in force that has been parsed before.
func (a *app) setFilter(text string) tea.Cmd {
	selects, err := filter.Parse(text)
	if err != nil {
		return notice(toneBad, err.Error())
	}
	a.env.filter = selects
	var cmds []tea.Cmd
	for _, stack := range a.tabs {
		for _, s := range stack {
			cmds = append(cmds, s.Update(filterMsg{}))
		}
	}
	return tea.Batch(append(cmds, a.moved())...)
}

func (a *app) setTheme(name string) {
	if look, err := newTheme(name); err == nil {
		a.env.theme = look
	}
}
