"""`python -m pycrond`: the command line."""

from pycrond.cli.main import entry

entry()
