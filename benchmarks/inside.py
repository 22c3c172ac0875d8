"""The first process of a cell: makes its mounts, starts the daemon, and reaps orphans.

unshare(1) starts it in namespaces of its own, with one argument in JSON: `mounts` (arguments of mount(8)),
`devices`, `log`, `shared`, `began` and `argv`.
"""

import json
import os
import stat
import subprocess
import sys
import time

NODES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}


def main(text: str) -> None:
    cell = json.loads(text)
    _make_devices(cell["devices"], cell["log"], cell["shared"])
    for arguments in cell["mounts"]:
        subprocess.run(["mount", *arguments], check=True)
    os.chdir("/")
    argv = cell["argv"]
    with open(cell["began"], "w", encoding="ascii") as file:
        file.write(str(time.time_ns()))
    os.posix_spawn(argv[0], argv, os.environ, setsid=True)
    while True:
        try:
            os.wait()
        except ChildProcessError:
            time.sleep(1)


def _make_devices(directory: str, log: str, shared: str) -> None:
    """Make a /dev with a few devices and a log of its own."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "none", directory], check=True)
    for name, (major, minor) in NODES.items():
        path = os.path.join(directory, name)
        os.mknod(path, stat.S_IFCHR, os.makedev(major, minor))
        os.chmod(path, 0o666)
    os.symlink("/proc/self/fd", os.path.join(directory, "fd"))
    os.symlink(log, os.path.join(directory, "log"))
    os.mkdir(os.path.join(directory, "shm"))
    if os.path.isdir(shared):
        subprocess.run(["mount", "--bind", shared, os.path.join(directory, "shm")], check=True)


if __name__ == "__main__":
    main(sys.argv[1])
