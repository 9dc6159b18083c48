package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// Error is a refusal: what the server answers in place of what was asked for.
type Error struct {
	// Code is the HTTP status.
	Code int `json:"-"`
	// Message is for people.
	Message string `json:"error"`
	// Diagnostics says what is wrong with a rules file, with file, line, column
	// and source line, as `sttwall check` prints it; "" if it is not about one.
	Diagnostics string `json:"diagnostics,omitempty"`
}

func (e *Error) Error() string { return e.Message }

func refuse(code int, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// answer writes a value as the answer to a request.
func answer(w http.ResponseWriter, value any) {
	text, err := encode(value)
	if err != nil {
		answerError(w, fmt.Errorf("answer: %w", err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(text) // a client that has gone away misses nothing
}

// answerError writes a refusal. What is not an [Error] is a mistake of ours.
func answerError(w http.ResponseWriter, err error) {
	var (
		e       *Error
		tooLong *http.MaxBytesError
	)
	switch {
	case errors.As(err, &e):
	case errors.As(err, &tooLong):
		e = refuse(http.StatusRequestEntityTooLarge, "the request is longer than %d bytes", tooLong.Limit)
	default:
		e = refuse(http.StatusInternalServerError, "%v", err)
	}
	text, _ := encode(e) // two strings: never fails
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.Code)
	w.Write(text)
}

// encode writes a value as a line of JSON, with < and > as they are.
func encode(value any) ([]byte, error) {
	var line bytes.Buffer
	err := newLines(&line).Encode(value)
	return line.Bytes(), err
}

// newLines returns an encoder of such lines.
func newLines(w io.Writer) *json.Encoder {
	lines := json.NewEncoder(w)
	lines.SetEscapeHTML(false)
	return lines
}
