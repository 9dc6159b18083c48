package nfq

import (
	"encoding/binary"

	"sttwall/firewall"
)

// oneByOne sends each message of a datagram of verdicts in one of its own, for want of
// memory in the kernel. A payload that it has no memory for even so is lost, and its
// packet dropped: a batch verdict behind it would let it leave as it came. What takes no
// more than a header and finds no memory is an error, after which nothing is sent.
func oneByOne(datagram []byte, queue uint16, send func(message []byte) error) (lost uint64, err error) {
	for rest := datagram; len(rest) > 0; {
		n := min((int(binary.NativeEndian.Uint32(rest))+3)&^3, len(rest))
		err := send(rest[:n])
		if n > verdictLen(nil) && outOfMemory(err) {
			lost++
			id := binary.BigEndian.Uint32(rest[headerLen+attrHeaderLen+4:]) // of struct nfqnl_msg_verdict_hdr
			err = send(appendVerdict(nil, queue, id, firewall.Drop, nil))
		}
		if err != nil {
			return lost, err
		}
		rest = rest[n:]
	}
	return lost, nil
}
