"""Keep opened keys out of core files and away from other processes of the user's."""

import ctypes
import logging
import resource
import sys

_PR_SET_DUMPABLE = 4  # prctl(2)
# Keys of the vault pass through them: what the library's user logs at DEBUG must not name one.
_LOGGERS = ("keyring", "secretstorage", "jeepney")


def harden() -> None:
    """No core file, and on Linux no reading of this process's memory by others, from now on."""
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, most))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
