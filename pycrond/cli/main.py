"""The entry point of the command line, and the only place where errors are printed."""

import os
import sys
from collections.abc import Sequence

from pycrond.errors import PycrondError


def main(argv: Sequence[str]) -> int:
    """Run one command and return its exit status.

    0: done; 1: the user can act; 2: wrong usage; 3: not running; 70: an error in pycrond.
    """
    from pycrond.cli.parser import parse

    os.umask(os.umask(0o022) | 0o022)  # other users must not write to the files that a command makes
    try:
        command, options = parse(argv)
        return command.run(options)
    except PycrondError as error:
        _print_errors(f"pycrond: {error}", *getattr(error, "__notes__", ()))
        return error.status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of a pipe, such as `head`, has ended: Python's flush of standard output must not fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception:  # noqa: BLE001 -- any other exception is an error in pycrond and is shown as such
        import traceback

        _print_errors(*traceback.format_exc().splitlines())
        _print_errors("pycrond: this is a bug in pycrond; please report it with the lines above")
        return 70


def _print_errors(*lines: str) -> None:
    from pycrond.cli.printing import print_error

    for line in lines:
        print_error(line)


def entry() -> None:
    """Run the installed script."""
    sys.exit(main(sys.argv[1:]))
