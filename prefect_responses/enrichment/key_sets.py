"""Which keys a table has, in eight bytes a row."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_HASH_BYTES = 8
#: The first byte of a hash says in which part it is kept, so that one part is sorted at a time.
_PARTS = 256
_PART_SHIFT = 8 * (_HASH_BYTES - 1)


class KeySet:
    """The hashes of keys: those of a million rows take eight megabytes.

    Two keys of a million share a hash once in forty million tables. Who is told of one that is
    there twice must compare the keys themselves; who asks for one that was never added hears yes as
    rarely. Add all keys first, then ask.
    """

    def __init__(self) -> None:
        self._parts = [array("Q") for _ in range(_PARTS)]
        self._is_sorted = True

    def add(self, key: str) -> bytes:
        """Add *key*, and return its hash."""
        digest = key_hash(key)
        number = int.from_bytes(digest, "big")
        self._parts[number >> _PART_SHIFT].append(number)
        self._is_sorted = False
        return digest

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def __contains__(self, key: str) -> bool:
        self._sort()
        number = int.from_bytes(key_hash(key), "big")
        part = self._parts[number >> _PART_SHIFT]
        place = bisect_left(part, number)
        return place < len(part) and part[place] == number

    def twice(self) -> Iterator[bytes]:
        """Go through the hashes that were added more than once."""
        self._sort()
        for part in self._parts:
            for place in range(1, len(part)):
                if part[place] == part[place - 1]:
                    yield part[place].to_bytes(_HASH_BYTES, "big")

    def _sort(self) -> None:
        if not self._is_sorted:
            self._parts = [array("Q", sorted(part)) for part in self._parts]
            self._is_sorted = True


def key_hash(key: str) -> bytes:
    """Return the eight bytes that stand for *key* in a `KeySet`."""
    return blake2b(key.encode("utf-8", "surrogatepass"), digest_size=_HASH_BYTES).digest()


class TableDigest:
    """What stands for a table: its keys and what is asked of each row, in its order."""

    def __init__(self) -> None:
        self._table = blake2b(digest_size=16)

    def add(self, key: bytes, digest: str) -> None:
        """Add a row: the hash of its key, and the digest of its request."""
        self._table.update(key)
        self._table.update(digest.encode())

    def hexdigest(self) -> str:
        """Return the digest of all rows so far."""
        return self._table.hexdigest()
