package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"sttwall/policy/classify"
)

// groupState says how far a group has come; groups may name groups in any
// order, but not themselves.
type groupState uint8

const (
	groupUnseen groupState = iota
	groupUnderWay
	groupDone
)

type addressGroup struct {
	state groupState
	set   *classify.Addresses
}

// group returns the addresses of a declared group, compiling it at its first
// use. at is where it is named.
func (l *loader) group(name string, at hcl.Range) *classify.Addresses {
	g := l.groups[name]
	if g == nil {
		g = &addressGroup{set: new(classify.Addresses)}
		l.groups[name] = g
	}
	switch g.state {
	case groupDone:
		return g.set
	case groupUnderWay:
		l.errorf(at, "Group in itself", "Expected groups without a circle; this one is %s.", circle(l.path, name))
		return nil
	}
	g.state = groupUnderWay
	l.path = append(l.path, name)
	l.compileGroup(l.groupBlocks[name], g)
	l.path = l.path[:len(l.path)-1]
	g.state = groupDone
	return g.set
}

// circle writes the way from a name back to it.
func circle(path []string, name string) string {
	for i, p := range path {
		if p == name {
			path = path[i:]
			break
		}
	}
	return strings.Join(append(append([]string{}, path...), name), " in ")
}

func (l *loader) compileGroup(b *hclsyntax.Block, g *addressGroup) {
	l.check(b.Body, b.DefRange(), groupSchema)
	own := new(classify.Addresses)
	list, file := b.Body.Attributes["addresses"], b.Body.Attributes["addresses_from"]
	if list == nil && file == nil {
		l.errorf(b.DefRange(), "Missing argument", `Expected "addresses" or "addresses_from" in an address_group.`)
	}
	if list != nil {
		items := l.list(list, addressExample, "A group without addresses would match nothing.")
		for i := range items {
			l.groupItem(&items[i], own)
		}
	}
	if file != nil {
		l.addressFile(file, own)
	}
	finish(own)
	*g.set = *l.hold(own)
}

func (l *loader) groupItem(v *value, own *classify.Addresses) {
	switch {
	case v.kind == kindReference && v.negated:
		l.errorf(v.at, "Negated group", `Expected a group without "!"; groups only add up. Write "!" in the rule.`)
	case v.kind == kindReference:
		if set := l.groupReference(v); set != nil && l.holdsRanges(v.at, own, set) {
			addSet(own, set)
		}
	case v.kind != kindString:
		l.badAddress(v)
	case v.text == "any":
		l.errorf(v.at, "Invalid address", `Expected addresses, as in %s; "any" is for rules.`, addressExample)
	case strings.HasPrefix(v.text, "!"):
		l.errorf(v.at, "Invalid address", `Expected addresses, as in %s; "!" is for rules.`, addressExample)
	default:
		if r, problem := parseAddresses(v.text); problem != "" {
			l.errorf(v.at, "Invalid address", "%s", problem)
		} else {
			addRange(own, r.lo, r.hi)
		}
	}
}

const (
	// maxAddressFile is the largest file of addresses_from, in bytes.
	maxAddressFile = 32 << 20
	// maxAddressFiles bounds how many of them a rules file may name.
	maxAddressFiles = 64
)

// addressFile reads the file of addresses_from into own. Its mistakes are
// reported in the file itself.
func (l *loader) addressFile(a *hclsyntax.Attribute, own *classify.Addresses) {
	v := l.value(a.Expr)
	if v.kind != kindString || v.text == "" {
		if !v.failed {
			l.errorf(v.at, "Invalid addresses_from", `Expected the name of a file in quotes, such as "blocklist.txt"; this is %s.`, v.describe())
		}
		return
	}
	if l.filesRead++; l.filesRead > maxAddressFiles {
		l.errorf(v.at, "Too many files", "Expected at most %d files of addresses.", maxAddressFiles)
		return
	}
	path := v.text
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(l.filename), path)
	}
	text, err := l.open(path)
	if err != nil {
		l.errorf(v.at, "Address file not read", "Expected a file of addresses that can be read: %s: %s.", clip(path), err)
		return
	}
	text = bytes.TrimPrefix(text, []byte("\uFEFF")) // as of the rules file
	l.addressFiles[path] = &hcl.File{Bytes: text}
	found := l.addressLines(path, text, own)
	if found == 0 && l.errors == 0 {
		l.warnf(v.at, "Empty address file", "Expected at least one address in %s; the group is without it.", clip(path))
	}
}

// addressLines reads one address, CIDR or range a line and returns how many
// there are.
func (l *loader) addressLines(path string, text []byte, own *classify.Addresses) (found int) {
	start := 0
	for line := 1; start < len(text); line++ {
		end := len(text)
		if i := bytes.IndexByte(text[start:], '\n'); i >= 0 {
			end = start + i
		}
		entry, _, _ := strings.Cut(string(text[start:end]), "#")
		entry = strings.TrimSpace(entry)
		if entry != "" {
			at := hcl.Range{Filename: path,
				Start: hcl.Pos{Line: line, Column: 1, Byte: start},
				End:   hcl.Pos{Line: line, Column: 1 + end - start, Byte: end}}
			if r, problem := parseAddresses(entry); problem != "" {
				l.errorf(at, "Invalid address", "%s", problem)
			} else {
				addRange(own, r.lo, r.hi)
				found++
			}
			if found%1024 == 0 && !l.holdsRanges(at, own) {
				return found
			}
		}
		start = end + 1
	}
	return found
}

// openAddressFile reads a whole regular file within bounds; a pipe or device
// would not end.
func openAddressFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, plainError(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, plainError(err)
	}
	defer f.Close() // nothing was written
	text, err := io.ReadAll(io.LimitReader(f, maxAddressFile+1))
	switch {
	case err != nil:
		return nil, plainError(err)
	case len(text) > maxAddressFile:
		return nil, fmt.Errorf("more than %d bytes", maxAddressFile)
	}
	return text, nil
}
