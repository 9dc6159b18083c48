package main

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// kept are what package managers keep for themselves, and the backups that useradd makes:
// no package can leave those as they were. Folders end in "/".
var kept = []string{
	"/proc/", "/sys/", "/run/manager.", "/run/systemd/", "/usr/bin/systemctl", "/packages/",
	"/var/lib/dpkg/", "/var/log/dpkg.log", "/var/lib/apt/", "/var/log/apt/", "/var/lib/rpm/", "/.rpmdb/", "/usr/lib/sysimage/rpm", "/var/cache/", "/run/dpkg", "/run/rpm",
	"/etc/passwd-", "/etc/group-", "/etc/shadow-", "/etc/gshadow-", "/etc/subuid-", "/etc/subgid-", "/etc/.pwd.lock",
	"/var/lib/systemd/deb-systemd-helper", "/tmp/",
}

// treeOf returns all that is in a root, with mode, owner and content.
func treeOf(root string) (map[string]string, error) {
	tree := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path, root)
		for _, k := range kept {
			if strings.HasPrefix(name+"/", k) || strings.HasPrefix(name, k) {
				if d.IsDir() {
					return filepath.SkipDir
				}
				return nil
			}
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		stat := info.Sys().(*syscall.Stat_t)
		is := fmt.Sprintf("%v %d:%d", info.Mode(), stat.Uid, stat.Gid)
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			to, err := os.Readlink(path)
			if err != nil {
				return err
			}
			is += " > " + to
		case info.Mode().IsRegular():
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			is += fmt.Sprintf(" %x", sha256.Sum256(text))
		}
		tree[name] = is
		return nil
	})
	return tree, err
}

// differences lists what is in one tree and not in the other, or not as it is there.
func differences(before, after map[string]string) (list []string) {
	for name, is := range after {
		if was, there := before[name]; !there {
			list = append(list, "new: "+name)
		} else if was != is {
			list = append(list, fmt.Sprintf("changed: %s (%s, was %s)", name, is, was))
		}
	}
	for name := range before {
		if _, there := after[name]; !there {
			list = append(list, "gone: "+name)
		}
	}
	slices.Sort(list)
	return list
}

// withoutEmpty takes the folders under /usr out of a tree that are new and have nothing in
// them: rpm leaves those that belong to no package here, and to others where rpm is at home.
func withoutEmpty(before, after map[string]string) {
	for name, is := range after {
		if _, there := before[name]; there || is[0] != 'd' || !strings.HasPrefix(name, "/usr/") {
			continue
		}
		empty := true
		for other, is := range after {
			empty = empty && (is[0] == 'd' || !strings.HasPrefix(other, name+"/"))
		}
		if empty {
			delete(after, name)
		}
	}
}
