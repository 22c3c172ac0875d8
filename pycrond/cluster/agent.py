"""The agent, `python -m pycrond.cluster.agent`: carries out the daemon's requests in PostgreSQL.

A separate program, so that a server or a network that does not answer delays nothing else. It ends when the
daemon closes the socket, or has ended.
"""

import argparse
import os
import select
import signal

try:
    import psycopg
except ImportError as error:
    raise SystemExit(
        f"`cluster` is set, but psycopg 3 cannot be loaded ({str(error).splitlines()[0]}): "
        "pip install 'pycrond[cluster]', or as Debian's package python3-psycopg"
    ) from None

from pycrond import __version__
from pycrond.cluster.agent_loop import AgentLoop
from pycrond.cluster.agent_socket import AgentSocket
from pycrond.cluster.database_hosts import Hosts, refusal
from pycrond.cluster.node_identity import Identity
from pycrond.cluster.protocol import Status
from pycrond.cluster.registration import Timeline, read_timeline


def read_conninfo(descriptor: int) -> str:
    """Read a connection string, which is neither an argument nor in the environment; close the descriptor."""
    if os.fstat(descriptor).st_size:
        os.lseek(descriptor, 0, os.SEEK_SET)  # a file in memory
    with open(descriptor, encoding="utf-8") as file:
        return file.read().strip()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m pycrond.cluster.agent")
    parser.add_argument("--socket", type=int, required=True, help="descriptor of the socket to the daemon")
    parser.add_argument(
        "--conninfo-fd", type=int, required=True, help="descriptor with the connection string"
    )
    parser.add_argument("--node", required=True)
    parser.add_argument("--ledger", required=True, help="UUID of the node's history")
    parser.add_argument("--labels", default="", help="the node's, separated by commas")
    parser.add_argument("--spool", default="", help="directory of runs' output")
    parser.add_argument("--timeline", type=read_timeline, default=Timeline(), help="of the last registration")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the daemon stops first, and closes the socket last
    daemon = AgentSocket(options.socket)
    labels = tuple(filter(None, options.labels.split(",")))
    identity = Identity(options.node, options.ledger, os.uname().nodename, labels, __version__)
    conninfo = read_conninfo(options.conninfo_fd)
    try:
        hosts = Hosts(conninfo, options.node)
    except psycopg.ProgrammingError:
        refuse(daemon, Status("down", refusal(conninfo)))
        return
    AgentLoop(daemon, hosts, identity, options.spool, options.timeline).run()


def refuse(daemon: AgentSocket, reason: Status) -> None:
    """Send the reason, and again at each ping, until the daemon closes the socket."""
    with daemon:
        messages: object = True
        while messages is not None:
            daemon.send(reason)
            select.select([daemon], [], [])
            messages = daemon.receive()


if __name__ == "__main__":
    main()
