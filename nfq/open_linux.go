package nfq

import "fmt"

// Open opens a kernel queue and begins to listen. Packets that reach the queue
// while it is being opened (a table of an earlier run may already send some)
// are dropped. Errors: [ErrNoCapability], [ErrNoKernelQueue], [ErrQueueTaken].
func Open(c Config) (Queue, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c = c.withDefaults()
	var q Queue
	var err error
	switch c.Driver {
	case DriverGoNFQueue:
		q, err = openGoNFQueue(c)
	default:
		q, err = openFast(c)
	}
	if err != nil {
		return nil, fmt.Errorf("queue %d: %w", c.Number, err)
	}
	return q, nil
}
