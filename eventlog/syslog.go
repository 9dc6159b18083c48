package eventlog

import (
	"log/syslog"
)

// syslogTag names the program in syslog.
const syslogTag = "sttwall"

// syslogWriter sends each line to the local syslog daemon.
type syslogWriter struct {
	facility         syslog.Priority
	network, address string // "": the local daemon
	to               *syslog.Writer
}

func (w *syslogWriter) write(lines []line) (n int, err error) {
	if w.to == nil {
		if w.to, err = syslog.Dial(w.network, w.address, w.facility|syslog.LOG_INFO, syslogTag); err != nil {
			return 0, err
		}
	}
	for ; n < len(lines); n++ {
		say := w.to.Info
		switch priority(lines[n].event) {
		case syslog.LOG_ERR:
			say = w.to.Err
		case syslog.LOG_NOTICE:
			say = w.to.Notice
		}
		if err := say(string(lines[n].text)); err != nil {
			w.reopen()
			return n, err
		}
	}
	return n, nil
}

func (w *syslogWriter) reopen() {
	if w.to != nil {
		w.to.Close()
	}
	w.to = nil
}

func (w *syslogWriter) close() error {
	w.reopen()
	return nil
}

// priority is how urgent an event is: what went wrong, what was stopped, the rest.
func priority(r *record) syslog.Priority {
	switch {
	case r.Own != nil && r.Own.Reload != nil && r.Own.Reload.Error != "":
		return syslog.LOG_ERR
	case r.EventType == TypeDrop || r.EventType == TypeReject || r.EventType == TypeWouldDrop:
		return syslog.LOG_NOTICE
	}
	return syslog.LOG_INFO
}
