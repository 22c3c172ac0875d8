"""The files that options of a job name: the format of systemd's EnvironmentFile=, and refused files."""

import os
from pathlib import Path

import pytest

from pycrond.host import user_files
from pycrond.host.user_files import assignments, read_variables


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"A=1\nB = two words  \n", {b"A": b"1", b"B": b"two words"}),
        (b"# c \\\nA=1\n ; d=2\n\n\tB=2", {b"A": b"1", b"B": b"2"}),
        (b"A=1\r\nB=2\r\n", {b"A": b"1", b"B": b"2"}),
        (b"A=a\\\n  b\\c\\\\", {b"A": b"a  bc\\"}),
        (b"A=\\\nB=2\n", {b"A": b"B=2"}),
        (b"A= x\\ \n", {b"A": b"x "}),
        (b"A=\"x\\\ny \\$z\\n 'q' # \"\n", {b"A": b"xy $z\\n 'q' # "}),
        (b"A='a\nb\\' \"c\" d\nB=1", {b"A": b"a\nb\\cd", b"B": b"1"}),
        (b"A=a'b' # c", {b"A": b"a'b' # c"}),
        (b'A="open\nB=1', {b"A": b"open\nB=1"}),
        (b"A='open\\", {b"A": b"open\\"}),
        (b"A=\nno\nB=1\0C=2", {b"A": b"", b"B": b"1"}),
        (b"A=1\nA=2", {b"A": b"2"}),
        (b"", {}),
        (b"\\\n#", {}),
    ],
)
def test_assignments(text: bytes, expected: dict[bytes, bytes]) -> None:
    assert dict(assignments(text)) == expected


def test_a_file_with_variables(tmp_path: Path) -> None:
    file = tmp_path / "env"
    names = [b"A", b"export B", b"1C", b"D-E", b"LOGNAME", b"USER", b"PYCROND_RUN", b"USERS", b"_", b"\xff"]
    file.write_bytes(b"".join(b"%b=x\n" % name for name in names))
    assert [*read_variables(os.fsencode(file))] == [b"A", b"USERS", b"_"]
    assert read_variables(b"-" + os.fsencode(tmp_path / "none")) == {}
    file.write_bytes(b"A=" + bytes(user_files.MAX_VARIABLES_SIZE))
    os.mkfifo(tmp_path / "fifo")
    for path in ("none", "env", "fifo", ".", "/dev/zero", "-fifo"):
        mark = "-" * path.startswith("-")
        with pytest.raises(OSError, match="Errno"):
            read_variables(os.fsencode(mark + str(tmp_path / path.removeprefix("-"))))
