"""Folders that no build replaces, whoever asks: the system's, and the homes of its users."""

from __future__ import annotations

import os
import pwd
import tempfile
from pathlib import Path

_TREES = ("bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "run", "sbin", "sys", "usr", "var")
"""Nothing in these is a user's."""

_PLACES = ("/", "/home", "/media", "/mnt", "/opt", "/root", "/srv", "/tmp")
"""What lies in these may be."""

_OPEN = ("/dev/shm", "/run/user", "/var/tmp")
"""Parts of the trees in which anybody may have folders."""


def is_system_folder(folder: Path) -> bool:
    """Whether an existing folder, its path resolved, is the system's or holds the home of a user."""
    if str(folder) in _PLACES or any(home.is_relative_to(folder) for home in _homes()):
        return True
    opened = [Path(place) for place in (*_OPEN, os.path.realpath(tempfile.gettempdir()), os.path.realpath(Path.home()))]
    if any(folder != place and folder.is_relative_to(place) for place in opened if place != Path("/")):
        return False
    return len(folder.parts) > 1 and folder.parts[1] in _TREES


def _homes() -> list[Path]:
    return [Path(os.path.realpath(entry.pw_dir)) for entry in pwd.getpwall() if entry.pw_dir]
