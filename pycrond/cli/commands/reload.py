"""reload: have the daemon read the crontabs again."""

import argparse

from pycrond.cli.data.access import reload_and_wait
from pycrond.cli.load_report import print_load_report
from pycrond.cli.settings_layers import load_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="only show what would change, as diff does")


def run(options: argparse.Namespace) -> int:
    """Reload and report; 1 if a file has errors."""
    settings = load_settings(options)
    if options.dry_run:
        from pycrond.cli.reload_preview import print_reload_preview

        return print_reload_preview(settings)
    answer = reload_and_wait(settings)
    print_load_report(settings, "pycrond reloaded", files=answer["files"])
    return 1 if answer["errors"] else 0
