"""The process in front of a keeper in the foreground: it passes signals on, and ends with the daemon.

    python -I -S keeper/foreground.py KEEPER SOCKET COMMAND...

KEEPER is the pid of its child. A service manager waits for the end of the process that it has started. The
keeper, however, has to live on while jobs run that a stop has left running: it is their parent, and only a
parent learns how a process ended. The keeper sends the daemon's exit status to SOCKET, and stops the daemon
when this process has died.

If the keeper is killed, the daemon becomes a child of this process, which is a subreaper, too. This process
stops the daemon, so that the jobs become its own children, and executes COMMAND: then it is the keeper.
"""

import os
import signal
import socket
import sys

sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
from pycrond.keeper.system_calls import children, contents

SIGNALS = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGUSR2)
DAEMON = b"\0pycrond.daemon\0"  # in the arguments


def stop_daemon(keeper: int) -> None:
    """Stop the daemon of a dead keeper, and wait until it has ended; the next keeper reaps both."""
    # The kernel closes the keeper's socket before the keeper's children become children of this process.
    os.waitid(os.P_PID, keeper, os.WEXITED | os.WNOWAIT)
    for pid in children():
        if DAEMON in contents(f"/proc/{pid}/cmdline"):
            os.kill(pid, signal.SIGTERM)
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def main(argv: list[str]) -> int:
    keeper, channel, command = int(argv[1]), socket.socket(fileno=int(argv[2])), argv[3:]
    for number in SIGNALS:
        signal.signal(number, lambda number, _: os.kill(keeper, number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)  # SIGCHLD stays pending, for the next keeper
    if status := channel.recv(16):
        return int(status)
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    stop_daemon(keeper)
    return os.execv(command[0], command)  # noqa: S606 -- the keeper


if __name__ == "__main__":
    sys.exit(main(sys.argv))
