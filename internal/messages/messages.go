// Package messages finds the sentences for operators in Go sources, for tests
// that look for each of them in a golden file: what nobody has read may say
// nothing, or something else than what is meant.
package messages

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strconv"
	"strings"
)

// Message is a string in the sources that becomes a message or a part of one.
type Message struct {
	At   token.Position
	Text string // with its verbs; %s also for what + puts in
}

var verb = regexp.MustCompile(`%[-+# 0-9]*[a-z]`)

// Pattern returns what matches the message, whatever is put in.
func (m Message) Pattern() *regexp.Regexp {
	pattern := ""
	for i, part := range verb.Split(m.Text, -1) {
		if i > 0 {
			pattern += `(?s:.*)`
		}
		pattern += regexp.QuoteMeta(strings.ReplaceAll(part, "%%", "%"))
	}
	return regexp.MustCompile(pattern)
}

// In returns the strings of a source file that look like messages: those that
// the expression matches.
func In(path string, message *regexp.Regexp) (out []Message, err error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var visit func(n ast.Node) bool
	visit = func(n ast.Node) bool {
		if _, ok := n.(*ast.ImportSpec); ok {
			return false
		}
		e, ok := n.(ast.Expr)
		if !ok {
			return true
		}
		var others []ast.Expr
		s, literal := text(e, &others)
		if !literal {
			return true
		}
		if message.MatchString(s) {
			out = append(out, Message{fset.Position(n.Pos()), s})
		}
		for _, o := range others {
			ast.Inspect(o, visit)
		}
		return false
	}
	ast.Inspect(file, visit)
	return out, nil
}

// text returns what an expression of string literals and others gives, and
// whether there is a literal in it.
func text(e ast.Expr, others *[]ast.Expr) (s string, literal bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind == token.STRING {
			s, err := strconv.Unquote(e.Value)
			return s, err == nil
		}
	case *ast.BinaryExpr:
		if e.Op == token.ADD {
			x, a := text(e.X, others)
			y, b := text(e.Y, others)
			return x + y, a || b
		}
	}
	*others = append(*others, e)
	return "%s", false
}
