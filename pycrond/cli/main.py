"""The entry point of the command line, and the only place where errors are printed."""

import os
import sys
from collections.abc import Callable, Sequence

from pycrond.cli.standard_streams import OutputError, discard_output, open_standard_streams
from pycrond.errors import PycrondError


def main(argv: Sequence[str]) -> int:
    """Run one command and return its exit status.

    0: done; 1: the user can act; 2: wrong usage; 3: not running; 70: an error in pycrond; 141: nobody reads
    the output.
    """
    os.umask(os.umask(0o022) | 0o022)  # other users must not write to the files that a command makes
    status = _status_of(lambda: _run(argv))
    return _status_of(_flush) or status


def _run(argv: Sequence[str]) -> int:
    from pycrond.cli.parser import parse

    command, options = parse(argv)
    return command.run(options)


def _flush() -> int:
    sys.stdout.flush()
    return 0


def _status_of(act: Callable[[], int]) -> int:
    """Return the exit status of an act, and print the error that it raises."""
    try:
        return act()
    except SystemExit as error:  # after --help, or a wrong use
        return int(error.code or 0)
    except (PycrondError, OutputError) as error:
        if isinstance(error, OutputError):
            discard_output()
        _print_errors(f"pycrond: {error}", *getattr(error, "__notes__", ()))
        return error.status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has gone
        discard_output()
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
    open_standard_streams()
    sys.exit(main(sys.argv[1:]))
