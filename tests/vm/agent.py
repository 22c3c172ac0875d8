"""The program in the machine that runs the commands of `machine.Machine`: a line of JSON in, a line of JSON out."""

import json
import subprocess
import tempfile
import time

PORT = "/dev/virtio-ports/agent"


def run(request: dict[str, object]) -> dict[str, object]:
    """Run a command by bash. Its output goes to a file: a process in the background does not hold the answer up."""
    timeout = float(str(request["timeout"]))
    with tempfile.TemporaryFile() as output:
        try:
            done = subprocess.run(
                ["/bin/bash", "-c", str(request["command"])],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False, timeout=timeout,
            )  # fmt: skip
            status = done.returncode
        except subprocess.TimeoutExpired:
            status = -1
        output.seek(0)
        text = output.read().decode(errors="replace")
    return {"id": request["id"], "status": status, "output": text[-60000:]}


def main() -> None:
    with open(PORT, "r+b", buffering=0) as port:
        buffer = b""
        while True:
            data = port.read(65536)
            if not data:  # nobody is connected
                time.sleep(0.2)
                continue
            buffer += data
            *lines, buffer = buffer.split(b"\n")
            for line in filter(None, lines):
                try:
                    answer = run(json.loads(line))
                except ValueError:  # the rest of a line for an agent that was ended by a power cut
                    continue
                port.write(json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    main()
