"""Who runs this: the operating system's user, the host and the command."""

import os
import pwd
import socket
from dataclasses import dataclass, field


def _os_user() -> str:
    # Not getpass.getuser: it believes LOGNAME and USER, which anyone can set.
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


@dataclass(frozen=True, slots=True)
class Caller:
    """Booked beside what was used and what was done."""

    command: str = "python"
    os_user: str = field(default_factory=_os_user)
    host: str = field(default_factory=socket.gethostname)
