package conntrack

// Refuse has the table ask f about each flow that is to begin, and do as if it were full
// where that reports true: so that it can be seen what becomes of such flows. nil asks
// nobody. It is called before the first packet.
func (t *Table) Refuse(f func() bool) { t.refuse = f }
