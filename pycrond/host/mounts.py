"""The mount table: which paths lead to a network or FUSE mount, where an access may wait for ever."""

import os
import re
import select
import weakref

MAX_LINKS = 40  # symbolic links that the kernel follows in a path
LOCAL_TYPES = frozenset(
    b"bcachefs btrfs devtmpfs erofs exfat ext2 ext3 ext4 f2fs iso9660 jfs nilfs2 ntfs3 overlay proc ramfs"
    b" rootfs squashfs sysfs tmpfs udf vfat xfs zfs".split()
)
"""Types of file systems that need only the kernel and a local disk."""


class MountTable:
    """The mounts of this process, read again when they have changed."""

    def __init__(self) -> None:
        self._descriptor = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        self.close = weakref.finalize(self, os.close, self._descriptor)
        self._poll = select.poll()
        self._poll.register(self._descriptor, select.POLLPRI)  # the mounts have changed
        self._remote: frozenset[bytes] | None = None  # mount points of file systems that are not local

    def may_block(self, path: bytes) -> bool:
        """Return whether an absolute path leads through a mount that is not local.

        Accesses nothing beyond such a mount. The result is valid as long as no link in the path changes.
        """
        remote, links = self._remote_points(), MAX_LINKS
        if not remote:
            return False
        current, rest = b"", path.split(b"/")[::-1]
        while rest and links:
            name = rest.pop()
            if name in {b"", b"."}:
                continue
            if name == b"..":
                current = os.path.dirname(current).rstrip(b"/")
                continue
            current += b"/" + name
            if current in remote:
                return True
            try:
                target = os.readlink(current)
            except OSError:
                continue  # it is no link, or it does not exist
            links -= 1
            current = b"" if target.startswith(b"/") else os.path.dirname(current).rstrip(b"/")
            rest += target.split(b"/")[::-1]
        return False

    def _remote_points(self) -> frozenset[bytes]:
        if self._remote is None or self._poll.poll(0):
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            types = mounted_types(b"".join(iter(lambda: os.read(self._descriptor, 1 << 16), b"")))
            self._remote = frozenset(point for point, kind in types.items() if kind not in LOCAL_TYPES)
        return self._remote


def mounted_types(table: bytes) -> dict[bytes, bytes]:
    """Return the type of the file system at each mount point, in the format of proc_pid_mountinfo(5)."""
    types = {}
    for line in table.splitlines():
        mount, _, device = line.partition(b" - ")
        point = re.sub(rb"\\([0-7]{3})", lambda octal: bytes([int(octal[1], 8)]), mount.split(b" ")[4])
        types[point] = device.partition(b" ")[0]  # a later mount covers an earlier one
    return types
