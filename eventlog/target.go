package eventlog

import (
	"errors"
	"fmt"
	"log/syslog"
	"path/filepath"
	"slices"
	"strings"
)

// Target is where lines go.
type Target struct {
	kind     kind
	path     string          // of a file, absolute
	facility syslog.Priority // of syslog
}

type kind uint8

const (
	kindFile kind = iota
	kindSyslog
	kindJournald
)

var facilities = map[string]syslog.Priority{
	"daemon": syslog.LOG_DAEMON, "user": syslog.LOG_USER, "auth": syslog.LOG_AUTH, "authpriv": syslog.LOG_AUTHPRIV,
	"local0": syslog.LOG_LOCAL0, "local1": syslog.LOG_LOCAL1, "local2": syslog.LOG_LOCAL2, "local3": syslog.LOG_LOCAL3,
	"local4": syslog.LOG_LOCAL4, "local5": syslog.LOG_LOCAL5, "local6": syslog.LOG_LOCAL6, "local7": syslog.LOG_LOCAL7,
}

// defaultFacility is Suricata's.
const defaultFacility = "local5"

// ParseTarget reads what an operator writes: the name of a file, "syslog:" or
// "syslog:FACILITY", or "journald:". The error says what is wrong.
func ParseTarget(text string) (Target, error) {
	if rest, ok := strings.CutPrefix(text, "syslog:"); ok {
		if rest == "" {
			rest = defaultFacility
		}
		facility, known := facilities[rest]
		if !known {
			names := make([]string, 0, len(facilities))
			for name := range facilities {
				names = append(names, name)
			}
			slices.Sort(names)
			return Target{}, fmt.Errorf("syslog has no facility %.40q: want one of %s", rest, strings.Join(names, ", "))
		}
		return Target{kind: kindSyslog, facility: facility}, nil
	}
	if rest, ok := strings.CutPrefix(text, "journald:"); ok {
		if rest != "" {
			return Target{}, fmt.Errorf("%.40q behind journald: nothing may stand there", rest)
		}
		return Target{kind: kindJournald}, nil
	}
	text = strings.TrimPrefix(text, "file:")
	if text == "" {
		return Target{}, errors.New("no file is named")
	}
	path, err := filepath.Abs(text) // once, whatever the working directory is later
	if err != nil {
		return Target{}, err
	}
	return Target{kind: kindFile, path: path}, nil
}

// Path returns the file, which is absolute; "" for what is none.
func (t Target) Path() string { return t.path }

// String returns what [ParseTarget] reads.
func (t Target) String() string {
	switch t.kind {
	case kindSyslog:
		for name, facility := range facilities {
			if facility == t.facility {
				return "syslog:" + name
			}
		}
		return "syslog:"
	case kindJournald:
		return "journald:"
	}
	return t.path
}

// line is an event on its way to the targets.
type line struct {
	text  []byte // with a newline behind it
	event *record
}

// writer writes lines to a target. One goroutine uses it.
type writer interface {
	// write writes lines in their order. n of them are written for good; the others are
	// given to it again, first the one that failed.
	write(lines []line) (n int, err error)
	// reopen gives up what is open, so that the next write opens it again.
	reopen()
	close() error
}

func (c *Config) open(t Target) writer {
	switch t.kind {
	case kindSyslog:
		return &syslogWriter{facility: t.facility, network: c.syslogNetwork, address: c.syslogAddress}
	case kindJournald:
		return journaldWriter{}
	}
	return &file{path: t.path}
}
