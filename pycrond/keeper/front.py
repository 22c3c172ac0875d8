"""The process in front of a keeper in the foreground: it passes signals on, and ends with the daemon.

    python -I -S keeper/front.py KEEPER SOCKET

KEEPER is the pid of its child. A service manager waits for the end of the process that it has started. The
keeper, however, has to live on while jobs run that the stop has left: it is their parent, and only a parent
learns how a process ended. The keeper sends the daemon's exit status to SOCKET, and stops the daemon when
this process has died.
"""

import os
import signal
import socket
import sys

SIGNALS = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGUSR2)
KEEPER_KILLED = 1
"""The exit status where the keeper was killed: a service manager starts what has failed again."""


def main(argv: list[str]) -> int:
    keeper, channel = int(argv[1]), socket.socket(fileno=int(argv[2]))
    for number in SIGNALS:
        signal.signal(number, lambda number, _: os.kill(keeper, number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {*SIGNALS, signal.SIGCHLD})
    return int(channel.recv(16) or KEEPER_KILLED)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
