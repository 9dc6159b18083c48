package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"sttwall/internal/lab"
	"sttwall/nfq"
)

// measured asks for a path of the metrics that a firewall serves on a unix socket.
func measured(t *testing.T, socket, path string) (status int, body string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
	answer, err := client.Get("http://sttwall" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

func TestARunningFirewallIsMeasured(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	file := rulesFile(t, smallRules)
	socket := filepath.Join(t.TempDir(), "metrics.sock")
	fw := startRules(t, file, "--queues", "2", "--queue", "7", "--queue-length", "20000", "--fail-open=overload", "--on-table-loss=shout", "--metrics", socket)
	want := func(series ...string) {
		t.Helper()
		status, body := measured(t, socket, "/metrics")
		for _, one := range series {
			if status != 200 || !strings.Contains("\n"+body, "\n"+one+"\n") {
				t.Errorf("status %d, and no %q, but %q", status, one, regexp.MustCompile(`(?m)^sttwall_.*`).FindAllString(body, -1))
			}
		}
	}
	want(`sttwall_ready 1`, `sttwall_table_installed 1`, `sttwall_queue_length_packets{queue="8"} 20000`, `sttwall_queue_packets_total{queue="7"} 0`,
		`sttwall_fail_open{case="overload"} 1`, `sttwall_fail_open{case="absent"} 0`, `sttwall_policy_rules 2`, `sttwall_reloads_total{result="failure"} 0`,
		`sttwall_tenant_frames_total{tenant="acme"} 0`, `sttwall_rule_frames_total{rule="web",tenant="acme"} 0`,
		`sttwall_dropped_packets_total{reason="endpoint_unknown",where="table"} 0`, `sttwall_dropped_packets_total{reason="queue_full",where="queue"} 0`)
	// In a user namespace the kernel does not say what waits.
	if _, err := os.ReadFile("/proc/thread-self/net/netfilter/nfnetlink_queue"); err == nil {
		want(`sttwall_queue_waiting_packets{queue="7"} 0`)
	} else if _, body := measured(t, socket, "/metrics"); strings.Contains(body, "\nsttwall_queue_waiting_packets{") {
		t.Errorf("%v, and yet there is what waits", err)
	}
	for path, words := range map[string]string{"/healthz": "alive\n", "/readyz": "ready\n"} {
		if status, body := measured(t, socket, path); status != 200 || body != words {
			t.Errorf("%s: %d %q", path, status, body)
		}
	}
	if status, _, stderr := sttwall("block", "any > any", "--for", "1h", "--control", fw.socket); status != statusFine {
		t.Fatal(stderr)
	}
	sttwall("reload", "--control", fw.socket)
	if err := os.WriteFile(file, []byte("tenant {"), 0o600); err != nil {
		t.Fatal(err)
	}
	sttwall("reload", "--control", fw.socket)
	want(`sttwall_reloads_total{result="failure"} 1`, `sttwall_reloads_total{result="success"} 1`, `sttwall_reload_last_successful 0`,
		`sttwall_temporary_rules{state="in_force"} 1`, `sttwall_policy_rules 3`)

	if status, stderr := output(t, program(t, "plain", "nft", "--remove")); status != statusFine {
		t.Fatal(stderr)
	}
	if status, body := measured(t, socket, "/readyz"); status != 503 || !strings.Contains(body, "the table is gone: STT passes uninspected") {
		t.Errorf("without its table: %d %q", status, body)
	}
	want(`sttwall_ready 0`, `sttwall_table_installed 0`, `sttwall_table_restored_total 0`)
	if status, said := fw.stop(t, syscall.SIGTERM); status != statusFine {
		t.Errorf("status %d\n%s", status, said)
	}
	if _, err := os.Lstat(socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

func TestAnAddressThatIsTakenIsSaidBeforeAnythingIsTouched(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	socket := filepath.Join(t.TempDir(), "metrics.sock")
	fw := start(t, "--queues", "1", "--no-nft", "--metrics", socket)
	status, stderr := output(t, program(t, "plain", "run", "--state", "", "--rules", acceptAll, "--control", "", "--queue", "1", "--queues", "1", "--metrics", socket))
	if status != statusRefused || !strings.Contains(stderr, "another sttwall listens on "+socket) || !strings.Contains(stderr, "--metrics names another address") {
		t.Errorf("status %d\n%s", status, stderr)
	}
	if tableThere(t) {
		t.Errorf("the table %s was installed", nfq.TableName)
	}
	fw.stop(t, syscall.SIGTERM)
}

func TestMetricsForAllTheWorldAreSaidLoudly(t *testing.T) {
	for address, loud := range map[string]bool{"127.0.0.1:0": false, ":0": true} {
		var said strings.Builder
		m, err := (&metricsFlags{address: address}).open(slog.New(slog.NewTextHandler(&said, nil)))
		if err != nil {
			t.Fatal(err)
		}
		m.close()
		if got := strings.Contains(said.String(), "level=WARN msg=\"metrics are open to other hosts"); got != loud {
			t.Errorf("%s: it says\n%s", address, said.String())
		}
	}
}
