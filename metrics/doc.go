// Package metrics owns what a running firewall tells Prometheus, and whether it is
// alive and ready.
//
//	Source (counters of the firewall,  ──▶ collector ──▶ registry ──▶ /metrics
//	queues, table, reloads)            ──▶ progress of the queues ──▶ /healthz
//	what run says: starts, runs, ends  ─────────────────────────────▶ /readyz
//
// Everything is read when somebody asks: nothing here is on a packet's way, and
// between two scrapes nothing happens. The metrics are a table (table.go) from
// which docs/metrics.md is generated.
//
// Labels are bounded: tenants and rules beyond a number of them are summed under
// [Others], and which have series of their own changes only when one of those
// leaves the rules file. The server is bounded in connections, requests at once,
// header bytes and time.
//
// What is not here: counting (packages firewall, conntrack, nfq); dashboards and
// alerts, which are in deploy/ and tested here against the names.
//
// A [Metrics] may be used from many goroutines.
package metrics
