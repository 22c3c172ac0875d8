"""The lookup program: it asks the name service (nsswitch.conf(5)) about users and groups.

It may wait for answers. Like the spawner, it imports nothing of pycrond. A message contains queries, each
ending with NUL: `user NAME`, `uid NUMBER` or `group NUMBER`. Each answer is a message of its own: the query
and the fields of the answer, each ending with NUL. For an unknown name or number there are no fields.
"""

import contextlib
import grp
import os
import pwd
import signal
import socket

MAX_MEMBERS = 100  # of a group: callers ask only whether it has members other than one or two users
MAX_MESSAGE = 1 << 18  # bytes
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
Fields = list[str]


def answer(query: str) -> Fields:
    """Return the fields of an answer; none for an unknown name or number.

    The fields of a user: name, uid, gid, home and, unless the query has a uid, the day on which the account
    expires (since 1970; empty: never) and the ids of its groups. The fields of a group: name, names of its
    members, and uids of its members (-1: unknown) and of the users whose primary group it is.
    """
    kind, _, word = query.partition(" ")
    # ValueError: bytes that the locale cannot encode; OverflowError: no such uid is possible
    with contextlib.suppress(KeyError, ValueError, OverflowError):
        if kind == "user":
            entry = pwd.getpwnam(word)
            groups = os.getgrouplist(entry.pw_name, entry.pw_gid)
            return [*_fields(entry), _expiry(word), " ".join(map(str, groups))]
        if kind == "uid":
            return _fields(pwd.getpwuid(int(word)))
        return _group(int(word))
    return []


def _fields(entry: pwd.struct_passwd) -> Fields:
    return [entry.pw_name, str(entry.pw_uid), str(entry.pw_gid), entry.pw_dir]


def _expiry(name: str) -> str:
    """Return the day on which an account expires (shadow(5)); empty: never, or this user may not read it."""
    import ctypes  # noqa: PLC0415 -- the command line does not need it

    getspnam = ctypes.CDLL(None).getspnam
    getspnam.restype = ctypes.POINTER(ctypes.c_long * 8)  # struct spwd: two pointers, and six of its numbers
    entry = getspnam(name.encode("utf-8", "surrogateescape"))
    return str(entry[0][7]) if entry and entry[0][7] >= 0 else ""


def _group(gid: int) -> Fields:
    group = grp.getgrgid(gid)
    members = group.gr_mem[:MAX_MEMBERS]
    uids = {str(user.pw_uid) for user in pwd.getpwall() if user.pw_gid == gid}
    for name in members:
        try:
            uids.add(str(pwd.getpwnam(name).pw_uid))
        except KeyError:
            uids.add("-1")
    return [group.gr_name, ",".join(members), " ".join([*uids][: 2 * MAX_MEMBERS])]


def encode(words: Fields) -> bytes:
    """Return words, each ending with NUL."""
    return b"".join(word.encode("utf-8", "surrogateescape") + b"\0" for word in words)


def decode(message: bytes) -> Fields:
    return message.decode("utf-8", "surrogateescape").split("\0")[:-1]


def main() -> None:
    """Answer queries until the daemon closes the socket, which is standard input, or ends."""
    import ctypes  # noqa: PLC0415 -- as above

    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    channel = socket.socket(fileno=0)
    # These signals are meant for the daemon. This program ends when the daemon closes the socket.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT})
    while message := channel.recv(MAX_MESSAGE):
        for query in decode(message):
            channel.send(encode([query, *answer(query)]))


if __name__ == "__main__":
    with contextlib.suppress(OSError):
        main()
