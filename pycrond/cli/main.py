"""The command line: what can be said, and the one place where errors are printed."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from pycrond.errors import PycrondError

Command = Callable[[argparse.Namespace], int]


def main(argv: Sequence[str]) -> int:
    """Run one command; its exit status: 0 done, 1 the user can act, 2 usage, 3 not running, 70 our bug."""
    from pycrond.cli.parser import build_parser

    try:
        wanted = build_parser().parse_args(argv)
        command: Command = wanted.call
        return command(wanted)
    except PycrondError as error:
        print(f"pycrond: {error}", file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of a pipe has gone, as `head` does: nothing to say, and nobody to say it to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception:  # noqa: BLE001 -- the last edge: what gets here is our bug, and is shown as one
        import traceback

        traceback.print_exc()
        print("pycrond: this is a bug in pycrond; please report it with the lines above", file=sys.stderr)
        return 70


def entry() -> None:
    """The installed script."""
    sys.exit(main(sys.argv[1:]))
