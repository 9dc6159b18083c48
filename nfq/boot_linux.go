package nfq

import (
	"errors"
	"fmt"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// InstallBootTable puts in a table that drops all STT, for the time until a firewall
// runs: [InstallTable] and [StartInline] replace it in one transaction. It sends
// nothing to a queue, so that Queues, FirstQueue and FailOpenAbsent count for
// nothing. A table that is there already stays, and installed is false. Errors:
// [ErrNoCapability], [ErrNoKernelTables].
func InstallBootTable(c TableConfig) (installed bool, err error) {
	c.Queues, c.FirstQueue, c.FailOpenAbsent = 1, 0, false
	if err := c.Validate(); err != nil {
		return false, err
	}
	if err := tryTable(c.NetNS, nftables.TableFamilyINet, nil); err != nil {
		return false, fmt.Errorf("table %s: %w", TableName, refusal(err, ErrNoKernelTables))
	}
	switch handle, err := TableHandle(c.NetNS); {
	case err != nil:
		return false, err
	case handle != 0:
		return false, nil
	}
	bridge, err := c.bridging()
	if err != nil {
		bridge.undo()
		return false, fmt.Errorf("table %s: install: %w", TableName, err)
	}
	conn, err := connect(c.NetNS)
	if err == nil {
		err = c.addAll(conn, conn.CreateTable(ourTable()), targetDrop, TableCounters{}, nil)
	}
	if err == nil && bridge.settings != nil {
		conn.DelTable(conn.AddTable(bridgeTable())) // it has the memory by now
		err = c.addBridge(conn, bridge.before, TableCounters{})
	}
	if err != nil {
		bridge.undo()
		return false, fmt.Errorf("table %s: install: %w", TableName, err)
	}
	defer bridge.settings.close()
	switch err := conn.Flush(); {
	case errors.Is(err, unix.EEXIST):
		return false, nil // it came meanwhile
	case err != nil:
		bridge.undo()
		return false, fmt.Errorf("table %s: install: %w", TableName, explainFlush(err))
	}
	return true, nil
}
