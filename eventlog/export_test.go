package eventlog

import "time"

// Hasty has what waits for seconds wait for milliseconds.
func (c Config) Hasty() Config {
	c.retry, c.reap = time.Millisecond, time.Millisecond
	return c
}
