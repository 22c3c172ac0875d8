"""`make fuzz`: atheris on `crontab.parse`. Options are libFuzzer's; a folder named is the corpus, kept.

An input fails that makes the parser raise, leaves a line unaccounted for, or takes more than its time.
"""

import os
import sys
import tempfile

import atheris  # an extra, with wheels for few Pythons

with atheris.instrument_imports(include=["pycrond"]):
    from tests.fuzz.account import cpu, examine
from tests.fuzz.seeds import SEEDS, dictionary

SECONDS_FOR_ANY = 0.1
SECONDS_A_BYTE = 50e-6
"""Instrumented code is about ten times as slow; quadratic time is a hundred times and more at a few KiB."""


def one_input(data: bytes) -> None:
    examine(data)
    if len(data) >= 512:
        spent, allowed = cpu(data), SECONDS_FOR_ANY + SECONDS_A_BYTE * len(data)
        assert spent < allowed, f"{spent:.3f} s of CPU for {len(data)} bytes"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        words = os.path.join(folder, "words")
        with open(words, "w", encoding="ascii") as file:
            file.write(dictionary())
        seeds = os.path.join(folder, "seeds")
        os.mkdir(seeds)
        for number, text in enumerate(SEEDS):
            with open(os.path.join(seeds, str(number)), "wb") as file:
                file.write(text.encode())
        corpus = [word for word in sys.argv[1:] if not word.startswith("-")]
        options = [word for word in sys.argv[1:] if word.startswith("-")]
        given = ["-max_len=8192", "-timeout=20", f"-dict={words}", *options]
        atheris.Setup([sys.argv[0], *given, *corpus, seeds], one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
