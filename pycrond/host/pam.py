"""The choice of the PAM service under which jobs run; `pam_session` opens the sessions."""

import os

from pycrond.settings import Settings

DIRECTORY = "/etc/pam.d"
SERVICES = ("pycrond", "cron", "crond")
"""The services of which the first that exists is used: one of the administrator's, those of the crons."""


def service(settings: Settings) -> str:
    """Return the service that the settings name or find; empty: jobs run without PAM.

    Only root's daemon can open sessions. With `auto` it does as the cron of this system; below another root
    directory there is none.
    """
    if settings.pam == "none" or os.geteuid() != 0:
        return ""
    if settings.pam != "auto":
        return settings.pam
    is_systems_cron = settings.system and settings.root == "/"
    names = SERVICES if is_systems_cron else ()
    return next((name for name in names if os.path.exists(os.path.join(DIRECTORY, name))), "")
