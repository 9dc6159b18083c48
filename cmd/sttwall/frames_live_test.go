package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sttwall/internal/lab"
)

// tshark has it read a capture, from a file or from what in holds.
func tshark(t *testing.T, path string, in []byte, fields ...string) (rows [][]string) {
	t.Helper()
	binary, err := exec.LookPath("tshark")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("tshark is not installed; CI needs it as the judge of what is written")
		}
		t.Skip("tshark is not installed; it judges what is written")
	}
	args := []string{"-r", path, "-T", "fields", "-E", "separator=|", "-E", "occurrence=f"}
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	cmd := exec.Command(binary, args...)
	var complaints bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark %v: %v\n%s", args, err, &complaints)
	}
	for line := range strings.Lines(string(out)) {
		rows = append(rows, strings.Split(strings.TrimSuffix(line, "\n"), "|"))
	}
	return rows
}

// Against the live traffic of the demo, through a real NFQUEUE.
func TestFramesOfARunningFirewallAreCaptured(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a lab")
	}
	err := lab.RunLive(t.Context(), lab.LiveOptions{}, func(ctx context.Context, live lab.Live) error {
		ask := func(t *testing.T, args ...string) (out, said string) {
			t.Helper()
			status, out, said := sttwall(append(args, "--control", live.Control)...)
			if status != statusFine {
				t.Fatalf("%v: status %d: %s", args, status, said)
			}
			return out, said
		}
		t.Run("inner frames in a file", func(t *testing.T) { captureToFile(t, ask) })
		t.Run("outer packets to standard output", func(t *testing.T) { captureToPipe(t, ask) })
		t.Run("into a program that looks on", func(t *testing.T) { captureIntoProgram(t, ctx, live.Control) })
		t.Run("only what is selected", func(t *testing.T) { captureSelected(t, ask) })
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// asking runs a command on the running firewall.
type asking = func(t *testing.T, args ...string) (out, said string)

func captureToFile(t *testing.T, ask asking) {
	file := filepath.Join(t.TempDir(), "frames.pcapng")
	if out, said := ask(t, "capture", "-w", file, "-c", "40"); out != "" || !strings.Contains(said, "40 frames captured") {
		t.Errorf("it says %q, %q", out, said)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info, err)
	}
	rows := tshark(t, file, nil, "frame.comment", "eth.type", "frame.protocols")
	if len(rows) != 40 {
		t.Fatalf("tshark sees %d frames", len(rows))
	}
	for _, row := range rows {
		if !strings.HasPrefix(row[0], "verdict=") || !strings.Contains(row[0], "context=0x") || row[1] == "" || strings.Contains(row[2], "_ws.malformed") {
			t.Errorf("a frame: %q", row)
		}
	}
}

func captureToPipe(t *testing.T, ask asking) {
	out, _ := ask(t, "capture", "-w", "-", "--outer", "-c", "40")
	rows := tshark(t, "-", []byte(out), "frame.comment", "tcp.dstport", "ip.src", "ipv6.src")
	if len(rows) != 40 {
		t.Fatalf("tshark sees %d packets", len(rows))
	}
	for _, row := range rows {
		if !strings.HasPrefix(row[0], "verdict=") || row[1] != "7471" || !strings.Contains(row[0], "from="+row[2]+row[3]+" ") {
			t.Errorf("a packet: %q", row)
		}
	}
}

// A program that reads the capture while it goes on sees each frame at once: here it has
// seen enough before the capture ends, as with | wireshark -k -i -.
func captureIntoProgram(t *testing.T, ctx context.Context, socket string) {
	binary, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("tshark is not installed; it is to look on")
	}
	looker := exec.CommandContext(ctx, binary, "-l", "-i", "-", "-c", "3", "-T", "fields", "-e", "frame.comment")
	var seen, complaints bytes.Buffer
	looker.Stdout, looker.Stderr = &seen, &complaints
	in, err := looker.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := looker.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, enough := context.WithCancel(ctx)
	defer enough()
	ended := make(chan int, 1)
	var said bytes.Buffer
	go func() {
		ended <- execute(ctx, []string{"capture", "-w", "-", "--control", socket}, streams{strings.NewReader(""), in, &said})
	}()
	if err := looker.Wait(); err != nil {
		t.Errorf("tshark: %v\n%s", err, &complaints)
	}
	enough()
	<-ended
	if n := strings.Count(seen.String(), "verdict="); n != 3 {
		t.Errorf("tshark has seen %d frames: %s\n%s\n%s", n, &seen, &complaints, &said)
	}
}

func captureSelected(t *testing.T, ask asking) {
	file := filepath.Join(t.TempDir(), "drops.pcapng")
	ask(t, "capture", "-w", file, "-c", "5", "--verdict", "drop", "--filter", "tcp", "-s", "60")
	for _, row := range tshark(t, file, nil, "frame.comment", "ip.proto", "frame.cap_len") {
		if !strings.HasPrefix(row[0], "verdict=drop reason=") && !strings.HasPrefix(row[0], "verdict=reject reason=") || row[1] != "6" || len(row[2]) > 2 {
			t.Errorf("a frame: %q", row)
		}
	}
}
