"""Why the courier could not deliver something, and what its exit status says of it."""

import os


class UndeliveredError(Exception):
    """Its text is the whole reason."""

    status = os.EX_SOFTWARE


class LaterError(UndeliveredError):
    """Another time it may go."""

    status = os.EX_TEMPFAIL


class NeverError(UndeliveredError):
    """It will not go, however often it is tried."""

    status = os.EX_UNAVAILABLE


class NoMailerError(UndeliveredError):
    """Not before someone has changed the settings or the machine."""

    status = os.EX_CONFIG
