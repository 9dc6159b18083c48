package metrics

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"sttwall/reason"
)

// busy are metrics of a firewall that has had something to do.
func busy(t testing.TB) (*Metrics, *core) {
	t.Helper()
	fw := newCore(t, testRules)
	for port := range 3 {
		fw.send(t, 100, "tcp 10.0.0.1:4000"+string(rune('0'+port))+" > 10.0.0.2:443 syn")
	}
	fw.send(t, 100, "tcp 10.0.0.1:40000 > 10.0.0.2:23 syn")
	fw.send(t, 200, "udp 10.0.0.1:9 > 10.0.0.2:53")
	fw.send(t, 300, "udp 10.0.0.1:9 > 10.0.0.2:53")
	m := newMetrics(t, Config{Clock: func() time.Time { return time.Unix(1_700_000_000, 0) }})
	m.Watch(sourceOf(fw))
	m.Ready()
	return m, fw
}

func TestWhatTheFirewallCountsIsScraped(t *testing.T) {
	m, fw := busy(t)
	m.Reloaded(nil)
	m.Reloaded(errors.New("it does not load"))
	got := scrape(t, m)
	for series, want := range map[string]float64{
		`sttwall_packets_total`:                                              6,
		`sttwall_frames_total{verdict="accept"}`:                             4,
		`sttwall_frames_total{verdict="drop"}`:                               2,
		`sttwall_packet_verdicts_total{verdict="drop"}`:                      2,
		`sttwall_audited_frames_total`:                                       1,
		`sttwall_dropped_frames_total{reason="rule_reject"}`:                 1,
		`sttwall_dropped_frames_total{reason="context_unknown"}`:             1,
		`sttwall_dropped_frames_total{reason="tcp_window"}`:                  0,
		`sttwall_dropped_packets_total{reason="other_tunnel",where="table"}`: 11,
		`sttwall_dropped_packets_total{reason="queue_full",where="queue"}`:   2,
		`sttwall_rejects_total{result="sent"}`:                               1,
		`sttwall_flows`:                                                      4,
		`sttwall_flows_limit`:                                                float64(fw.shared.Flows().MaxFlows()),
		`sttwall_flows_created_total`:                                        4,
		`sttwall_flows_refused_total{limit="half_open"}`:                     0,
		`sttwall_bindings_limit`:                                             float64(fw.shared.Bindings().Capacity()),
		`sttwall_queue_waiting_packets{queue="0"}`:                           7,
		`sttwall_queue_length_packets{queue="1"}`:                            64,
		`sttwall_queue_overruns_total{queue="1"}`:                            3,
		`sttwall_queue_dropped_packets_total{queue="0",reason="queue_full"}`: 2,
		`sttwall_reassembly_used{what="bytes"}`:                              4096,
		`sttwall_reassembly_limit{what="frames"}`:                            10,
		`sttwall_event_followers`:                                            2,
		`sttwall_events_lost_total`:                                          5,
		`sttwall_event_log_lines_total{target="/var/log/sttwall/eve.json"}`:  70,
		`sttwall_event_log_lost_lines_total{target="syslog:local5"}`:         0,
		`sttwall_event_log_errors_total{target="/var/log/sttwall/eve.json"}`: 2,
		`sttwall_event_log_lost_events_total`:                                3,
		`sttwall_event_log_left_out_events_total{type="drop"}`:               12,
		`sttwall_ready`:              1,
		`sttwall_table_losses_total`: 5, `sttwall_table_restored_total`: 3,
		`sttwall_table_installed`:                                           1,
		`sttwall_fail_open{case="absent"}`:                                  0,
		`sttwall_fail_open{case="overload"}`:                                1,
		`sttwall_fail_open{case="exception"}`:                               0,
		`sttwall_failed_open_frames_total`:                                  0,
		`sttwall_panics_total`:                                              0,
		`sttwall_reloads_total{result="success"}`:                           1,
		`sttwall_reloads_total{result="failure"}`:                           1,
		`sttwall_reload_last_successful`:                                    0,
		`sttwall_reload_last_success_timestamp_seconds`:                     1_700_000_000,
		`sttwall_policy_generation`:                                         1,
		`sttwall_policy_tenants`:                                            2,
		`sttwall_policy_rules`:                                              2,
		`sttwall_temporary_rules{state="in_force"}`:                         4,
		`sttwall_temporary_rules{state="inactive"}`:                         1,
		`sttwall_tenant_frames_total{tenant="acme"}`:                        4,
		`sttwall_tenant_dropped_frames_total{tenant="acme"}`:                1,
		`sttwall_tenant_audited_frames_total{tenant="globex"}`:              1,
		`sttwall_tenant_flows{tenant="acme"}`:                               3,
		`sttwall_tenant_half_open_flows{tenant="acme"}`:                     3,
		`sttwall_rule_frames_total{rule="web",tenant="acme"}`:               3,
		`sttwall_rule_flows_created_total{rule="web",tenant="acme"}`:        3,
		`sttwall_rule_dropped_frames_total{rule="no-telnet",tenant="acme"}`: 1,
		`sttwall_unlisted{kind="tenant"}`:                                   0,
	} {
		if value, there := got[series]; !there || value != want {
			t.Errorf("%s: got %v (there: %t), want %v", series, value, there, want)
		}
	}
	for _, absent := range []string{`sttwall_queue_waiting_packets{queue="1"}`, `sttwall_tenant_frames_total{tenant="` + Others + `"}`} {
		if _, there := got[absent]; there {
			t.Errorf("%s is there: it is not known", absent)
		}
	}
	if n := got.count("sttwall_dropped_frames_total"); n != int(reason.Count)-1 {
		t.Errorf("%d reasons, want all %d", n, reason.Count-1)
	}
	if got["sttwall_bytes_total"] < 6*60 || got.count("go_goroutines") != 1 || got.count("process_resident_memory_bytes") != 1 {
		t.Error("bytes, or what the client library tells of the process, is missing")
	}
}

func TestNamesFollowTheConventions(t *testing.T) {
	m, _ := busy(t)
	problems, err := testutil.GatherAndLint(m.registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// What is documented is scraped, so that no query waits for what never comes.
func TestEveryMetricIsScraped(t *testing.T) {
	m, _ := busy(t)
	got := scrape(t, m)
	for _, one := range All() {
		if got.count(one.Name) == 0 {
			t.Errorf("%s is not scraped", one.Name)
		}
	}
	for series := range got {
		if strings.Contains(series, "sttwall") && !strings.HasPrefix(series, "sttwall_") {
			t.Errorf("%s", series)
		}
	}
}

func TestBeforeItRunsThereIsLittleToTell(t *testing.T) {
	m := newMetrics(t, Config{})
	got := scrape(t, m)
	if got["sttwall_ready"] != 0 || got.count("sttwall_ready") != 1 || got.count("sttwall_build_info") != 1 || got.count("sttwall_packets_total") != 0 ||
		got.count("sttwall_reload_last_successful") != 0 {
		t.Errorf("got %v", got)
	}
}

func TestATableThatIsGoneIsSeen(t *testing.T) {
	m, fw := busy(t)
	s := sourceOf(fw)
	s.Table = func() error { return errors.New("table sttwall: it is gone") }
	m.Watch(s)
	if got := scrape(t, m); got["sttwall_table_installed"] != 0 || got.count("sttwall_table_installed") != 1 || got["sttwall_ready"] != 0 {
		t.Error("it is taken for there")
	}
	s.Table = nil
	m.Watch(s)
	if got := scrape(t, m); got.count("sttwall_table_installed") != 0 || got["sttwall_ready"] != 1 {
		t.Error("somebody else's table is judged")
	}
}

func TestConfigsOutOfBoundsAreRefused(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	used := prometheus.NewRegistry()
	if _, err := New(Config{Registry: used, Log: log}); err != nil {
		t.Fatal(err)
	}
	for want, c := range map[string]Config{
		"-1 tenants: want 1 to 100000":  {Tenants: -1, Log: log},
		"100001 rules: want 1 to 10000": {Rules: MaxListed + 1, Log: log},
		"no log":                        {},
		"duplicate":                     {Registry: used, Log: log},
	} {
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
