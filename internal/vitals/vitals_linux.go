package vitals

import (
	"errors"

	"sttwall/control"
	"sttwall/nfq"
)

// Of returns how the queues and their workers do.
func Of(inline *nfq.Inline) control.Vitals {
	c := inline.Config()
	v := control.Vitals{
		Queues: Queues(inline), Reassembly: Held(inline), ReceiveBuffer: c.Queue.ReceiveBuffer, Silent: !inline.Answers(),
		OpenAbsent: c.FailOpenAbsent, OpenOverload: c.Queue.FailOpenOverload, OpenException: c.FailOpenException,
	}
	if missing := inline.GuardMissing(); missing != nil {
		v.GuardMissing = missing.Error()
	}
	if c.Simulate != nil {
		v.Simulated = c.Simulate.Faults
	}
	if table := inline.Table(); table != nil {
		_, err := table.Counters()
		v.TableGone = errors.Is(err, nfq.ErrTableGone) || inline.TableHealth().Lost != nil
	}
	return v
}

// Queues returns how the queues do, in the order of their numbers.
func Queues(inline *nfq.Inline) (list []control.QueueHealth) {
	c := inline.Config().Queue
	length := c.Length
	if length == 0 {
		length = nfq.DefaultLength
	}
	for i, q := range inline.QueueStats() {
		list = append(list, queue(int(c.Number)+i, length, &q))
	}
	return list
}

func queue(number, length int, q *nfq.Stats) control.QueueHealth {
	h := control.QueueHealth{
		Number: number, Waiting: -1, Length: length, Packets: q.Packets, Verdicts: q.Verdicts,
		Overruns: q.Overruns, Late: q.Late, Refused: q.PayloadRefused + q.VerdictsLost + q.Unreadable, Errors: q.OtherErrors,
		SystemCalls: q.Syscalls, ReceiveBuffer: q.ReceiveBuffer,
	}
	if q.KernelKnown {
		h.Waiting = int(q.Kernel.Waiting)
		h.DroppedBuffer, h.DroppedFull = uint64(q.Kernel.DroppedBuffer), uint64(q.Kernel.DroppedFull)
	}
	return h
}

// Held returns what the workers hold, and what they can.
func Held(inline *nfq.Inline) control.ReassemblyHealth {
	now, most := inline.Held()
	return control.ReassemblyHealth{
		Frames: control.Gauge{Now: now.Frames, Bound: most.Frames}, Packets: control.Gauge{Now: now.Packets, Bound: most.Packets},
		Memory: control.Gauge{Now: now.Bytes, Bound: most.Memory}, Tombstones: control.Gauge{Now: now.Tombstones, Bound: most.Tombstones},
		Fragments: now.Fragments, FragmentPackets: control.Gauge{Now: now.FragmentPackets, Bound: most.FragmentPackets},
	}
}
