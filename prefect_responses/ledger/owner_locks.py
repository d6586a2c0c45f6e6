"""Locks on files beside a SQLite ledger: the kernel drops them when their process dies."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class OwnerLock:
    """A lock that this process holds until it lets go or dies.

    Args:
        folder: the folder of locks beside the ledger.
        owner_id: whose lock it is.
    """

    def __init__(self, folder: Path, owner_id: str) -> None:
        self._path = _path(folder, owner_id)
        self._file: int | None = lock_file(folder, owner_id, os.O_CREAT | os.O_EXCL)
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def release(self) -> None:
        """Let go and remove the file."""
        self._path.unlink(missing_ok=True)
        self.forget()

    def forget(self) -> None:
        """Close the file only: in the child of a fork the lock stays the parent's."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def is_locked(folder: Path, owner_id: str) -> bool:
    """Tell whether a process holds the lock of an owner; remove the file of a dead one."""
    path = _path(folder, owner_id)
    try:
        file = lock_file(folder, owner_id)
    except FileNotFoundError:
        return False
    try:
        # Shared: two that look at once must not take each other for the owner.
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        path.unlink(missing_ok=True)
        return False
    finally:
        os.close(file)


def lock_file(folder: Path, name: str, flags: int = 0) -> int:
    """Open the lock file of *name* and return its descriptor; no child process inherits it."""
    folder.mkdir(parents=True, exist_ok=True)
    return os.open(_path(folder, name), flags | os.O_RDWR | os.O_CLOEXEC, 0o600)


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.lock"
