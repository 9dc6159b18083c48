package inspect

import "sttwall/reason"

// DecodeGenerally is Decode without the lane for plain frames.
func (f *Frame) DecodeGenerally(data []byte, length int, tunnelTCI uint16, tagged Tagged) reason.Reason {
	var outer uint64
	if tagged {
		outer = oneTag | uint64(tunnelTCI)
	}
	return f.decode(data, length, outer)
}
