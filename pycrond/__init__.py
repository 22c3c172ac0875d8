"""pycrond: a cron daemon that can prove what ran and what did not."""

__version__ = "0.1.0"
