"""File systems that only the process that mounts them sees (Linux; mount(2), namespaces(7))."""

import ctypes
import os
from pathlib import Path

CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18


def keep_to_oneself() -> None:
    """Let what this process mounts from now on be seen by it and its children alone.

    It must have one thread. Raises `OSError` where neither it nor a user namespace may mount.
    """
    user, group = os.geteuid(), os.getegid()
    try:
        _call("unshare", CLONE_NEWNS | CLONE_NEWUSER)
    except OSError:
        _call("unshare", CLONE_NEWNS)
    else:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    _mount("none", Path("/"), "", MS_REC | MS_PRIVATE)


def mount_memory(folder: Path, size: int) -> None:
    """Put a file system of *size* bytes at *folder*."""
    _mount("tmpfs", folder, "tmpfs", 0, f"size={size}")


def make_read_only(folder: Path) -> None:
    """Let nobody write in *folder*, until it is unmounted."""
    _mount(str(folder), folder, "", MS_BIND)
    _mount("none", folder, "", MS_BIND | MS_REMOUNT | MS_RDONLY)


def unmount(folder: Path) -> None:
    """Take away what was mounted last at *folder*."""
    _call("umount2", os.fsencode(folder), 0)


def _mount(source: str, folder: Path, kind: str, flags: int, options: str = "") -> None:
    _call("mount", source.encode(), os.fsencode(folder), kind.encode(), ctypes.c_ulong(flags), options.encode())


def _call(name: str, *arguments: object) -> None:
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)
