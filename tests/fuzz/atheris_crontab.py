"""`make fuzz`: feed the parser of crontabs random input by atheris.

Options are those of libFuzzer; a directory as argument keeps the corpus. An input fails if the parser raises, if the
rules of `account` do not hold for it, or if it takes too much CPU time.
"""

import os
import sys
import tempfile

import atheris  # not in the extra `dev`: it has wheels for few versions of Python

with atheris.instrument_imports(include=["pycrond"]):
    from tests.fuzz.account import cpu, examine
from tests.fuzz.seeds import SEEDS, dictionary

BASE_CPU_TIME, CPU_TIME_A_BYTE = 0.1, 50e-6  # seconds
"""Ten times the normal ones, for instrumented code; quadratic time exceeds them a hundredfold at a few KiB."""


def one_input(data: bytes) -> None:
    examine(data)
    if len(data) >= 512:
        spent, allowed = cpu(data), BASE_CPU_TIME + CPU_TIME_A_BYTE * len(data)
        assert spent < allowed, f"{spent:.3f} s of CPU for {len(data)} bytes"


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        words = os.path.join(directory, "words")
        with open(words, "w", encoding="ascii") as file:
            file.write(dictionary())
        seeds = os.path.join(directory, "seeds")
        os.mkdir(seeds)
        for number, text in enumerate(SEEDS):
            with open(os.path.join(seeds, str(number)), "wb") as file:
                file.write(text.encode())
        corpus = [word for word in sys.argv[1:] if not word.startswith("-")]
        options = [word for word in sys.argv[1:] if word.startswith("-")]
        arguments = ["-max_len=8192", "-timeout=20", f"-dict={words}", *options]
        atheris.Setup([sys.argv[0], *arguments, *corpus, seeds], one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
