"""Which file systems a ledger can live on."""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path

from prefect_responses.errors import LedgerNotDurable

_MOUNTS = Path("/proc/self/mountinfo")

#: File systems of other machines: SQLite's write-ahead log needs memory that all processes share.
_NETWORK = re.compile(r"nfs\d?|cifs|smb\w*|9p|afs|ceph|lustre|fuse\.(sshfs|glusterfs|s3fs|gcsfuse)")

#: File systems that end with their container or machine, or may do so.
_PASSING = re.compile(r"overlay|tmpfs|ramfs|aufs|fuse.*")


class LedgerNotDurableWarning(UserWarning):
    """The ledger's file may not survive its machine or container."""


def file_system_of(path: Path) -> str | None:
    """Return the kind of file system that *path* is or would be on; None where it is not known."""
    try:
        mountinfo = _MOUNTS.read_text()
    except OSError:
        return None
    return kind_of_mount(mountinfo, os.path.realpath(path))


def kind_of_mount(mountinfo: str, path: str) -> str | None:
    """Find in the text of a mountinfo file the kind of the innermost mount that holds *path*."""
    kind, length = None, -1
    for line in mountinfo.splitlines():
        mounted, _, source = line.partition(" - ")
        point = _unescaped(mounted.split()[4])
        # The last of several mounts on one point hides the others.
        if _holds(point, path) and len(point) >= length:
            kind, length = source.split()[0], len(point)
    return kind


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), text)


def _holds(point: str, path: str) -> bool:
    return path == point or path.startswith(f"{point.rstrip('/')}/")


def is_durable(kind: str | None) -> bool:
    """Tell whether a file on this kind of file system outlives its process's machine or pod."""
    return kind is None or not (_NETWORK.fullmatch(kind) or _PASSING.fullmatch(kind))


def check_default_location(path: Path, *, deployed: bool) -> None:
    """Refuse a default ledger that would die with its pod, or warn a script about it.

    Raises:
        LedgerNotDurable: the run is one of a deployment.
    """
    kind = file_system_of(path)
    if is_durable(kind):
        return
    sentence = (
        f"The ledger {path} is on {kind}, which may not survive this machine or container. "
        "Set a ledger URL on a persistent volume or a PostgreSQL server."
    )
    if deployed:
        raise LedgerNotDurable(sentence)
    warnings.warn(sentence, LedgerNotDurableWarning, stacklevel=2)


def check_locks(path: Path) -> None:
    """Refuse a file system on which SQLite's write-ahead log and locks do not hold.

    Raises:
        LedgerNotDurable: the file would be on a network file system.
    """
    kind = file_system_of(path)
    if kind is not None and _NETWORK.fullmatch(kind):
        raise LedgerNotDurable(
            f"The ledger {path} is on {kind}, where SQLite's locks do not hold. "
            "Put it on a local disk, or use a PostgreSQL server."
        )
