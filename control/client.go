package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"syscall"
	"time"
)

// maxAnswer bounds an answer in bytes.
const maxAnswer = 64 << 20

// Client asks a running firewall. Errors that the firewall answers are [*Error].
type Client struct {
	path  string
	first chan net.Conn // has the connection of Dial until it is used or forgotten
	http  http.Client
}

// firstKept is how long the connection that [Dial] has tried is kept for the first
// question: well below the headerTimeout after which the firewall ends one on which nothing
// was asked. A question that met the end would fail.
const firstKept = headerTimeout / 5

// Dial returns a client of the firewall that listens on the socket at path,
// having tried whether one does.
func Dial(path string) (*Client, error) {
	c := &Client{path: path, first: make(chan net.Conn, 1)}
	first, err := net.Dial("unix", path)
	if err != nil {
		return nil, c.because(err)
	}
	c.first <- first
	time.AfterFunc(firstKept, c.forgetFirst)
	c.http.Transport = &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			select {
			case conn := <-c.first:
				return conn, nil
			default:
				return new(net.Dialer).DialContext(ctx, "unix", path)
			}
		},
		DisableCompression: true,
	}
	return c, nil
}

// forgetFirst ends the first connection if nothing was asked on it.
func (c *Client) forgetFirst() {
	select {
	case conn := <-c.first:
		conn.Close()
	default:
	}
}

// Close ends connections that are idle.
func (c *Client) Close() {
	c.forgetFirst()
	c.http.CloseIdleConnections()
}

// because says in an operator's words why there is no connection.
func (c *Client) because(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("no sttwall listens on %s: is it running, and with this --control?", c.path)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("the control socket %s is not open to you: ask as root, or as a member of its group", c.path)
	}
	return fmt.Errorf("control socket: %w", err)
}

// call asks, with a body if it is not nil, and reads the answer into out.
func (c *Client) call(ctx context.Context, method, path string, body, out any) error {
	response, err := c.ask(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err == nil {
		err = json.Unmarshal(text, out)
	}
	if err != nil {
		return fmt.Errorf("%s %s: the answer: %w", method, path, err)
	}
	return nil
}

// ask sends a request and returns the answer if it is a good one. The caller
// closes its body.
func (c *Client) ask(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var send io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", method, path, err)
		}
		send = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://sttwall"+path, send)
	if err != nil {
		return nil, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, c.because(err)
	}
	if response.StatusCode == http.StatusOK {
		return response, nil
	}
	defer response.Body.Close()
	refused := &Error{Code: response.StatusCode}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil || json.Unmarshal(text, refused) != nil || refused.Message == "" {
		return nil, fmt.Errorf("%s %s: %s, from something that is no sttwall", method, path, response.Status)
	}
	return nil, refused
}

// Status asks which firewall this is.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/status", nil, &s)
	return s, err
}

// Reload has the rules file read again and put in force.
func (c *Client) Reload(ctx context.Context) (r Reloaded, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/reload", nil, &r)
	return r, err
}
