"""Write-back: the kernel writes what it has in memory of a file to the disk, by default after some 30 s."""

import ctypes

SYNC_FILE_RANGE_WRITE = 2  # <fcntl.h>

_libc = ctypes.CDLL(None)


def begin_write_back(descriptor: int) -> None:
    """Have the kernel begin now, without waiting for the disk (sync_file_range(2)).

    An error shows at a later write. The file's size follows with the next commit of the file system: on ext4
    within 5 s.
    """
    _libc.sync_file_range(descriptor, ctypes.c_int64(0), ctypes.c_int64(0), SYNC_FILE_RANGE_WRITE)
