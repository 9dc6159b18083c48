package policy

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// LoadFile reads a rules file and compiles it as [Load] does. A file that cannot
// be read is a diagnostic too. The map holds the file by name, for
// [Printout.Files].
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
	p, file, diags := load(path, src)
	return p, diags, map[string]*hcl.File{path: file}
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

// Load compiles the text of a rules file. filename is for diagnostics alone; src
// is borrowed until the call returns. The policy is nil iff the diagnostics hold
// an error; with a policy they may hold warnings. Every diagnostic has a Subject
// and says what was expected; they stand in the order of the file, and there are
// at most about a hundred.
func Load(filename string, src []byte) (*Policy, hcl.Diagnostics) {
	p, _, diags := load(filename, src)
	return p, diags
}

func load(filename string, src []byte) (*Policy, *hcl.File, hcl.Diagnostics) {
	if diags := guard(filename, src); diags.HasErrors() {
		return nil, &hcl.File{Bytes: src}, diags
	}
	file, diags := hclsyntax.ParseConfig(src, filename, hcl.InitialPos)
	if diags.HasErrors() {
		// What follows from a syntax error would only hide it.
		return nil, file, tidy(diags, filename)
	}
	body, ok := file.Body.(*hclsyntax.Body)
	if !ok {
		return nil, file, hcl.Diagnostics{{
			Severity: hcl.DiagError,
			Summary:  "Not HCL",
			Detail:   "Expected HCL's native syntax.",
			Subject:  startOf(filename),
		}}
	}
	l := loader{
		filename: filename,
		src:      src,
		diags:    diags,
		policy:   &Policy{},
		groups:   make(map[string]*addressSet),
		services: make(map[string]*service),
	}
	l.file(body)
	diags = tidy(l.diags, filename)
	if diags.HasErrors() {
		return nil, file, diags
	}
	return l.policy, file, diags
}

// loader turns a syntax tree into a policy. It goes on after a mistake, to
// report them all; what it has built then is thrown away.
type loader struct {
	filename string
	src      []byte
	diags    hcl.Diagnostics
	policy   *Policy
	groups   map[string]*addressSet
	services map[string]*service
	claims   []claim
	errors   int
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
	l.check(body, *startOf(l.filename), &fileSchema)
	l.policy.settings = Settings{STTPorts: []uint16{DefaultSTTPort}}

	var settings *hclsyntax.Block
	groups, services := make(map[string]hcl.Range), make(map[string]hcl.Range)
	for _, b := range body.Blocks {
		switch b.Type {
		case "settings":
			if settings != nil {
				l.errorf(b.TypeRange, "Duplicate settings", "Expected one settings block; the first is at %s.", settings.TypeRange)
				continue
			}
			settings = b
			l.settings(b)
		case "address_group":
			if name, ok := l.name(b); ok && l.declare(groups, b.Type, name, b.LabelRanges[0]) {
				l.groups[name] = l.group(b)
			}
		case "service":
			if name, ok := l.name(b); ok && l.declare(services, b.Type, name, b.LabelRanges[0]) {
				l.services[name] = l.service(b)
			}
		}
	}
	if settings == nil || settings.Body.Attributes["endpoints"] == nil {
		l.warnNoEndpoints(settings)
	}
	l.tenants(body)
}

// tenants compiles the tenant blocks and resolves who owns which context ID.
func (l *loader) tenants(body *hclsyntax.Body) {
	names := make(map[string]hcl.Range)
	var headers []hcl.Range
	for _, b := range body.Blocks {
		if b.Type != "tenant" {
			continue
		}
		name, ok := l.name(b)
		if ok {
			l.declare(names, b.Type, name, b.LabelRanges[0])
		}
		// A tenant without a usable name is compiled all the same, for its other
		// mistakes.
		l.tenant(b, name)
		headers = append(headers, b.DefRange())
	}
	if len(headers) == 0 && l.errors == 0 {
		l.warnf(*startOf(l.filename), "No tenants", "Expected a tenant block; without one, %s is the answer to every frame.", l.policy.settings.DefaultAction)
		return
	}
	contexts, conflicts := resolveClaims(l.claims)
	for _, c := range conflicts {
		l.reportConflict(c)
	}
	l.policy.contexts = contexts
	if l.errors == 0 {
		for _, t := range contexts.unreachable(len(l.policy.tenants)) {
			l.warnf(headers[t], "Tenant never reached",
				"Expected some context ID that is tenant %q's alone; more specific claims of other tenants take all of them.", l.policy.tenants[t].name)
		}
	}
}

func (l *loader) reportConflict(c conflict) {
	first, second := l.policy.tenants[c.earlier.tenant].name, l.policy.tenants[c.later.tenant].name
	how := "cross"
	if c.earlier.lo == c.later.lo && c.earlier.hi == c.later.hi {
		how = "are equal"
	}
	l.errorf(c.later.at, "Context IDs claimed twice",
		"Tenant %q claims %s here, tenant %q claims %s at %s, and the two %s. Expected claims apart from each other, or one inside the other: then the inner one wins.",
		second, l.text(c.later.at), first, l.text(c.earlier.at), c.earlier.at, how)
}

// tenant compiles one tenant block and its rules.
func (l *loader) tenant(b *hclsyntax.Block, name string) {
	l.check(b.Body, b.DefRange(), &tenantSchema)
	index := int32(len(l.policy.tenants))
	t := tenant{
		name:          name,
		defaultAction: l.policy.settings.DefaultAction,
		firstRule:     int32(len(l.policy.rules)),
	}
	if a := b.Body.Attributes["context_ids"]; a != nil {
		l.contextIDs(a, index)
	}
	if a := b.Body.Attributes["default_action"]; a != nil {
		t.defaultAction = l.action(a)
	}
	names := make(map[string]hcl.Range)
	for _, rb := range b.Body.Blocks {
		if rb.Type != "rule" {
			continue
		}
		ruleName, ok := l.name(rb)
		if ok {
			l.declare(names, "rule", ruleName, rb.LabelRanges[0])
		}
		t.matcher.rules = append(t.matcher.rules, l.rule(rb))
		l.policy.rules = append(l.policy.rules, name+"/"+ruleName)
	}
	l.policy.tenants = append(l.policy.tenants, t)
}

// rule compiles one rule block.
func (l *loader) rule(b *hclsyntax.Block) rule {
	l.check(b.Body, b.DefRange(), &ruleSchema)
	var r rule
	for _, a := range sortedAttributes(b.Body) {
		switch a.Name {
		case "action":
			r.action = l.action(a)
		case "source":
			r.source = l.addresses(a)
		case "destination":
			r.destination = l.addresses(a)
		case "services":
			r.services = l.serviceList(a)
		case "log":
			r.log = l.truth(a)
		}
	}
	for _, s := range r.services {
		if s.kind == serviceEtherType && !(r.source.everything() && r.destination.everything()) {
			l.errorf(b.Body.Attributes["services"].Expr.Range(), "Service without addresses",
				"Expected no source or destination in a rule with an ethertype service: such frames have no addresses. Write a rule of its own for %s.", s.etherTypeName())
			break
		}
	}
	return r
}

// tidy sorts diagnostics by place, fills in a missing subject, and keeps the
// first maxDiagnostics, errors before warnings where not all can stay.
func tidy(diags hcl.Diagnostics, filename string) hcl.Diagnostics {
	for _, d := range diags {
		if d.Subject == nil {
			d.Subject = startOf(filename)
		}
	}
	byPlace := func(a, b *hcl.Diagnostic) int {
		return cmp.Compare(a.Subject.Start.Byte, b.Subject.Start.Byte)
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
