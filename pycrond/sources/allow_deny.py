"""The files cron.allow and cron.deny: which users may have a crontab."""

import os


def refusal(root: str, dialect: str, name: str, uid: int) -> str | None:
    """Return the path of the file that forbids a user to have a crontab; None if the user may have one.

    If /etc/cron.allow exists, only its users may have a crontab; else, if /etc/cron.deny exists, all
    users but those in it. Without both files, every user may under Debian's rules, only root under
    cronie's. Root always may (crontab(1) of both). A file that cannot be read forbids it.
    """
    if uid == 0:
        return None
    for file, allows in (("etc/cron.allow", True), ("etc/cron.deny", False)):
        path = os.path.join(root, file)
        try:
            with open(path, "rb") as lines:
                is_listed = os.fsencode(name) in [line.strip() for line in lines]
        except FileNotFoundError:
            continue
        except OSError:
            return path
        return path if is_listed is not allows else None
    return None if dialect == "debian" else os.path.join(root, "etc/cron.allow")
