//go:build !linux

package arena

// pages returns zero memory of Go's own.
func pages(n int) []byte { return make([]byte, n) }

func release([]byte) {}
