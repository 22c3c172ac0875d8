"""Failed deliveries, and the exit statuses by which the courier reports them."""

import os


class DeliveryError(Exception):
    """A failed delivery. The text is the whole reason."""

    status: int


class TemporaryDeliveryError(DeliveryError):
    """A delivery that may succeed later."""

    status = os.EX_TEMPFAIL


class PermanentDeliveryError(DeliveryError):
    """A delivery that fails at every attempt."""

    status = os.EX_UNAVAILABLE


class MailerConfigError(DeliveryError):
    """A delivery that fails until the settings or the machine are changed."""

    status = os.EX_CONFIG
