from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from prefect_responses.errors import LedgerNotDurable
from prefect_responses.ledger import LedgerNotDurableWarning, check_default_location, durability
from prefect_responses.ledger.durability import (
    check_locks,
    file_system_of,
    is_durable,
    kind_of_mount,
)

POD = """\
600 500 0:50 / / rw,relatime master:1 - overlay overlay rw,lowerdir=/a:/b,upperdir=/c
601 600 0:51 / /dev rw,nosuid - tmpfs tmpfs rw,size=65536k
602 600 8:1 /data /var/lib/ledger rw,relatime shared:7 master:1 - ext4 /dev/sda1 rw
603 602 0:60 / /var/lib/ledger/shared rw - nfs4 server:/export rw,vers=4.2
604 600 0:61 / /mnt/with\\040space rw - xfs /dev/sdb rw
605 600 8:2 / /twice rw - tmpfs tmpfs rw
606 605 8:3 / /twice rw - ext4 /dev/sdc rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/user/.prefect/ledger.db", "overlay"),
        ("/dev/ledger.db", "tmpfs"),
        ("/var/lib/ledger/ledger.db", "ext4"),
        ("/var/lib/ledger", "ext4"),
        ("/var/lib/ledger2/ledger.db", "overlay"),
        ("/var/lib/ledger/shared/ledger.db", "nfs4"),
        ("/mnt/with space/ledger.db", "xfs"),
        ("/twice/ledger.db", "ext4"),
        ("/", "overlay"),
    ],
)
def test_the_innermost_mount_tells_the_kind(path, kind):
    assert kind_of_mount(POD, path) == kind


def test_no_mount_no_kind():
    assert kind_of_mount("", "/ledger.db") is None


@pytest.fixture
def mounts(tmp_path, monkeypatch):
    """Pretend that everything is on one kind of file system."""

    def pretend(kind: str) -> None:
        file = tmp_path / "mountinfo"
        file.write_text(f"1 0 0:1 / / rw - {kind} source rw\n")
        monkeypatch.setattr(durability, "_MOUNTS", file)

    return pretend


def test_where_the_system_does_not_tell_nothing_is_known(tmp_path, monkeypatch):
    monkeypatch.setattr(durability, "_MOUNTS", tmp_path / "no such file")

    assert file_system_of(tmp_path) is None


def test_a_link_is_followed(tmp_path, monkeypatch):
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"1 0 0:1 / / rw - ext4 a rw\n2 1 0:2 / {tmp_path}/there rw - tmpfs b rw\n")
    monkeypatch.setattr(durability, "_MOUNTS", mounts)
    (tmp_path / "here").symlink_to(tmp_path / "there")

    assert file_system_of(tmp_path / "here" / "ledger.db") == "tmpfs"


@pytest.mark.parametrize(
    ("kind", "durable"),
    [
        (None, True),
        ("ext4", True),
        ("xfs", True),
        ("btrfs", True),
        ("zfs", True),
        ("overlay", False),
        ("tmpfs", False),
        ("ramfs", False),
        ("nfs", False),
        ("nfs4", False),
        ("cifs", False),
        ("smb3", False),
        ("smbfs", False),
        ("9p", False),
        ("fuse", False),
        ("fuse.sshfs", False),
        ("fuseblk", False),
    ],
)
def test_what_is_durable(kind, durable):
    assert is_durable(kind) is durable


def test_a_default_on_a_disk_is_fine(mounts):
    mounts("ext4")

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_default_location(Path("/home/user/ledger.db"), deployed=True)
        check_default_location(Path("/home/user/ledger.db"), deployed=False)


def test_a_default_that_dies_with_its_pod_is_refused_for_a_deployment(mounts):
    mounts("overlay")

    with pytest.raises(LedgerNotDurable, match=r"/home/user/ledger\.db is on overlay"):
        check_default_location(Path("/home/user/ledger.db"), deployed=True)


def test_and_a_script_is_warned(mounts):
    mounts("tmpfs")

    with pytest.warns(LedgerNotDurableWarning, match="is on tmpfs"):
        check_default_location(Path("/home/user/ledger.db"), deployed=False)


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "lustre"])
def test_locks_do_not_hold_on_a_network(mounts, kind):
    mounts(kind)

    with pytest.raises(LedgerNotDurable, match=f"is on {kind}, where"):
        check_locks(Path("/mnt/ledger.db"))


@pytest.mark.parametrize("kind", ["ext4", "overlay", "tmpfs", "fuseblk"])
def test_but_they_do_elsewhere(mounts, kind):
    mounts(kind)

    check_locks(Path("/mnt/ledger.db"))


def test_and_are_believed_to_where_nothing_is_known(tmp_path, monkeypatch):
    monkeypatch.setattr(durability, "_MOUNTS", tmp_path / "no such file")

    check_locks(Path("/mnt/ledger.db"))
