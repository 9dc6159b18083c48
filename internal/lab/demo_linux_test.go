package lab

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestDemoGoesAsExpected(t *testing.T) {
	var out, stderr bytes.Buffer
	ok, err := RunDemo(t.Context(), Options{Stderr: &stderr}, &out)
	if errors.Is(err, ErrUnavailable) {
		unavailable(t, err)
	}
	if err != nil || !ok {
		t.Errorf("got %v, %v\n%s%s", ok, err, &out, &stderr)
	}
	if stderr.Len() > 0 {
		t.Errorf("remarks: %s", &stderr)
	}
}

func TestTheTableIsAlignedAndSaysWhatFailed(t *testing.T) {
	rows := []Row{
		{What: "ping", Tenant: "acme", Expected: "passes", Happened: "passed", OK: true},
		{What: "a long attempt", Tenant: "-", Expected: "stopped: rule_drop", Happened: "it reached the far side"},
	}
	var steps []step
	for _, r := range rows {
		steps = append(steps, step{What: r.What, Tenant: r.Tenant, Expected: r.Expected})
	}
	var table, lines bytes.Buffer
	for _, p := range []*printer{{w: &table, widths: columnWidths(steps)}, {w: &lines, json: true}} {
		for _, r := range rows {
			p.receive(message{Row: &r})
		}
		if p.rows != 2 || p.failed != 1 || p.err != nil {
			t.Errorf("counted %d rows, %d failed, %v", p.rows, p.failed, p.err)
		}
	}
	const wantTable = "" +
		" #        tried           tenant  expected            happened\n" +
		" 1 ok     ping            acme    passes              passed\n" +
		" 2 FAILED a long attempt  -       stopped: rule_drop  it reached the far side\n"
	if table.String() != wantTable {
		t.Errorf("got\n%s\nwant\n%s", &table, wantTable)
	}
	const wantLine = `{"what":"ping","tenant":"acme","expected":"passes","happened":"passed","ok":true}`
	if got, _, _ := strings.Cut(lines.String(), "\n"); got != wantLine {
		t.Errorf("got %s, want %s", got, wantLine)
	}
}

func TestARowTakesSeveralLinesOnANarrowTerminal(t *testing.T) {
	var out bytes.Buffer
	p := &printer{w: &out, widths: columnWidths(plan(Options{})), columns: 80}
	p.receive(message{Row: &Row{What: "ping", Tenant: "acme", Expected: "passes", Happened: "passed", OK: true}})
	want := " 1 ok     ping\n          tenant acme, expected passes\n          passed\n"
	if got := out.String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if wide := (&printer{widths: p.widths, columns: 200}); wide.narrow() {
		t.Error("200 columns are not enough")
	}
}
