package main

import (
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sttwall/internal/lab"
	"sttwall/nfq"
)

func TestATableThatIsRemovedIsPutInAgain(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	socket := filepath.Join(t.TempDir(), "metrics.sock")
	fw := startRules(t, rulesFile(t, smallRules), "--queues", "1", "--metrics", socket)
	if status, stderr := output(t, program(t, "plain", "nft", "--remove")); status != statusFine {
		t.Fatal(stderr)
	}
	for start := time.Now(); ; {
		_, body := measured(t, socket, "/metrics")
		if strings.Contains(body, "\nsttwall_table_restored_total 1\n") && strings.Contains(body, "\nsttwall_table_installed 1\n") {
			break
		}
		if time.Since(start) > sayPatience {
			t.Fatalf("the table is not there again: %s", body)
		}
	}
	if !tableThere(t) {
		t.Error("the table is not there")
	}
	status, said := fw.stop(t, syscall.SIGTERM)
	if status != statusFine || !strings.Contains(said, "level=WARN msg=\"another program has changed the nftables table: it is as it was again") || !strings.Contains(said, " by=\"") {
		t.Errorf("status %d\n%s", status, said)
	}
}

func TestLossesOfTheTableAreLoggedInBounds(t *testing.T) {
	var out strings.Builder
	now := time.Unix(1000, 0)
	l := lossLog{log: slog.New(slog.NewTextHandler(&out, nil)), now: func() time.Time { return now }}
	restored := nfq.TableLoss{Why: nfq.ErrTableGone, By: "nft (7)", Restored: true}
	for range 100 {
		l.tell(restored, nfq.TableHealth{})
		now = now.Add(lossLogPause / 50)
	}
	if n := strings.Count(out.String(), "level=WARN"); n != 2 {
		t.Errorf("got %d lines in two pauses, want 2", n)
	}
	for _, loss := range []nfq.TableLoss{{Why: nfq.ErrTableChanged}, {Why: nfq.ErrTableGone, Failed: errors.New("no memory")}} {
		out.Reset()
		l.tell(loss, nfq.TableHealth{Losses: 7})
		if got := out.String(); !strings.Contains(got, "level=ERROR msg=\"STT passes uninspected") || !strings.Contains(got, "losses=7") {
			t.Errorf("%+v: it says %s", loss, got)
		}
	}
}
