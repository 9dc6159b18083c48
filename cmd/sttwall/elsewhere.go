package main

import (
	"sttwall/control"
	"sttwall/nfq"
	"sttwall/reason"
)

// elsewhere returns what was dropped before the firewall could see it: by the
// nftables table, and by the kernel's queues. What cannot be read is left out.
func elsewhere(inline *nfq.Inline) []control.Drop {
	var (
		list                []control.Drop
		full, buffer, times uint64
	)
	if table := inline.Table(); table != nil {
		if c, err := table.Counters(); err == nil {
			list = append(list, tableDrop(reason.OuterFragment, c.OuterFragment), tableDrop(reason.EndpointUnknown, c.EndpointUnknown), control.Drop{
				Reason: "other_tunnel", Count: c.OtherTunnel, Where: "table",
				Meaning: "VXLAN, Geneve, GRE or IP in IP between two endpoints, which would lead around the firewall",
				Remedy:  "run with --other-tunnels=pass if those tunnels are yours",
			})
		}
	}
	for _, q := range inline.QueueStats() {
		full += uint64(q.Kernel.DroppedFull)
		buffer += uint64(q.Kernel.DroppedBuffer)
		times += q.Overruns
	}
	return append(list, control.Drop{
		Reason: "queue_full", Count: full, Where: "queue",
		Meaning: "the kernel's queue was full", Remedy: "more --queues, or a larger --queue-length",
	}, control.Drop{
		Reason: "receive_buffer_full", Count: max(times, buffer), Where: "queue",
		Meaning: "the receive buffer of the queue's socket was full; at least so many packets", Remedy: "more --queues, or a larger --receive-buffer",
	})
}

func tableDrop(why reason.Reason, n uint64) control.Drop {
	return control.Drop{Reason: why.String(), Count: n, Where: "table", Meaning: why.Meaning(), Remedy: why.Remedy()}
}
