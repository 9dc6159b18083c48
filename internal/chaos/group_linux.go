package chaos

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Group is a cgroup that limits memory, which the parent has made, inside of its own.
type Group struct {
	// Path is below the root of the hierarchy.
	Path    string `json:"path,omitempty"`
	Version int    `json:"version,omitempty"` // of cgroups: 1 or 2
}

// makeGroup makes one below that of this process; remove takes it away. The error says
// why there can be none.
func makeGroup() (g Group, remove func(), err error) {
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return g, nil, err
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return g, nil, err
	}
	var errs []error
	for line := range strings.Lines(string(own)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		version := 0
		switch {
		case fields[1] == "" && fields[0] == "0":
			version = 2
		case strings.Contains(","+fields[1]+",", ",memory,"):
			version = 1
		default:
			continue
		}
		root := rootOf(string(mounts), version)
		if root == "" {
			continue
		}
		// A cgroup of version 2 that holds processes hands no controller down
		// (Documentation/admin-guide/cgroup-v2.rst, "No Internal Process Constraint"):
		// then it is made beside our own.
		for parent := fields[2]; ; parent = filepath.Dir(parent) {
			path := filepath.Join(parent, fmt.Sprintf("sttwall-chaos-%d", os.Getpid()))
			dir := filepath.Join(root, path)
			err := os.Mkdir(dir, 0o755)
			if err == nil {
				if _, err = os.Stat(filepath.Join(dir, knobs[version].limit)); err == nil {
					return Group{path, version}, func() { os.Remove(dir) }, nil
				}
				err = errors.Join(fmt.Errorf("cgroup v%d: %s has no memory controller for others", version, filepath.Dir(dir)), os.Remove(dir))
			}
			errs = append(errs, err)
			if version == 1 || parent == "/" {
				break
			}
		}
	}
	why := "none is mounted"
	if err := errors.Join(errs...); err != nil {
		why = strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	return g, nil, fmt.Errorf("no memory cgroup can be made here: %s", why)
}

// rootOf finds where the hierarchy is mounted; "" if it is not.
func rootOf(mountinfo string, version int) string {
	for line := range strings.Lines(mountinfo) {
		before, after, _ := strings.Cut(line, " - ")
		f, t := strings.Fields(before), strings.Fields(after)
		if len(f) < 5 || len(t) < 3 {
			continue
		}
		if version == 2 && t[0] == "cgroup2" || version == 1 && t[0] == "cgroup" && strings.Contains(","+t[2]+",", ",memory,") {
			return f[4]
		}
	}
	return ""
}

// knobs are the files of a memory cgroup, by version.
var knobs = map[int]struct{ limit, used, unlimited, events string }{
	1: {"memory.limit_in_bytes", "memory.usage_in_bytes", "-1", "memory.oom_control"},
	2: {"memory.max", "memory.current", "max", "memory.events"},
}

// group is the cgroup as the child sees it.
type group struct {
	dir     string
	version int
}

// openGroup mounts the hierarchy where the child alone sees it.
func openGroup(g Group, at string) (*group, error) {
	if err := os.Mkdir(at, 0o755); err != nil {
		return nil, err
	}
	kind, options := "cgroup", "memory"
	if g.Version == 2 {
		kind, options = "cgroup2", ""
	}
	if err := unix.Mount("cgroup", at, kind, unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, options); err != nil {
		return nil, fmt.Errorf("mount %s: %w", kind, err)
	}
	return &group{filepath.Join(at, g.Path), g.Version}, nil
}

func (g *group) write(name, value string) error {
	return os.WriteFile(filepath.Join(g.dir, name), []byte(value), 0)
}

// add moves a process in: what it takes from then on is counted here.
func (g *group) add(pid int) error {
	if err := g.write("cgroup.procs", strconv.Itoa(pid)); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("memory cgroup: %w", err)
	}
	return nil
}

func (g *group) used() (int64, error) {
	text, err := os.ReadFile(filepath.Join(g.dir, knobs[g.version].used))
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
}

// limit bounds it in bytes; 0 is no bound.
func (g *group) limit(bytes int64) error {
	value := knobs[g.version].unlimited
	if bytes > 0 {
		value = strconv.FormatInt(bytes, 10)
	}
	return g.write(knobs[g.version].limit, value)
}

// kills is how many processes the kernel has killed in it for want of memory.
func (g *group) kills() (n int64, err error) {
	text, err := os.ReadFile(filepath.Join(g.dir, knobs[g.version].events))
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "oom_kill "); ok {
			n, err = strconv.ParseInt(strings.TrimSpace(rest), 10, 64)
		}
	}
	return n, err
}
