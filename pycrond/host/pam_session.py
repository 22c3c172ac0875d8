"""A PAM session around a job, opened and closed by two processes of root.

The spawner loads this file if a PAM service is set; the file imports nothing of pycrond either. The process
that becomes the job checks the account and opens the session, so that limits, umask, keyring and login user
are the job's own. A copy of that process, which has PAM's handle, waits until the job has ended and closes
the session, even if daemon and spawner have ended. See pam(3) and pam_open_session(3).

The spawner reads the service's file and loads the modules in advance, because that takes a third of the time
of a session; it calls none of their functions. A module that starts a thread when it is loaded would not work
in a copy of the spawner: then each process loads the modules itself.
"""

import contextlib
import ctypes
import glob
import os
import select
import sys
import syslog
from collections.abc import Callable, Iterable

LIBRARY = "libpam.so.0"
PAM_SUCCESS, PAM_BUF_ERR, PAM_CONV_ERR = 0, 5, 19  # <security/_pam_types.h>
PAM_USER, PAM_TTY = 2, 3
PAM_ESTABLISH_CRED, PAM_DELETE_CRED, PAM_SILENT = 0x0002, 0x0004, 0x8000
PAM_PROMPT_ECHO_OFF, PAM_PROMPT_ECHO_ON = 1, 2
FUNCTIONS = (
    *("pam_set_item", "pam_acct_mgmt", "pam_setcred", "pam_open_session", "pam_close_session"),
    *("pam_getenvlist", "pam_end"),
)
CONFIGURATION = ("/etc/pam.d", "/usr/lib/pam.d")
MODULES = ("/lib/security", "/lib64/security", *glob.glob("/usr/lib/*/security"))
NAME_SERVICES = "/etc/nsswitch.conf"
DATABASES = {"passwd", "group", "shadow", "initgroups"}
ALL_SIGNALS, SIG_BLOCK = b"\xff" * 128, 0  # sigset_t; <bits/sigaction.h>
TTY = b"cron"  # as in Debian's cron and cronie: modules such as pam_access know it


class _Message(ctypes.Structure):
    _fields_ = (("style", ctypes.c_int), ("text", ctypes.c_char_p))


libc = ctypes.CDLL(None)
_Messages = ctypes.POINTER(ctypes.POINTER(_Message))
_Answers = ctypes.POINTER(ctypes.c_void_p)
_Conversation = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, _Messages, _Answers, ctypes.c_void_p)
ANSWER_SIZE = ctypes.sizeof(ctypes.c_void_p) * 2  # of struct pam_response


class _PamConv(ctypes.Structure):
    _fields_ = (("conv", _Conversation), ("data", ctypes.c_void_p))


class PamError(Exception):
    """PAM refuses a job, or does not work; the text says why."""

    errno = 0  # no error of the kernel: see `step` of the spawner

    @property
    def failure(self) -> bytes:
        return str(self).encode()


class Pam:
    """The PAM service under which jobs run. Loads libpam; if it is missing, `open_for_process` fails."""

    def __init__(self, service: bytes, *_unprepared: str) -> None:
        """With a second argument, each process loads the modules itself."""
        self._service = service
        self._is_prepared = not _unprepared
        self._handles = ctypes.c_void_p(), ctypes.c_void_p()
        """The handle of the next session, and a handle that keeps the modules loaded when the first is
        closed.
        """
        self._stamp: list[tuple[str, int, int]] = []
        self._error = ""
        try:
            self._library = ctypes.CDLL(LIBRARY)
        except OSError as error:
            self._error = f"PAM cannot be used: {error}"
            return
        self._library.pam_strerror.restype = ctypes.c_char_p
        self._library.pam_getenvlist.restype = ctypes.POINTER(ctypes.c_char_p)
        self._calloc = libc.calloc
        self._calloc.restype = ctypes.c_void_p
        self._calloc.argtypes = (ctypes.c_size_t, ctypes.c_size_t)
        self._conversation = _PamConv(_Conversation(self._converse), None)
        self._handle = self._handles[0]
        for name in FUNCTIONS:  # looked up here, so that no process needs memory of its own for that
            getattr(self._library, name)
        syslog.openlog("pycrond", syslog.LOG_PID, syslog.LOG_CRON)  # for messages of the modules
        if self._is_prepared:
            load_name_services()
            if not self.prepare():
                words = [sys.executable, "-I", "-S", *sys.argv, "unprepared"]
                os.execv(sys.executable, words)  # noqa: S606 -- the spawner

    def prepare(self) -> bool:
        """Load the modules for a session, again if they have changed. Return False if that started a thread:
        then this process must not be copied.
        """
        if self._error or not self._is_prepared or (stamp := _stamp()) == self._stamp:
            return True
        self._stamp = stamp
        for handle in self._handles:
            if handle.value:
                self._library.pam_end(handle, PAM_SUCCESS)
                handle.value = None
        for handle in self._handles:
            self._start(handle, None)
        return len(os.listdir("/proc/self/task")) == 1

    def _start(self, handle: ctypes.c_void_p, user: bytes | None) -> bool:
        conversation = ctypes.byref(self._conversation)
        code: int = self._library.pam_start(self._service, user, conversation, ctypes.byref(handle))
        return code == PAM_SUCCESS

    def _converse(self, count: int, messages: object, answers: object, _data: object) -> int:
        """Accept messages of the modules, and refuse questions: nobody can answer them."""
        styles = [messages[number].contents.style for number in range(count)]  # type: ignore[index]
        if {PAM_PROMPT_ECHO_OFF, PAM_PROMPT_ECHO_ON} & {*styles}:
            return PAM_CONV_ERR
        memory = self._calloc(max(1, count), ANSWER_SIZE)
        if not memory:
            return PAM_BUF_ERR
        answers[0] = memory  # type: ignore[index]
        return PAM_SUCCESS

    def open_for_process(
        self, user: bytes, clone: Callable[[], int], descriptors: Iterable[int]
    ) -> dict[bytes, bytes]:
        """Open a session for this process, and start the process that closes it; return PAM's variables.

        `clone` makes a process that is not a child of this one, because a job may wait for all its children.
        That process closes `descriptors`, so that other processes notice the end of pipes and sockets. Raises
        PamError or OSError.
        """
        variables = self._open(user)
        process, job_end = os.pidfd_open(os.getpid()), select.poll()
        job_end.register(process, select.POLLIN)
        libc.pthread_sigmask(SIG_BLOCK, ALL_SIGNALS, None)  # the job's own mask is set when it is executed
        if clone() == 0:
            for descriptor in descriptors:
                os.close(descriptor)
            os.setsid()
            self._close_after(job_end)
        os.close(process)
        return variables

    def _open(self, user: bytes) -> dict[bytes, bytes]:
        """Check that a user's jobs may run, and open a session; return PAM's variables."""
        if self._error:
            raise PamError(self._error)
        library = self._library
        if self._handle.value:
            library.pam_set_item(self._handle, PAM_USER, user)
        elif not self._start(self._handle, user):
            raise PamError(f"PAM does not start for the service {os.fsdecode(self._service)}")
        library.pam_set_item(self._handle, PAM_TTY, TTY)
        self._call("pam_acct_mgmt", PAM_SILENT)
        self._call("pam_setcred", PAM_ESTABLISH_CRED | PAM_SILENT)
        self._call("pam_open_session", PAM_SILENT)
        variables: dict[bytes, bytes] = {}
        listed = library.pam_getenvlist(self._handle)
        for number in range(sys.maxsize):
            if not listed or listed[number] is None:
                break
            name, _, value = listed[number].partition(b"=")
            variables[name] = value
        return variables

    def _call(self, function: str, flags: int) -> None:
        code = getattr(self._library, function)(self._handle, flags)
        if code != PAM_SUCCESS:
            reason = self._library.pam_strerror(self._handle, code).decode("utf-8", "replace")
            self._library.pam_end(self._handle, code)
            raise PamError(f"PAM refuses: {reason} ({function})")

    def _close_after(self, job_end: select.poll) -> None:
        """Wait until the job has ended, and close the session. Does not return."""
        while not job_end.poll():
            pass
        with contextlib.suppress(Exception):
            self._library.pam_close_session(self._handle, PAM_SILENT)
            self._library.pam_setcred(self._handle, PAM_DELETE_CRED | PAM_SILENT)
            self._library.pam_end(self._handle, PAM_SUCCESS)
        os._exit(0)


def load_name_services() -> None:
    """Load the libraries of the name service for users and groups. That sends no query."""
    words: set[str] = set()
    with contextlib.suppress(OSError), open(NAME_SERVICES, encoding="utf-8", errors="replace") as file:
        for line in file:
            database, _, services = line.partition(":")
            words.update(services.split() if database.strip() in DATABASES else ())
    for word in filter(str.isalnum, words):
        with contextlib.suppress(OSError):
            ctypes.CDLL(f"libnss_{word}.so.2")


def _stamp() -> list[tuple[str, int, int]]:
    """Return values that change when the configuration or a module is replaced."""
    paths = [*MODULES]
    for directory in CONFIGURATION:
        with contextlib.suppress(OSError):
            paths += [f"{directory}/{name}" for name in sorted(os.listdir(directory))]
    stamps = []
    for path in paths:
        with contextlib.suppress(OSError):
            status = os.stat(path)
            stamps.append((path, status.st_ino, status.st_mtime_ns))
    return stamps
