package metrics

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
)

const (
	dashboardFile = "../deploy/grafana-dashboard.json"
	rulesFile     = "../deploy/prometheus-rules.yml"
	ruleTestsFile = "../deploy/prometheus-rules_test.yml"
)

// dashboard is what a test looks at of a Grafana dashboard.
type dashboard struct {
	SchemaVersion int     `json:"schemaVersion"`
	Panels        []panel `json:"panels"`
	Templating    struct {
		List []struct {
			Name, Type, Definition string
		} `json:"list"`
	} `json:"templating"`
	Annotations struct {
		List []struct {
			Name, Expr string
		} `json:"list"`
	} `json:"annotations"`
}

type panel struct {
	ID         int
	Type       string
	Title      string
	Datasource struct{ UID string }
	GridPos    struct{ H, W, X, Y int }
	Targets    []struct {
		Expr, RefID string
		Datasource  struct{ UID string }
	}
}

func readDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	text, err := os.ReadFile(dashboardFile)
	if err == nil {
		err = json.Unmarshal(text, &d)
	}
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// filled fills the variables of a dashboard in.
var filled = strings.NewReplacer("$__rate_interval", "5m", "$__range", "1h", "$instance", ".*", "$job", ".*", "$tenant", ".*")

// queries returns all that the dashboard and the alerts ask, by where they ask it.
func queries(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	d := readDashboard(t)
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			all["panel "+p.Title+" "+target.RefID] = filled.Replace(target.Expr)
		}
	}
	for _, a := range d.Annotations.List {
		if a.Expr != "" {
			all["annotation "+a.Name] = filled.Replace(a.Expr)
		}
	}
	for _, v := range d.Templating.List {
		if selector, ok := strings.CutPrefix(v.Definition, "label_values("); ok {
			selector, _, _ = strings.Cut(selector, ", ")
			all["variable "+v.Name] = filled.Replace(selector)
		}
	}
	for name, expr := range alerts(t) {
		all["alert "+name] = expr
	}
	return all
}

// alerts returns the expressions of the alerts by name. It reads YAML as it is
// written in that file; promtool says whether it is YAML.
func alerts(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]string)
	rule := regexp.MustCompile(`(?ms)^      - alert: (\w+)\n        expr: (?:>-\n)?(.*?)\n        (?:for|labels):`)
	for _, m := range rule.FindAllStringSubmatch(string(text), -1) {
		all[m[1]] = strings.Join(strings.Fields(m[2]), " ")
	}
	if n := strings.Count(string(text), "alert: "); n == 0 || n != len(all) {
		t.Fatalf("read %d of %d alerts", len(all), n)
	}
	return all
}

var (
	selector = regexp.MustCompile(`\b((?:sttwall|process|go)_\w+|up)\b(?:\{([^}]*)\})?`)
	matcher  = regexp.MustCompile(`(\w+)(=~|!~|!=|=)"([^"]*)"`)
	grouping = regexp.MustCompile(`\bby \(([^)]*)\)`)
	replaced = regexp.MustCompile(`label_replace\(.*?, "(\w+)"`)
)

// ofScrape are labels that Prometheus adds.
var ofScrape = []string{"job", "instance"}

// matches reports whether a series has what is between the braces of a selector.
func matches(t *testing.T, series *dto.Metric, braces string) bool {
	for _, m := range matcher.FindAllStringSubmatch(braces, -1) {
		label, operator, want := m[1], m[2], m[3]
		if slices.Contains(ofScrape, label) {
			continue
		}
		value := ""
		for _, l := range series.Label {
			if l.GetName() == label {
				value = l.GetValue()
			}
		}
		is := value == want
		if strings.HasSuffix(operator, "~") {
			pattern, err := regexp.Compile("^(?:" + want + ")$")
			if err != nil {
				t.Error(err)
				return false
			}
			is = pattern.MatchString(value)
		}
		if is == strings.HasPrefix(operator, "!") {
			return false
		}
	}
	return true
}

// A query with a slip in a name or label answers with nothing, for ever.
func TestQueriesNameOnlyWhatIsScraped(t *testing.T) {
	m, _ := busy(t)
	m.Reloaded(nil)
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	byName := make(map[string]*dto.MetricFamily)
	for _, f := range families {
		byName[f.GetName()] = f
	}
	asked := make(map[string]bool)
	for where, query := range queries(t) {
		labels := slices.Clone(ofScrape)
		found := selector.FindAllStringSubmatch(query, -1)
		if len(found) == 0 {
			t.Errorf("%s asks for nothing: %s", where, query)
		}
		for _, s := range found {
			name, braces := s[1], s[2]
			asked[name] = true
			if name == "up" {
				continue // of Prometheus itself
			}
			f := byName[name]
			if f == nil {
				t.Errorf("%s: there is no %s", where, name)
				continue
			}
			if !slices.ContainsFunc(f.Metric, func(series *dto.Metric) bool { return matches(t, series, braces) }) {
				t.Errorf("%s: no series of %s has {%s}", where, name, braces)
			}
			for _, l := range f.Metric[0].Label {
				labels = append(labels, l.GetName())
			}
			if f.GetType() == dto.MetricType_GAUGE && regexp.MustCompile(`(rate|increase)\(`+name+`\b`).MatchString(query) {
				t.Errorf("%s: the rate of %s, which is a gauge", where, name)
			}
			if f.GetType() == dto.MetricType_COUNTER && !regexp.MustCompile(`(rate|increase)\(`+name+`\b`).MatchString(query) {
				t.Errorf("%s: the sum since the start of %s", where, name)
			}
		}
		for _, r := range replaced.FindAllStringSubmatch(query, -1) {
			labels = append(labels, r[1])
		}
		for _, g := range grouping.FindAllStringSubmatch(query, -1) {
			for _, label := range strings.Split(g[1], ", ") {
				if !slices.Contains(labels, label) {
					t.Errorf("%s: nothing in it has the label %s", where, label)
				}
			}
		}
	}
	for _, one := range All() {
		if asked[one.Name] == slices.Contains(notShown, one.Name) {
			t.Errorf("dashboard and alerts look at %s: %t", one.Name, asked[one.Name])
		}
	}
}

// notShown are metrics for other eyes: dashboards of one's own, and debugging.
var notShown = []string{
	"sttwall_packets_total", "sttwall_held_fragments_total", "sttwall_queue_verdicts_total", "sttwall_queue_receive_buffer_bytes",
	"sttwall_policy_generation", "sttwall_tenant_frames_total", "sttwall_tenant_flows_created_total",
	"sttwall_rule_bytes_total", "sttwall_rule_flows_created_total", "sttwall_rule_dropped_frames_total", "sttwall_rule_audited_frames_total",
}

func TestTheDashboardIsWellFormed(t *testing.T) {
	d := readDashboard(t)
	if d.SchemaVersion < 38 {
		t.Errorf("schema %d is older than Grafana 10", d.SchemaVersion)
	}
	ids := make(map[int]string)
	type cell struct{ x, y int }
	cells := make(map[cell]string)
	for _, p := range d.Panels {
		if other, twice := ids[p.ID]; twice || p.ID == 0 || p.Title == "" {
			t.Errorf("panels %q and %q have the ID %d", p.Title, other, p.ID)
		}
		ids[p.ID] = p.Title
		if p.GridPos.W < 1 || p.GridPos.X+p.GridPos.W > 24 || p.GridPos.H < 1 {
			t.Errorf("%s: stands at %+v", p.Title, p.GridPos)
		}
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := cell{p.GridPos.X + x, p.GridPos.Y + y}
				if other := cells[at]; other != "" {
					t.Fatalf("%s and %s lie on each other", p.Title, other)
				}
				cells[at] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		refs := make(map[string]bool)
		for _, target := range p.Targets {
			if target.Datasource.UID != "${datasource}" || p.Datasource.UID != "${datasource}" || refs[target.RefID] || target.RefID == "" {
				t.Errorf("%s: target %q is double, or asks a fixed data source", p.Title, target.RefID)
			}
			refs[target.RefID] = true
		}
		if len(refs) == 0 {
			t.Errorf("%s asks nothing", p.Title)
		}
	}
	if first := d.Templating.List[0]; first.Name != "datasource" || first.Type != "datasource" {
		t.Error("the data source cannot be chosen")
	}
}

// promtool runs the checker that comes with Prometheus.
func promtool(t *testing.T, stdin string, args ...string) {
	t.Helper()
	binary, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("promtool is not installed; CI needs it as the judge of metrics and rules")
		}
		t.Skip("promtool is not installed; it judges metrics and rules")
	}
	cmd := exec.Command(binary, args...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestPromtoolFindsNothingAboutTheMetrics(t *testing.T) {
	m, _ := busy(t)
	_, text := ask(m, "GET", "/metrics")
	promtool(t, text, "check", "metrics")
}

func TestPromtoolFindsNothingAboutTheAlerts(t *testing.T) {
	promtool(t, "", "check", "rules", "--lint=all", "--lint-fatal", rulesFile)
	promtool(t, "", "test", "rules", ruleTestsFile)
}

func TestPromtoolParsesEachQueryOfTheDashboard(t *testing.T) {
	var rules strings.Builder
	rules.WriteString("groups:\n- name: dashboard\n  rules:\n")
	n := 0
	for where, query := range queries(t) {
		fmt.Fprintf(&rules, "  - record: query:%d # %s\n    expr: %q\n", n, where, query)
		n++
	}
	file := filepath.Join(t.TempDir(), "queries.yml")
	if err := os.WriteFile(file, []byte(rules.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "", "check", "rules", file)
}

func TestEachAlertIsTestedAndSaysWhatToDo(t *testing.T) {
	tests, err := os.ReadFile(ruleTestsFile)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	for name := range alerts(t) {
		asked := fmt.Sprintf("        expr: ALERTS{alertname=%q, alertstate=\"firing\"}\n        exp_samples:", name)
		if !strings.Contains(string(tests), asked+"\n          - labels: 'ALERTS{alertname=\""+name+"\"") {
			t.Errorf("%s: no test that it fires", name)
		}
		if !strings.Contains(string(tests), asked+" []\n") {
			t.Errorf("%s: no test that it does not fire", name)
		}
		_, block, _ := strings.Cut(string(text), "- alert: "+name+"\n")
		block, _, _ = strings.Cut(block, "- alert: ")
		for _, part := range []string{"severity: ", "summary: \"", "description: >-\n            "} {
			if !strings.Contains(block, part) {
				t.Errorf("%s has no %q", name, part)
			}
		}
	}
}
