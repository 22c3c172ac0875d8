"""diff: show the changes that a reload would make."""

import argparse
import os
from dataclasses import replace

from pycrond.cli.arguments import add_json
from pycrond.cli.documents.times import DiffDocument
from pycrond.cli.reload_preview import print_reload_preview
from pycrond.cli.settings_layers import load_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    about = "as if the crontabs were those in this directory"
    parser.add_argument("directory", nargs="?", metavar="DIR", help=about)
    add_json(parser, DiffDocument)


def run(options: argparse.Namespace) -> int:
    """Print the changes; 1 if a file has errors."""
    settings = load_settings(options)
    if options.directory:
        settings = replace(settings, crontabs=(os.path.abspath(options.directory),))
    return print_reload_preview(settings, as_json=options.json)
