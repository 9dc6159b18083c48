package doctor

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What is asked of an interface's driver (linux/ethtool.h).
const (
	ethtoolGetGRO   = unix.ETHTOOL_GGRO
	ethtoolGetFlags = unix.ETHTOOL_GFLAGS
	flagLRO         = 1 << 15 // ETH_FLAG_LRO
)

// ethtool asks for a number. An interface whose driver knows nothing of it answers 0.
func ethtool(link string, command uint32) (uint32, error) {
	if len(link) >= unix.IFNAMSIZ {
		return 0, fmt.Errorf("interface %s: the name is too long", link)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("interface %s: %w", link, err)
	}
	defer unix.Close(fd)
	value := struct{ command, data uint32 }{command: command} // struct ethtool_value
	request := struct {                                       // struct ifreq
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}{data: unsafe.Pointer(&value)}
	copy(request.name[:], link)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request)))
	switch {
	case errors.Is(errno, unix.EOPNOTSUPP):
		return 0, nil
	case errno != 0:
		return 0, fmt.Errorf("interface %s: ask its offloads: %w", link, errno)
	}
	return value.data, nil
}
