package peers

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"
)

//go:embed suricata.yaml
var suricataYAML string

var suricataConfig = template.Must(template.New("suricata.yaml").Parse(suricataYAML))

// suricataBatch is the largest that Suricata takes.
const suricataBatch = 255

// SuricataConfig says how Suricata runs; the zero value accepts all, as fast as it
// can be set to.
type SuricataConfig struct {
	// AsShipped leaves the run mode and the number of packets for one verdict as
	// they are if nobody sets them: "autofp", in which threads hand packets on to
	// each other, and 1.
	AsShipped bool
	// Tenants are the Context IDs that may pass. Frames of others are dropped,
	// by their first segment: see bench/README.md for what that is worth.
	Tenants []uint64
	// Port is the STT port; 0 means 7471.
	Port int
}

// suricata is Suricata inline, one process for all queues.
type suricata struct{ config SuricataConfig }

// Suricata is Suricata 7 inline over NFQUEUE, one thread for each queue. It is
// looked for in PATH and where the script suricata-install puts it.
func Suricata(c SuricataConfig) Peer { return &suricata{c} }

func (s *suricata) Name() string {
	name := "suricata"
	if s.config.AsShipped {
		name += "_as_shipped"
	}
	if n := len(s.config.Tenants); n > 0 {
		name += fmt.Sprintf("_rules_%d", n)
	}
	return name
}

var suricataVersion = regexp.MustCompile(`version (\d+)\.[.\d]+`)

func (s *suricata) Available() error {
	program, env, err := findSuricata()
	if err != nil {
		return err
	}
	cmd := exec.Command(program, "--build-info")
	cmd.Env = append(cmd.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("suricata: %s --build-info: %w\n%s", program, err, bytes.TrimSpace(out))
	}
	v := suricataVersion.FindSubmatch(out)
	switch {
	case v == nil:
		return fmt.Errorf("suricata: %s --build-info names no version", program)
	case len(v[1]) == 1 && v[1][0] < '7':
		return fmt.Errorf("suricata: %s is %s: it takes 7 or newer: bench/peers/suricata-install fetches that", program, v[0])
	case !bytes.Contains(out, []byte("NFQ")):
		return fmt.Errorf("suricata: %s was built without NFQ", program)
	}
	return nil
}

// findSuricata returns the program and what its environment needs.
func findSuricata() (program string, env []string, err error) {
	if program, err = exec.LookPath("suricata"); err == nil {
		return program, nil, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", nil, fmt.Errorf("suricata: not in PATH, and there is no cache folder: %w", err)
	}
	folder := filepath.Join(cache, "sttwall-bench", "suricata")
	program = filepath.Join(folder, "usr/bin/suricata")
	if _, err := os.Stat(program); err != nil {
		return "", nil, errors.New("suricata: not in PATH nor in ~/.cache/sttwall-bench: bench/peers/suricata-install fetches it (Debian 12)")
	}
	var libs []string
	err = filepath.WalkDir(filepath.Join(folder, "usr/lib"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.Contains(d.Name(), ".so") && !slices.Contains(libs, filepath.Dir(path)) {
			libs = append(libs, filepath.Dir(path))
		}
		return err
	})
	if err != nil {
		return "", nil, fmt.Errorf("suricata: find its libraries: %w", err)
	}
	return program, []string{"LD_LIBRARY_PATH=" + strings.Join(libs, ":")}, nil
}

func (s *suricata) Start(ctx context.Context, env Env) (stop func() error, err error) {
	if err := env.Validate(); err != nil {
		return nil, fmt.Errorf("%s: %w", s.Name(), err)
	}
	env = env.withDefaults()
	program, environment, err := findSuricata()
	if err != nil {
		return nil, err
	}
	folder, err := s.layOut(env)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Name(), err)
	}
	// Once it runs it reads none of them again.
	defer os.RemoveAll(folder)
	runmode := "workers"
	if s.config.AsShipped {
		runmode = "autofp"
	}
	p, err := start(ctx, command{
		path: program, env: environment, netNS: env.NetNS, cpus: env.CPUs, ready: "Engine started",
		args: []string{
			"-c", filepath.Join(folder, "suricata.yaml"), "-l", folder, "--runmode", runmode,
			"-q", fmt.Sprintf("%d:%d", env.FirstQueue, env.FirstQueue+env.Queues-1),
		},
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Name(), err)
	}
	env.started(p)
	return func() error {
		c, err := p.stop()
		if err != nil {
			err = fmt.Errorf("%s: %w", s.Name(), err)
		}
		c.Packets = treated(p.lines)
		if env.Counts != nil {
			*env.Counts = c
		}
		return err
	}, nil
}

// layOut writes configuration and rules into a new folder.
func (s *suricata) layOut(env Env) (folder string, err error) {
	if folder, err = os.MkdirTemp("", "sttwall-bench-"); err != nil {
		return "", fmt.Errorf("make a folder for its files: %w", err)
	}
	var cpus []string
	for _, n := range env.CPUs {
		cpus = append(cpus, strconv.Itoa(n))
	}
	batch := suricataBatch
	if s.config.AsShipped {
		batch = 1
	}
	var yaml bytes.Buffer
	err = suricataConfig.Execute(&yaml, map[string]any{
		"Folder": folder, "Batch": batch, "CPUs": strings.Join(cpus, ", "),
		"Pending": max(1, min(env.QueueLength/4, 65000)),
	})
	for name, data := range map[string][]byte{
		"suricata.yaml": yaml.Bytes(), "tenants.rules": s.config.rules(), "empty": nil,
	} {
		err = errors.Join(err, os.WriteFile(filepath.Join(folder, name), data, 0o644))
	}
	if err != nil {
		return "", errors.Join(fmt.Errorf("write its files: %w", err), os.RemoveAll(folder))
	}
	return folder, nil
}

// rules writes the rules in Suricata's language. It does not know STT: the
// Context ID is eight bytes at a fixed place of the first segment, which is the
// one whose sequence number ends in two zero bytes (the offset in the frame).
// What passes is looked at first, so the last rule meets the others.
func (c SuricataConfig) rules() []byte {
	if len(c.Tenants) == 0 {
		return nil
	}
	port := c.Port
	if port == 0 {
		port = 7471
	}
	var b bytes.Buffer
	w := bufio.NewWriter(&b)
	for i, tenant := range c.Tenants {
		id := binary.BigEndian.AppendUint64(nil, tenant)
		fmt.Fprintf(w, "pass tcp any any -> any %d (msg:\"tenant %d\"; content:\"|% x|\"; offset:8; depth:8; sid:%d;)\n", port, tenant, id, i+1)
	}
	fmt.Fprintf(w, "drop tcp any any -> any %d (msg:\"other tenants\"; tcp.hdr; content:\"|00 00|\"; offset:6; depth:2; sid:%d;)\n", port, len(c.Tenants)+1)
	_ = w.Flush() // into memory
	return b.Bytes()
}

var suricataTreated = regexp.MustCompile(`Treated: Pkts (\d+)`)

// treated adds up the packets that its threads report at the end.
func treated(lines []string) uint64 {
	var sum uint64
	for _, line := range lines {
		if m := suricataTreated.FindStringSubmatch(line); m != nil {
			n, _ := strconv.ParseUint(m[1], 10, 64)
			sum += n
		}
	}
	return sum
}
