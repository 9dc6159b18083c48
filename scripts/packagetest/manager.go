package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// manager stands in for systemd in the root of the packages, for what their scripts ask of
// it: it starts sttwall as its unit says, with the unit's user, capabilities, folders and
// environment, and hears what it notifies. The unit's sandbox is not there.
type manager struct {
	root  string
	asked []string // what systemctl was called with

	mu     sync.Mutex
	cmd    *exec.Cmd
	ended  chan struct{}
	notify *net.UnixConn
	output bytes.Buffer // of all that it has started
}

const (
	systemctlPath = "/usr/bin/systemctl"
	askPipe       = "/run/manager.ask"
	answerPipe    = "/run/manager.answer"
	notifySocket  = "/run/manager.notify"
	serviceName   = "sttwall.service"
	// patience is how long anything may take.
	patience = 120 * time.Second
)

// systemctl hands its arguments to the manager, and says what that says.
const systemctl = `#!/bin/sh
printf '%s\n' "$*" >` + askPipe + `
{ read -r status; cat; } <` + answerPipe + `
exit "$status"
`

// capabilities that a unit may name.
var capabilities = map[string]uintptr{
	"CAP_NET_ADMIN": unix.CAP_NET_ADMIN, "CAP_NET_RAW": unix.CAP_NET_RAW, "CAP_BPF": unix.CAP_BPF, "CAP_DAC_READ_SEARCH": unix.CAP_DAC_READ_SEARCH,
}

// newManager makes the pipes of systemctl, and answers who calls it, until the process ends.
func newManager(root string) (*manager, error) {
	m := &manager{root: root}
	for _, pipe := range []string{askPipe, answerPipe} {
		if err := unix.Mkfifo(root+pipe, 0o600); err != nil {
			return nil, fmt.Errorf("%s: %w", pipe, err)
		}
	}
	var err error
	if m.notify, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: root + notifySocket, Net: "unixgram"}); err != nil {
		return nil, err
	}
	if err := os.Chmod(root+notifySocket, 0o777); err != nil {
		return nil, err
	}
	go m.answer()
	return m, nil
}

// boot says whether systemd is what the host runs: that is what scripts look for.
func (m *manager) boot(runs bool) error {
	m.asked = nil
	if runs {
		return errors.Join(os.MkdirAll(m.root+"/run/systemd/system", 0o755), os.WriteFile(m.root+systemctlPath, []byte(systemctl), 0o755))
	}
	return errors.Join(os.RemoveAll(m.root+"/run/systemd"), os.RemoveAll(m.root+systemctlPath))
}

func (m *manager) answer() {
	for {
		ask, err := os.ReadFile(m.root + askPipe)
		if err != nil {
			return
		}
		text, err := m.systemctl(strings.Fields(string(ask)))
		status := 0
		if err != nil {
			status, text = 1, text+err.Error()+"\n"
		}
		to, err := os.OpenFile(m.root+answerPipe, os.O_WRONLY, 0)
		if err != nil {
			return
		}
		fmt.Fprintf(to, "%d\n%s", status, text)
		to.Close()
	}
}

// systemctl does what it is called for.
func (m *manager) systemctl(args []string) (text string, err error) {
	args = slices.DeleteFunc(args, func(a string) bool { return strings.HasPrefix(a, "--") })
	if len(args) == 0 {
		return "", errors.New("systemctl without a command")
	}
	m.asked = append(m.asked, strings.Join(args, " "))
	for i, name := range args[1:] {
		if !strings.Contains(name, ".") {
			args[1+i] = name + ".service"
		}
	}
	ours := slices.Contains(args[1:], serviceName)
	switch verb := args[0]; {
	case verb == "daemon-reload":
		return "", nil
	case verb == "is-enabled":
		if links, _ := filepath.Glob(m.root + "/etc/systemd/system/*.wants/" + args[1]); links == nil {
			return "disabled\n", errors.New("")
		}
		return "enabled\n", nil
	case verb == "is-active" && !m.running():
		return "", errors.New("inactive")
	case verb == "is-active":
		return "", nil
	case verb == "preset" || verb == "disable": // the package's preset enables both
		for _, name := range args[1:] {
			unit, err := m.unit(name)
			if err != nil {
				return "", err
			}
			link := filepath.Join(m.root, "etc/systemd/system", unit["WantedBy"]+".wants", name)
			os.Remove(link) // as both begin
			if verb == "disable" {
				os.Remove(filepath.Dir(link)) // where it was the last one
				continue
			}
			if err := errors.Join(os.MkdirAll(filepath.Dir(link), 0o755), os.Symlink("/usr/lib/systemd/system/"+name, link)); err != nil {
				return "", err
			}
		}
		return "", nil
	case verb == "reload" && ours:
		cmd, err := m.command("ExecReload")
		if err != nil {
			return "", err
		}
		out, err := cmd.CombinedOutput()
		return string(out), err
	case verb == "start" && ours:
		return "", m.start()
	case verb == "stop" && ours:
		return "", errors.Join(m.stop(), os.RemoveAll(m.root+"/run/sttwall"))
	case (verb == "restart" || verb == "try-restart" && m.running()) && ours:
		return "", errors.Join(m.stop(), m.start())
	case verb == "try-restart":
		return "", nil
	}
	return "", fmt.Errorf("systemctl %v: nobody has said what that does", args)
}

// unit reads an installed unit: each key with its last value.
func (m *manager) unit(name string) (map[string]string, error) {
	text, err := os.ReadFile(m.root + "/usr/lib/systemd/system/" + name)
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	for line := range strings.SplitSeq(string(text), "\n") {
		if key, value, ok := strings.Cut(line, "="); ok && !strings.HasPrefix(line, "#") {
			values[key] = value
		}
	}
	return values, nil
}

// command prepares a command line of the unit, as its user and with the flags of its
// environment file.
func (m *manager) command(key string) (*exec.Cmd, error) {
	unit, err := m.unit(serviceName)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(m.root + strings.TrimPrefix(unit["EnvironmentFile"], "-"))
	if err != nil {
		return nil, err
	}
	flags := ""
	for line := range strings.SplitSeq(string(text), "\n") {
		if value, ok := strings.CutPrefix(line, "STTWALL_ARGS="); ok {
			flags = strings.Trim(value, `"`)
		}
	}
	args := strings.Fields(strings.ReplaceAll(unit[key], "$STTWALL_ARGS", flags))
	if len(args) == 0 {
		return nil, fmt.Errorf("the unit has no %s", key)
	}
	uid, gid, err := m.account(unit["User"])
	if err != nil {
		return nil, err
	}
	var ambient []uintptr
	for _, name := range strings.Fields(unit["AmbientCapabilities"]) {
		n, known := capabilities[name]
		if !known {
			return nil, fmt.Errorf("the unit has %s", name)
		}
		ambient = append(ambient, n)
	}
	for key, place := range map[string][2]string{
		"RuntimeDirectory": {"/run/", "0755"}, "StateDirectory": {"/var/lib/", unit["StateDirectoryMode"]}, "LogsDirectory": {"/var/log/", unit["LogsDirectoryMode"]},
	} {
		folder := m.root + place[0] + unit[key]
		mode, err := strconv.ParseUint(place[1], 8, 12)
		if err != nil || unit[key] == "" {
			return nil, fmt.Errorf("%s=%s, with mode %s", key, unit[key], place[1])
		}
		if err := errors.Join(os.MkdirAll(folder, 0o755), os.Chmod(folder, os.FileMode(mode)), os.Chown(folder, uid, gid)); err != nil {
			return nil, err
		}
	}
	return &exec.Cmd{
		Path: args[0], Args: args, Dir: "/", Env: []string{"NOTIFY_SOCKET=" + notifySocket, "PATH=/usr/sbin:/usr/bin"},
		SysProcAttr: &syscall.SysProcAttr{Chroot: m.root, Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, AmbientCaps: ambient},
	}, nil
}

// account looks a user up in the root.
func (m *manager) account(name string) (uid, gid int, err error) {
	text, err := os.ReadFile(m.root + "/etc/passwd")
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		if f := strings.Split(line, ":"); len(f) == 7 && f[0] == name {
			uid, err = strconv.Atoi(f[2])
			gid, err2 := strconv.Atoi(f[3])
			return uid, gid, errors.Join(err, err2)
		}
	}
	return 0, 0, user.UnknownUserError(name)
}

func (m *manager) running() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ended == nil {
		return false
	}
	select {
	case <-m.ended:
		return false
	default:
		return true
	}
}

// start starts the service, and returns when it has notified that it is ready.
func (m *manager) start() error {
	cmd, err := m.command("ExecStart")
	if err != nil {
		return err
	}
	from, to, err := os.Pipe()
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = to, to
	if err := cmd.Start(); err != nil {
		return err
	}
	to.Close()
	ended := make(chan struct{})
	m.mu.Lock()
	m.cmd, m.ended = cmd, ended
	m.mu.Unlock()
	go func() {
		defer close(ended)
		io.Copy(lockedWriter{m}, from)
		cmd.Wait()
	}()
	return m.heard("READY=1")
}

// heard waits until the service has notified something.
func (m *manager) heard(what string) error {
	if err := m.notify.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	// It has gone when this returns: what it does must not be done to the next one that starts.
	heard, gone := make(chan struct{}), make(chan struct{})
	go func(ended chan struct{}) {
		defer close(gone)
		select {
		case <-ended:
			m.notify.SetReadDeadline(time.Now())
		case <-heard:
		}
	}(m.ended)
	defer func() {
		close(heard)
		<-gone
	}()
	buffer := make([]byte, 4096)
	for {
		n, err := m.notify.Read(buffer)
		if err != nil {
			return fmt.Errorf("the service has not notified %s: %w", what, err)
		}
		if slices.Contains(strings.Split(string(buffer[:n]), "\n"), what) {
			return nil
		}
	}
}

// stop ends the service.
func (m *manager) stop() error {
	if !m.running() {
		return nil
	}
	if err := m.cmd.Process.Signal(unix.SIGTERM); err != nil {
		return err
	}
	return m.waitEnd()
}

func (m *manager) waitEnd() error {
	select {
	case <-m.ended:
	case <-time.After(patience):
		return errors.New("the service does not end")
	}
	// What it said last is not what the next one says.
	m.notify.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	buffer := make([]byte, 4096)
	for {
		if _, err := m.notify.Read(buffer); err != nil {
			return nil
		}
	}
}

// log is what the service has written.
func (m *manager) log() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.output.String()
}

type lockedWriter struct{ m *manager }

func (w lockedWriter) Write(b []byte) (int, error) {
	w.m.mu.Lock()
	defer w.m.mu.Unlock()
	return w.m.output.Write(b)
}
