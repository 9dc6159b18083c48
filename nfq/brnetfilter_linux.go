package nfq

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrNoBridgeNetfilter: the kernel cannot show bridged packets to our table.
var ErrNoBridgeNetfilter = errors.New("this kernel has no br_netfilter (it needs CONFIG_BRIDGE_NETFILTER; try: modprobe br_netfilter)")

// ErrBridgePasses: br_netfilter does not show all bridged packets to our table.
var ErrBridgePasses = errors.New("bridged STT passes uninspected")

// brSetting is one setting of br_netfilter, and its value: "net.bridge.NAME=VALUE".
type brSetting struct{ name, value string }

func (s brSetting) String() string { return "net.bridge." + s.name + "=" + s.value }

// brSettings are settings of br_netfilter in one network namespace.
type brSettings []brSetting

// neededSettings are those under which the hooks of IP see all that bridges forward:
// IPv4, IPv6, and both behind a VLAN tag.
func neededSettings() brSettings {
	return brSettings{{"bridge-nf-call-iptables", "1"}, {"bridge-nf-call-ip6tables", "1"}, {"bridge-nf-filter-vlan-tagged", "1"}}
}

// String returns what parseBrSettings reads.
func (s brSettings) String() string {
	var words []string
	for _, one := range s {
		words = append(words, one.String())
	}
	return strings.Join(words, " ")
}

// parseBrSettings reads what it knows, and leaves out the rest.
func parseBrSettings(text string) (s brSettings) {
	for _, word := range strings.Fields(text) {
		name, value, _ := strings.Cut(strings.TrimPrefix(word, "net.bridge."), "=")
		known := slices.ContainsFunc(neededSettings(), func(n brSetting) bool { return n.name == name })
		if known && value != "" && strings.Trim(value, "0123456789") == "" && len(value) < 10 {
			s = append(s, brSetting{name, value})
		}
	}
	return s
}

// brNetfilter holds the settings of br_netfilter open, in the order of neededSettings:
// a firewall that runs can open no files any more.
type brNetfilter struct{ files []*os.File }

// openBrNetfilter opens the settings of a network namespace: to be changed, or where they
// cannot be (/proc/sys is read-only), to be read.
func openBrNetfilter(ns NetNS) (b *brNetfilter, err error) {
	b = new(brNetfilter)
	err = inNetNS(ns, func() error {
		for _, s := range neededSettings() {
			name := "/proc/sys/net/bridge/" + s.name
			f, err := os.OpenFile(name, os.O_RDWR, 0)
			if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EROFS) || errors.Is(err, unix.EPERM) {
				f, err = os.Open(name)
			}
			if errors.Is(err, unix.ENOENT) {
				return ErrNoBridgeNetfilter
			}
			if err != nil {
				return err
			}
			b.files = append(b.files, f)
		}
		return nil
	})
	if err != nil {
		b.close()
		return nil, fmt.Errorf("bridge: %w", err)
	}
	return b, nil
}

// close may be called on nil.
func (b *brNetfilter) close() {
	if b == nil {
		return
	}
	for _, f := range b.files {
		f.Close() // nothing is left to be written
	}
}

// now returns the settings as they are.
func (b *brNetfilter) now() (s brSettings, err error) {
	for i, n := range neededSettings() {
		var text [16]byte
		got, err := b.files[i].ReadAt(text[:], 0)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("bridge: read net.bridge.%s: %w", n.name, err)
		}
		s = append(s, brSetting{n.name, strings.TrimSpace(string(text[:got]))})
	}
	return s, nil
}

// check returns an error that wraps [ErrBridgePasses] unless the settings are as they
// must be.
func (b *brNetfilter) check() error {
	now, err := b.now()
	if err != nil {
		return err
	}
	for i, n := range neededSettings() {
		if now[i] != n {
			return fmt.Errorf("%v: %w", now[i], ErrBridgePasses)
		}
	}
	return nil
}

// set makes the settings what they are in want; those that are so already are not
// touched.
func (b *brNetfilter) set(want brSettings) error {
	now, err := b.now()
	if err != nil {
		return err
	}
	for i, n := range neededSettings() {
		for _, w := range want {
			if w.name != n.name || now[i].value == w.value {
				continue
			}
			if _, err := b.files[i].WriteAt([]byte(w.value), 0); err != nil {
				return fmt.Errorf("bridge: set %v: %w (where /proc/sys is read-only, set it before: sysctl -w %v)", w, err, w)
			}
		}
	}
	return nil
}
