"""The choice of the PAM service under which jobs run; `pam_session` opens the sessions."""

import os

from pycrond.settings import Settings

DIRECTORY = "/etc/pam.d"
SERVICES = ("pycrond", "cron", "crond")
"""The first of these services that exists is used: the administrator's own, else that of another cron."""


def service(settings: Settings) -> str:
    """Return the PAM service of jobs, by the settings; empty: jobs run without PAM.

    Only root's daemon can open sessions. With `auto`, the daemon of the system uses a service like the
    system's cron; other daemons, and a daemon with another root directory, use none.
    """
    if settings.pam == "none" or os.geteuid() != 0:
        return ""
    if settings.pam != "auto":
        return settings.pam
    is_systems_cron = settings.system and settings.root == "/"
    names = SERVICES if is_systems_cron else ()
    return next((name for name in names if os.path.exists(os.path.join(DIRECTORY, name))), "")
