"""Write-back: by default, the kernel writes a file's pages to the disk after about 30 s."""

import ctypes

SYNC_FILE_RANGE_WRITE = 2  # <fcntl.h>

_libc = ctypes.CDLL(None)


def begin_write_back(descriptor: int) -> None:
    """Have the kernel begin to write now, without waiting for the disk (sync_file_range(2)).

    A later write reports an error. The file's size is written with the next commit of the file system: on
    ext4 within 5 s.
    """
    _libc.sync_file_range(descriptor, ctypes.c_int64(0), ctypes.c_int64(0), SYNC_FILE_RANGE_WRITE)
