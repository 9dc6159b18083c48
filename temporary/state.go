package temporary

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"sttwall/policy"
)

const (
	stateVersion = 1
	// maxState bounds the state file in bytes: more than the most rules of the
	// longest patterns take.
	maxState = 8 << 20
)

// state is what the state file holds, as JSON.
type state struct {
	Version int         `json:"version"`
	Next    uint64      `json:"next"` // number of the next name that is made
	Rules   []stateRule `json:"rules"`
}

type stateRule struct {
	Name    string    `json:"name"`
	Action  string    `json:"action"`
	Pattern string    `json:"pattern"`
	Seconds int64     `json:"seconds"` // that it was set for
	Set     time.Time `json:"set"`
	Expires time.Time `json:"expires"`
	UID     int       `json:"uid"`
	Comment string    `json:"comment,omitempty"`
}

// file is a state file. The zero value keeps nothing.
type file struct {
	path string // "": none
	text []byte // that is in it; nil: it is not there
}

// read reads the file. A file that is not there holds no rules. One that cannot be
// read, or is not what was written, is an error: rules that vanish are holes.
func (f *file) read() (state, error) {
	s := state{Version: stateVersion, Next: 1}
	if f.path == "" {
		return s, nil
	}
	text, err := readOwn(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		s, err = parse(text)
	}
	if err != nil {
		return s, fmt.Errorf("state file %s: %w: the temporary rules in it would not be in force, so nothing starts; "+
			"repair it, or move it away if they are not wanted any more", f.path, err)
	}
	f.text = text
	return s, nil
}

// readOwn reads a regular file that nobody else can have written.
func readOwn(path string) ([]byte, error) {
	in, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0) // a pipe must not hang
	if err != nil {
		return nil, plain(err)
	}
	defer in.Close() // nothing was written
	info, err := in.Stat()
	if err != nil {
		return nil, plain(err)
	}
	owner := -1
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		owner = int(s.Uid)
	}
	switch {
	case !info.Mode().IsRegular():
		return nil, errors.New("not a regular file")
	case owner != 0 && owner != os.Geteuid():
		return nil, fmt.Errorf("it belongs to user %d, who may have put rules into it", owner)
	case info.Mode().Perm()&0o022 != 0:
		return nil, fmt.Errorf("others may write it (mode %#o)", info.Mode().Perm())
	}
	text, err := io.ReadAll(io.LimitReader(in, maxState+1))
	switch {
	case err != nil:
		return nil, plain(err)
	case len(text) > maxState:
		return nil, fmt.Errorf("more than %d bytes", maxState)
	}
	return text, nil
}

// plain takes the path off an error: it is named anyway.
func plain(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// parse reads the text of a state file, and takes nothing that [List.Add] would
// not have written.
func parse(text []byte) (s state, err error) {
	// The version first: a later one may have other fields.
	var version struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(text, &version); err != nil {
		return s, broken(err)
	}
	if version.Version != stateVersion {
		return s, fmt.Errorf("version %d; this sttwall reads version %d", version.Version, stateVersion)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return s, broken(err)
	}
	if len(s.Rules) > policy.MaxTemporary {
		return s, fmt.Errorf("%d rules; at most %d can be", len(s.Rules), policy.MaxTemporary)
	}
	names := make(map[string]bool, len(s.Rules))
	for i := range s.Rules {
		r, err := s.Rules[i].rule()
		if err == nil && names[r.Name] {
			err = errors.New("a second rule of that name")
		}
		if err != nil {
			return s, fmt.Errorf("rule %d (%q): %w", i+1, s.Rules[i].Name, err)
		}
		names[r.Name] = true
	}
	return s, nil
}

func broken(err error) error {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("broken at byte %d: %w", syntax.Offset, err)
	}
	return fmt.Errorf("broken: %w", err)
}

var actions = map[string]policy.Action{"accept": policy.Accept, "drop": policy.Drop, "reject": policy.Reject}

func (s *stateRule) rule() (Rule, error) {
	action, ok := actions[s.Action]
	if !ok {
		return Rule{}, fmt.Errorf("action %q", s.Action)
	}
	if s.Seconds < 0 || s.Seconds > int64(MaxFor/time.Second) {
		return Rule{}, fmt.Errorf("%d seconds", s.Seconds)
	}
	r := Rule{
		Name: s.Name, Action: action, Pattern: s.Pattern, For: time.Duration(s.Seconds) * time.Second,
		Set: s.Set, UID: s.UID, Comment: s.Comment,
	}
	return r, r.check()
}

// write puts s into the file, whole or not at all. After an error the file is as
// it was.
func (f *file) write(s state) error {
	if f.path == "" {
		return nil
	}
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("state file %s: %w", f.path, err)
	}
	text = append(text, '\n')
	if err := f.unchanged(); err != nil {
		return fmt.Errorf("state file %s: %w", f.path, err)
	}
	if renamed, err := f.replace(text); err != nil {
		if renamed { // it may not last, and so must not be there at all
			if f.text == nil {
				os.Remove(f.path)
			} else {
				f.replace(f.text)
			}
		}
		return fmt.Errorf("state file %s: %w", f.path, err)
	}
	f.text = text
	return nil
}

// unchanged refuses to write over what somebody else has written.
func (f *file) unchanged() error {
	there, err := readOwn(f.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !bytes.Equal(there, f.text):
		return errors.New("somebody else has changed it: does another sttwall use it? Move it away to go on")
	}
	return nil
}

// replace writes beside the file, and renames when all of it is on the disk.
func (f *file) replace(text []byte) (renamed bool, err error) {
	dir := filepath.Dir(f.path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return false, err
	}
	beside := f.path + ".new"
	if err := os.Remove(beside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	out, err := os.OpenFile(beside, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return false, err
	}
	_, err = out.Write(text)
	if err == nil {
		err = out.Sync()
	}
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(beside, f.path)
	}
	if err != nil {
		os.Remove(beside) // the first error is the one that counts
		return false, err
	}
	return true, syncDir(dir)
}

// syncDir makes a rename last.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}
