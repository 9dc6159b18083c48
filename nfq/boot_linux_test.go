package nfq

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTheBootTableDropsSTTUntilAFirewallRuns(t *testing.T) {
	for name, c := range map[string]TableConfig{
		"any endpoint":            {Ports: []uint16{testPort}},
		"listed":                  {Ports: []uint16{testPort}, Endpoints: prefixes("10.99.0.0/24", "fd00:99::/64")},
		"fails open when it runs": {Ports: []uint16{testPort}, Queues: 4, FailOpenAbsent: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWire(t)
			if installed, err := InstallBootTable(c); err != nil || !installed {
				t.Fatalf("got %v, %v", installed, err)
			}
			w.send(t, outer{id: 1}.bytes(), outer{src: far6, dst: near6, id: 2}.bytes(), outer{id: 3, dport: testPort + 1}.bytes())
			if diff := cmp.Diff(w.delivered(t), []uint32{3}); diff != "" {
				t.Errorf("delivered (-got +want):\n%s", diff)
			}
			got := collect(t, w, 40)
			c.FirstQueue, c.Queues = 40, 1
			table, err := InstallTable(c)
			must(t, err)
			w.send(t, outer{id: 1}.bytes())
			if diff := cmp.Diff(got(), []uint32{1}); diff != "" {
				t.Errorf("queued by the table of a firewall (-got +want):\n%s", diff)
			}
			// A second time there is a table, which may be that of a running firewall.
			if installed, err := InstallBootTable(c); err != nil || installed {
				t.Errorf("over a table: got %v, %v", installed, err)
			}
			if _, err := table.check(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestABootTableIsRefusedAsATableIs(t *testing.T) {
	if _, err := InstallBootTable(TableConfig{}); err == nil {
		t.Error("got no error without a port")
	}
}
