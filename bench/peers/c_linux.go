package peers

import (
	"context"
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

//go:embed c
var sources embed.FS

// cLoop is one of the loops in C, compiled when it is started.
type cLoop struct {
	name    string
	sources []string
	libs    []string
	install string // what to install if it does not compile
	batch   int    // packets in one system call, at most
}

// CLoop is the loop of libnetfilter_queue's documentation: one packet received,
// one verdict sent.
func CLoop() Peer {
	return &cLoop{
		name: "c_loop", sources: []string{"loop.c", "queue.c"}, libs: []string{"-lnetfilter_queue", "-lmnl"},
		install: "gcc libc6-dev libnetfilter-queue-dev libmnl-dev", batch: 1,
	}
}

// CMany receives many packets in one system call and sends many verdict
// messages in one.
func CMany() Peer {
	return &cLoop{
		name: "c_many", sources: []string{"many.c", "queue.c", "ring.c"},
		install: "gcc libc6-dev", batch: batchSize,
	}
}

// CBatch receives many packets in one system call and sends one verdict for
// all of them.
func CBatch() Peer {
	return &cLoop{
		name: "c_batch", sources: []string{"batch.c", "queue.c", "ring.c"},
		install: "gcc libc6-dev", batch: batchSize,
	}
}

// batchSize is packets in one system call, at most. From 32 to 512 the difference is
// a few percent, and not always to the same side.
const batchSize = 64

func (c *cLoop) Name() string { return c.name }

func (c *cLoop) Available() error {
	folder, _, err := c.build()
	if err != nil {
		return err
	}
	return os.RemoveAll(folder)
}

// build compiles the loop in a new folder, which is the caller's to remove.
func (c *cLoop) build() (folder, program string, err error) {
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		return "", "", fmt.Errorf("%s: no C compiler: apt-get install %s", c.name, c.install)
	}
	if folder, err = os.MkdirTemp("", "sttwall-bench-"); err != nil {
		return "", "", fmt.Errorf("%s: make a folder to compile in: %w", c.name, err)
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(folder)
		}
	}()
	if err := os.CopyFS(folder, sources); err != nil {
		return "", "", fmt.Errorf("%s: lay out the sources: %w", c.name, err)
	}
	program = filepath.Join(folder, c.name)
	args := append([]string{"-O2", "-o", program}, c.sources...)
	cmd := exec.Command(gcc, append(args, c.libs...)...)
	cmd.Dir = filepath.Join(folder, "c")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", "", fmt.Errorf("%s: compile: %w: apt-get install %s\n%s", c.name, err, c.install, strings.TrimSpace(string(out)))
	}
	return folder, program, nil
}

func (c *cLoop) Start(ctx context.Context, env Env) (stop func() error, err error) {
	if err := env.Validate(); err != nil {
		return nil, fmt.Errorf("%s: %w", c.name, err)
	}
	env = env.withDefaults()
	folder, program, err := c.build()
	if err != nil {
		return nil, err
	}
	// A program that runs needs its file no more.
	defer os.RemoveAll(folder)
	return startAll(ctx, c.name, env, func(i int) command {
		return command{
			path: program,
			args: []string{
				"-q", strconv.Itoa(env.FirstQueue + i),
				"-c", strconv.Itoa(env.CopyRange),
				"-l", strconv.Itoa(env.QueueLength),
				"-r", strconv.Itoa(env.ReceiveBuffer),
				"-b", strconv.Itoa(c.batch),
			},
			netNS: env.NetNS,
			cpus:  env.cpus(i),
			ready: "ready",
		}
	})
}
