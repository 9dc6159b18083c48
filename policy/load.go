package policy

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"sttwall/conntrack"
	"sttwall/limit"
	"sttwall/policy/classify"
)

// LoadFile reads a rules file, and the address files that it names, and
// compiles it as [Load] does. A file that cannot be read is a diagnostic too.
// The map holds the files by name, for [Printout.Files].
func LoadFile(path string) (*Policy, hcl.Diagnostics, map[string]*hcl.File) {
	src, err := readFile(path)
	if err != nil {
		return nil, hcl.Diagnostics{{
			Severity: hcl.DiagError,
			Summary:  "Rules file not read",
			Detail:   fmt.Sprintf("Expected a rules file that can be read: %s.", err),
			Subject:  startOf(path),
		}}, nil
	}
	return load(path, src, openAddressFile)
}

// readFile reads one byte more than is allowed at most, so that load refuses
// what is too large without holding all of it.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, plainError(err)
	}
	defer f.Close() // nothing was written
	src, err := io.ReadAll(io.LimitReader(f, MaxFileSize+1))
	if err != nil {
		return nil, plainError(err)
	}
	return src, nil
}

// plainError takes the path off an error: the diagnostic's subject names it.
func plainError(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
}

// Load compiles the text of a rules file. filename is for diagnostics, and for
// finding the files of addresses_from; src is borrowed until the call returns.
// The policy is nil iff the diagnostics hold an error; with a policy they may
// hold warnings. Every diagnostic has a Subject and says what was expected; they
// stand in the order of the file, and there are at most about a hundred.
func Load(filename string, src []byte) (*Policy, hcl.Diagnostics) {
	p, diags, _ := load(filename, src, openAddressFile)
	return p, diags
}

// load compiles src; open reads address files.
func load(filename string, src []byte, open func(string) ([]byte, error)) (*Policy, hcl.Diagnostics, map[string]*hcl.File) {
	return loadText(filename, src, open, splitAbove)
}

// loadText compiles src, with its rules parsed one by one above that size.
func loadText(filename string, src []byte, open func(string) ([]byte, error), above int) (*Policy, hcl.Diagnostics, map[string]*hcl.File) {
	files := map[string]*hcl.File{filename: {Bytes: src}}
	body, pieces, diags := parse(filename, src, above)
	if body != nil {
		files[filename] = &hcl.File{Bytes: src, Body: body}
	}
	if diags.HasErrors() {
		// What follows from a syntax error would only hide it.
		return nil, tidy(diags, filename), files
	}
	l := newLoader(filename, src, open)
	l.diags, l.addressFiles, l.pieces = diags, files, pieces
	l.file(body)
	if pieces != nil && pieces.diags.HasErrors() {
		return nil, tidy(pieces.diags, filename), files
	}
	diags = tidy(l.diags, filename)
	if diags.HasErrors() {
		return nil, diags, files
	}
	l.policy.groups = make(map[string]*classify.Addresses, len(l.groups))
	for name, g := range l.groups {
		l.policy.groups[name] = g.set
	}
	l.policy.compile(l.buckets)
	return l.policy, diags, files
}

func newLoader(filename string, src []byte, open func(string) ([]byte, error)) *loader {
	return &loader{
		filename:      filename,
		src:           src,
		open:          open,
		policy:        &Policy{source: &source{filename: filename, text: string(src)}},
		groups:        make(map[string]*addressGroup),
		groupBlocks:   make(map[string]*hclsyntax.Block),
		services:      make(map[string]*serviceGroup),
		serviceBlocks: make(map[string]*hclsyntax.Block),
		uses:          make(map[string][]string),
		sets:          make(map[string]*classify.Addresses),
		times:         make(map[string]*timeCondition),
	}
}

// parse makes the syntax tree of a file; of a large one all but the rules, which
// the pieces have. The tree is nil where nothing could be parsed.
func parse(filename string, src []byte, above int) (*hclsyntax.Body, *pieces, hcl.Diagnostics) {
	if len(src) > MaxFileSize {
		return nil, nil, tooLarge(*startOf(filename), MaxFileSize, len(src), "in a rules file")
	}
	if len(src) > above {
		sections, failed, ok := split(src)
		if ok {
			p := newPieces(filename, src)
			body := p.body(sections)
			return body, p, p.diags
		}
		if len(src) > maxText {
			return nil, nil, tooLarge(hcl.Range{Filename: filename, Start: failed, End: failed}, maxText, len(src),
				"in a file whose rules cannot be told apart, as from here on: is this a byte that is no UTF-8, a heredoc, \"$${\", a second thing in the line, or is a bracket never closed?")
		}
	}
	if diags := guard(filename, src, hcl.InitialPos); diags.HasErrors() {
		return nil, nil, diags
	}
	file, diags := hclsyntax.ParseConfig(src, filename, hcl.InitialPos)
	return file.Body.(*hclsyntax.Body), nil, diags // as ParseConfig says
}

// loader turns a syntax tree into a policy. It goes on after a mistake, to
// report them all; what it has built then is thrown away.
type loader struct {
	filename string
	src      []byte
	open     func(string) ([]byte, error)
	diags    hcl.Diagnostics
	errors   int
	policy   *Policy
	pieces   *pieces // of a large file; else nil

	// What rules can name: the blocks, and what has been compiled of them.
	groupBlocks   map[string]*hclsyntax.Block
	groups        map[string]*addressGroup
	serviceBlocks map[string]*hclsyntax.Block
	services      map[string]*serviceGroup
	uses          map[string][]string // "address_group.web": by "address_group.all", or "" for a rule
	path          []string            // groups or services under way
	addressFiles  map[string]*hcl.File
	filesRead     int

	// What the policy holds so far, and what of it rules can share.
	sets   map[string]*classify.Addresses // lists that name groups, by groupsKey
	times  map[string]*timeCondition      // by what they say
	ranges int                            // of addresses, in all groups and lists
	held   int                            // boxes of services, in all lists

	claims         []claim
	datapathClaims []datapathClaim
	buckets        []limit.Rate

	scope    *hcl.EvalContext // of expressions; made at the first
	bounds   scope            // of what is in it
	computed int              // values that the expression at hand may still give
	steps    int              // that all expressions so far may have taken
}

func (l *loader) errorf(at hcl.Range, summary, format string, args ...any) {
	// A generated file can have the same mistake in every line.
	if l.errors++; l.errors > 10*maxDiagnostics {
		return
	}
	l.report(hcl.DiagError, at, summary, format, args...)
}

func (l *loader) warnf(at hcl.Range, summary, format string, args ...any) {
	l.report(hcl.DiagWarning, at, summary, format, args...)
}

func (l *loader) report(s hcl.DiagnosticSeverity, at hcl.Range, summary, format string, args ...any) {
	l.diags = append(l.diags, &hcl.Diagnostic{
		Severity: s,
		Summary:  summary,
		Detail:   fmt.Sprintf(format, args...),
		Subject:  &at,
	})
}

// file compiles the whole file: first what rules refer to, then the tenants.
func (l *loader) file(body *hclsyntax.Body) {
	l.check(body, *startOf(l.filename), fileSchema)
	l.policy.settings = defaultSettings()

	for _, b := range body.Blocks {
		if b.Type != "address_group" && b.Type != "service" {
			continue
		}
		blocks := l.groupBlocks
		if b.Type == "service" {
			blocks = l.serviceBlocks
		}
		name, ok := l.name(b)
		if !ok {
			continue
		}
		if first := blocks[name]; first != nil {
			l.errorf(b.LabelRanges[0], "Duplicate name", "Expected another name: %s %q is at %s already.", b.Type, name, first.LabelRanges[0])
			continue
		}
		blocks[name] = b
	}
	settings := l.single(body, settingsSchema)
	if settings != nil {
		l.settings(settings)
	}
	if settings == nil || settings.Body.Attributes["endpoints"] == nil {
		l.warnNoEndpoints(settings)
	}
	// Groups that no rule names are compiled too, for their mistakes.
	for _, b := range body.Blocks {
		if len(b.Labels) != 1 {
			continue
		}
		switch name := b.Labels[0]; {
		case b.Type == "address_group" && l.groupBlocks[name] == b:
			l.group(name, b.DefRange())
		case b.Type == "service" && l.serviceBlocks[name] == b:
			l.service(name, b.DefRange())
		}
	}
	l.everyTenant(body, beforeSchema, &l.policy.before)
	l.tenants(body)
	l.everyTenant(body, afterSchema, &l.policy.after)
	l.tests(body)
	l.unused(body)
	l.define()
}

// everyTenant compiles before_tenants or after_tenants.
func (l *loader) everyTenant(body *hclsyntax.Body, s *schema, out *ruleList) {
	b := l.single(body, s)
	if b == nil {
		return
	}
	l.check(b.Body, b.DefRange(), s)
	*out = l.ruleBlocks(b.Body, b.Type, true)
}

func defaultSettings() Settings {
	return Settings{
		STTPorts:   []uint16{DefaultSTTPort},
		Flows:      DefaultFlows,
		MSSFloor:   DefaultMSSFloor,
		Bindings:   DefaultBindings,
		Timeouts:   conntrack.DefaultTimeouts(),
		RejectRate: limit.Rate{Events: 100, Per: time.Second, Burst: 100},
	}
}

// tidy sorts diagnostics by place, fills in a missing subject, and keeps the
// first maxDiagnostics, errors before warnings where not all can stay.
func tidy(diags hcl.Diagnostics, filename string) hcl.Diagnostics {
	for _, d := range diags {
		if d.Subject == nil {
			d.Subject = startOf(filename)
		}
	}
	elsewhere := func(d *hcl.Diagnostic) string { // files of addresses come behind
		if d.Subject.Filename == filename {
			return ""
		}
		return d.Subject.Filename
	}
	byPlace := func(a, b *hcl.Diagnostic) int {
		return cmp.Or(cmp.Compare(elsewhere(a), elsewhere(b)), cmp.Compare(a.Subject.Start.Byte, b.Subject.Start.Byte))
	}
	if len(diags) <= maxDiagnostics {
		slices.SortStableFunc(diags, byPlace)
		return diags
	}
	slices.SortStableFunc(diags, func(a, b *hcl.Diagnostic) int {
		return cmp.Or(cmp.Compare(a.Severity, b.Severity), byPlace(a, b))
	})
	more := &hcl.Diagnostic{
		Severity: diags[maxDiagnostics].Severity,
		Summary:  "Too many diagnostics",
		Detail:   fmt.Sprintf("%d more are not shown; expected at most %d at once.", len(diags)-maxDiagnostics, maxDiagnostics),
		Subject:  diags[maxDiagnostics].Subject,
	}
	return append(diags[:maxDiagnostics:maxDiagnostics], more)
}
