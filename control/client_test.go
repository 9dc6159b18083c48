package control

import (
	"net"
	"net/http"
	"testing"
)

// Who dials may have something else to do before the first question: longer than the firewall waits
// for one.
func TestAClientMayAskLongAfterItHasDialled(t *testing.T) {
	ended := make(chan struct{}, 1)
	s := serve(t, Config{}, func(s *Server) {
		s.http.ConnState = func(_ net.Conn, state http.ConnState) {
			if state == http.StateClosed {
				select {
				case ended <- struct{}{}:
				default:
				}
			}
		}
	})
	c := s.dial(t)
	<-ended // by either side
	if _, err := c.Status(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAClientThatHasAskedNothingLeavesNoConnection(t *testing.T) {
	ended := make(chan struct{}, 1)
	s := serve(t, Config{}, func(s *Server) {
		s.http.ReadHeaderTimeout, s.http.ReadTimeout = 0, 0
		s.http.ConnState = func(_ net.Conn, state http.ConnState) {
			if state == http.StateClosed {
				ended <- struct{}{}
			}
		}
	})
	c, err := Dial(s.path)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	<-ended
	if _, err := c.Status(t.Context()); err != nil {
		t.Errorf("a question after all: %v", err)
	}
	c.Close()
	<-ended
}
