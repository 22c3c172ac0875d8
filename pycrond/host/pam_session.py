"""A PAM session around a job, opened and closed by two processes of root's.

The spawner loads this file where a PAM service is set; it imports nothing of pycrond either. The process
that is to become the job asks for its account and opens the session, so that limits, umask, keyring and login
user are its own. A copy of that process, which holds PAM's handle, waits until the job has ended and closes
the session, also if daemon and spawner are gone. See pam(3) and pam_open_session(3).
"""

import contextlib
import ctypes
import os
import select
import signal
import sys
import syslog
from collections.abc import Callable, Iterable

LIBRARY = "libpam.so.0"
PAM_SUCCESS, PAM_BUF_ERR, PAM_CONV_ERR = 0, 5, 19  # <security/_pam_types.h>
PAM_TTY = 3
PAM_ESTABLISH_CRED, PAM_DELETE_CRED, PAM_SILENT = 0x0002, 0x0004, 0x8000
PAM_PROMPT_ECHO_OFF, PAM_PROMPT_ECHO_ON = 1, 2
TTY = b"cron"  # as in Debian's cron and cronie: modules such as pam_access know it


class _Message(ctypes.Structure):
    _fields_ = (("style", ctypes.c_int), ("text", ctypes.c_char_p))


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
    def what(self) -> bytes:
        return str(self).encode()


class Pam:
    """The PAM service under which jobs run. Loads libpam; without it `open_for_process` fails."""

    def __init__(self, service: bytes) -> None:
        self._service = service
        self._error = ""
        try:
            self._library = ctypes.CDLL(LIBRARY)
        except OSError as error:
            self._error = f"PAM cannot be used: {error}"
            return
        self._library.pam_strerror.restype = ctypes.c_char_p
        self._library.pam_getenvlist.restype = ctypes.POINTER(ctypes.c_char_p)
        self._calloc = ctypes.CDLL(None).calloc
        self._calloc.restype = ctypes.c_void_p
        self._calloc.argtypes = (ctypes.c_size_t, ctypes.c_size_t)
        self._conversation = _PamConv(_Conversation(self._converse), None)
        self._handle = ctypes.c_void_p()
        syslog.openlog("pycrond", syslog.LOG_PID, syslog.LOG_CRON)  # for what the modules log

    def _converse(self, count: int, messages: object, answers: object, _data: object) -> int:
        """Take messages, and refuse questions: nobody is there to answer."""
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

        `clone` makes a process that is no child of this one, for a job may wait for all its children. That
        process keeps none of the `descriptors`: the ends of pipes and sockets are noticed. Raises PamError or
        OSError.
        """
        variables = self._open(user)
        process = os.pidfd_open(os.getpid())
        if clone() == 0:
            for descriptor in descriptors:
                os.close(descriptor)
            os.setsid()
            self._close_after(process)
        os.close(process)
        return variables

    def _open(self, user: bytes) -> dict[bytes, bytes]:
        """Ask whether a user's jobs may run, and open a session; return PAM's variables."""
        if self._error:
            raise PamError(self._error)
        handle, library = ctypes.byref(self._handle), self._library
        code = library.pam_start(self._service, user, ctypes.byref(self._conversation), handle)
        if code != PAM_SUCCESS:
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

    def _close_after(self, process: int) -> None:
        """Close the session when the process with this pidfd has ended. Does not return."""
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        waiting = select.poll()
        waiting.register(process, select.POLLIN)
        while not waiting.poll():
            pass
        with contextlib.suppress(Exception):
            self._library.pam_close_session(self._handle, PAM_SILENT)
            self._library.pam_setcred(self._handle, PAM_DELETE_CRED | PAM_SILENT)
            self._library.pam_end(self._handle, PAM_SUCCESS)
        os._exit(0)
