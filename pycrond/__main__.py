"""`python -m pycrond`: the command line."""

from pycrond.cli import entry

entry()
