"""A machine under qemu without hardware acceleration: boot, commands by its agent, power cut, suspend."""

import json
import os
import signal
import socket
import subprocess
import time
from datetime import datetime
from pathlib import Path

from tests.vm.image import Image, run

BOOT_TIMEOUT = 600.0  # seconds; the first boot takes a minute on an idle machine
COMMAND_TIMEOUT = 180.0  # seconds
MEMORY = 1536  # MiB


class CommandFailedError(AssertionError):
    """A command in the machine that ended with another exit status than 0."""


class Machine:
    """A machine with a disk that is a layer over an image."""

    def __init__(self, image: Image) -> None:
        self.image = image
        self.overlay = image.directory / "overlay.qcow2"
        self.console = image.directory / "console.log"
        self._socket = str(image.directory / "agent.sock")
        self._process: subprocess.Popen[bytes] | None = None
        self._agent: socket.socket | None = None
        self._next_id = 0
        self.overlay.unlink(missing_ok=True)
        run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", image.disk, self.overlay)

    def boot(self, clock: datetime | None = None) -> float:
        """Switch it on, with this time in its clock, and return the seconds until its agent answers."""
        began = time.monotonic()
        rtc = f"base={clock:%Y-%m-%dT%H:%M:%S}" if clock else "base=utc"
        command = [
            *("nice", "-n", "19", "qemu-system-x86_64", "-M", "q35", "-accel", "tcg", "-cpu", "max"),
            *("-m", str(MEMORY), "-smp", "1", "-display", "none", "-nodefaults", "-nic", "none", "-rtc", rtc),
            *("-kernel", str(self.image.kernel), "-initrd", str(self.image.initrd)),
            *("-append", "root=/dev/vda rw console=ttyS0 quiet"),
            *("-drive", f"file={self.overlay},if=virtio,format=qcow2"),
            *("-serial", f"file:{self.console}", "-device", "virtio-serial"),
            *("-chardev", f"socket,path={self._socket},server=on,wait=off,id=agent"),
            *("-device", "virtserialport,chardev=agent,name=agent"),
        ]
        self._process = subprocess.Popen(command)
        self._connect()
        return time.monotonic() - began

    def _connect(self) -> None:
        """Wait until the agent answers: before, it does not read its port."""
        deadline = time.monotonic() + BOOT_TIMEOUT
        while time.monotonic() < deadline:
            self._agent = socket.socket(socket.AF_UNIX)
            try:
                self._agent.connect(self._socket)
                self.run("true", timeout=5.0)
            except (OSError, CommandFailedError):
                self._agent.close()
                time.sleep(1.0)
            else:
                return
        raise AssertionError(f"the machine has not booted within {BOOT_TIMEOUT:.0f} s, see {self.console}")

    def run(self, command: str, *, status: int | None = 0, timeout: float = COMMAND_TIMEOUT) -> str:
        """Run a command by bash as root, and return its output; `status` None accepts any exit status."""
        assert self._agent
        self._next_id += 1
        request = {"id": self._next_id, "command": command, "timeout": timeout}
        self._agent.settimeout(timeout + 30.0)
        self._agent.sendall(json.dumps(request).encode() + b"\n")
        answer: dict[str, object] = {"id": 0}
        while answer["id"] != self._next_id:  # an earlier request may have been given up
            answer = json.loads(self._read_line())
        output = str(answer["output"])
        if status not in {None, answer["status"]}:
            raise CommandFailedError(f"{command}: {answer['status']}\n{output}")
        return output.strip()

    def _read_line(self) -> bytes:
        assert self._agent
        line = b""
        while not line.endswith(b"\n"):
            data = self._agent.recv(65536)
            if not data:
                raise ConnectionResetError
            line += data
        return line

    def until(self, command: str, timeout: float = 120.0) -> str:
        """Wait until a command succeeds, and return its output."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                return self.run(command)
            except CommandFailedError as error:
                if time.monotonic() > deadline:
                    raise AssertionError(f"not within {timeout:.0f} s: {error}") from error
                time.sleep(1.0)

    def write(self, path: str, text: str, mode: str = "644") -> None:
        """Write a file in the machine."""
        self.run(f"cat > {path} <<'END_OF_FILE'\n{text}END_OF_FILE\nchmod {mode} {path}")

    def power_off(self) -> None:
        """Shut it down in order."""
        self.run("systemctl --no-block poweroff", status=None)
        self._ended(300.0)

    def cut_power(self) -> None:
        """Switch it off in the middle of what it does."""
        assert self._process
        self._process.kill()
        self._ended(30.0)

    def suspend(self, seconds: float) -> None:
        """Let it stand still, as in a suspend; its clock shows the time of before until it is set."""
        assert self._process
        os.kill(self._process.pid, signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(self._process.pid, signal.SIGCONT)

    def _ended(self, timeout: float) -> None:
        assert self._process
        self._process.wait(timeout)
        self._process = None
        Path(self._socket).unlink(missing_ok=True)

    def close(self) -> None:
        """End it, in whatever state it is."""
        if self._process:
            self.cut_power()
