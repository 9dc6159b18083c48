package nfq

// Progress returns the numbers of the queues whose workers have not come around since the
// last call: those hang. It asks them all anew, which wakes those that wait, and does not
// wait itself. Call it some seconds apart; the first call finds none.
func (in *Inline) Progress() (hang []int) {
	for i, w := range in.workers {
		if w.asked.Swap(true) {
			hang = append(hang, int(in.config.Queue.Number)+i)
		}
		in.queues[i].Wake()
	}
	return hang
}
