package lab

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// linkOffload is something that a link does for the kernel, as ethtool calls it. The
// values are the commands that switch it (linux/ethtool.h).
type linkOffload uint32

const (
	offloadTX  linkOffload = unix.ETHTOOL_STXCSUM // checksums of what is sent, and with them segmentation
	offloadGRO linkOffload = unix.ETHTOOL_SGRO    // what is received is put together
)

// setOffload switches an offload of a link in the calling thread's namespace on or off.
func setOffload(link string, o linkOffload, on bool) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("link %s: offload: %w", link, err)
	}
	defer unix.Close(fd)
	// struct ethtool_value, behind the ifr_data of a struct ifreq.
	value := struct{ command, data uint32 }{command: uint32(o)}
	if on {
		value.data = 1
	}
	request := struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}{data: unsafe.Pointer(&value)}
	if len(link) >= unix.IFNAMSIZ {
		return fmt.Errorf("link %s: offload: the name is too long", link)
	}
	copy(request.name[:], link)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request))); errno != 0 {
		return fmt.Errorf("link %s: offload: %w", link, errno)
	}
	return nil
}
