package vitals

import (
	"sttwall/control"
	"sttwall/nfq"
	"sttwall/reason"
)

// Drops returns what was dropped before the firewall could see it: by the
// nftables table, and by the kernel's queues. What cannot be read is left out.
func Drops(inline *nfq.Inline) (list []control.Drop) {
	if table := inline.Table(); table != nil {
		if counted, err := table.Counters(); err == nil {
			list = tableDrops(&counted)
		}
	}
	return append(list, queueDrops(inline.QueueStats())...)
}

func tableDrops(c *nfq.TableCounters) []control.Drop {
	return []control.Drop{tableDrop(reason.OuterFragment, c.OuterFragment), tableDrop(reason.EndpointUnknown, c.EndpointUnknown), {
		Reason: "other_tunnel", Count: c.OtherTunnel, Where: "table",
		Meaning: "another tunnel between two endpoints, which would lead around the firewall, or STT that SRv6 has put into a VRF of this host",
		Remedy:  "write settings.other_tunnels = \"pass\" if those tunnels are yours; have SRv6 end on another host",
	}, {
		Reason: "endpoint_interface", Count: c.EndpointInterface, Where: "table",
		Meaning: "STT from a listed endpoint, on another interface than its own",
		Remedy:  "correct the interface in settings.endpoints if the endpoint has moved; else someone forges its address",
	}, {
		Reason: "endpoint_rate", Count: c.EndpointRate, Where: "table",
		Meaning: "an endpoint sent more packets than settings.endpoint_rate allows each",
		Remedy:  "raise settings.endpoint_rate if that endpoint needs more; else look at what it sends",
	}, {
		Reason: "encapsulated", Count: c.Encapsulated, Where: "table",
		Meaning: "a bridged frame in which STT could pass unseen: two VLAN tags, PPPoE, MPLS, or another of docs/table.md",
		Remedy:  "write settings.other_tunnels = \"pass\" if those frames are yours, and see that no STT is in them",
	}, {
		Reason: "not_stt", Count: c.NotSTT, Where: "table",
		Meaning: "a packet between two endpoints that is no STT",
		Remedy:  "take out settings.only_stt if others than tunnels talk there",
	}, {
		Reason: "gso_too_small", Count: c.GSOTooSmall, Where: "table",
		Meaning: "a super-segment whose pieces have less than 512 bytes of payload, which receivers on Windows can misread",
		Remedy:  "real endpoints fill the MTU; look at who sent it. See docs/receivers.md",
	}}
}

func tableDrop(why reason.Reason, n uint64) control.Drop {
	return control.Drop{Reason: why.String(), Count: n, Where: "table", Meaning: why.Meaning(), Remedy: why.Remedy()}
}

func queueDrops(queues []nfq.Stats) []control.Drop {
	var full, buffer, overruns uint64
	for _, q := range queues {
		full += uint64(q.Kernel.DroppedFull)
		buffer += uint64(q.Kernel.DroppedBuffer)
		overruns += q.Overruns
	}
	return []control.Drop{{
		Reason: "queue_full", Count: full, Where: "queue",
		Meaning: "the kernel's queue was full", Remedy: "more --queues, or a larger --queue-length",
	}, {
		Reason: "receive_buffer_full", Count: max(overruns, buffer), Where: "queue",
		Meaning: "the receive buffer of the queue's socket was full, so many times at least", Remedy: "more --queues, or a larger --receive-buffer",
	}}
}
