"""Who runs this: the operating system's user, the host and the command."""

import os
import pwd


def _os_user() -> str:
    # Not getpass.getuser: it believes LOGNAME and USER, which anyone can set.
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


class Caller:
    """Booked beside what was used and what was done."""

    def __init__(self, command: str = "python", os_user: str | None = None, host: str | None = None) -> None:
        self.command = command
        self.os_user = _os_user() if os_user is None else os_user
        self.host = os.uname().nodename if host is None else host
