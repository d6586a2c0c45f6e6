"""The requests of a job's rows, which differ by their input alone, and their digests.

Everything else of a request is written and hashed once a job, so that a row costs microseconds.
"""

from __future__ import annotations

import hashlib
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any

from prefect_responses.errors import RequestInvalid
from prefect_responses.identity import DIGEST_VERSION, canonical_json, digest_parts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prefect_responses.attempt import Endpoint

#: Stands for a row's input until it is known.
_INPUT = "the input of a row 5f1c0f0b8d1e4b8fb3b7d5a2"


class RowRequests:
    """Form the requests of rows.

    Args:
        fixed: the request of every row, without its `input`.
        endpoint: where they go.
        version: the prompt's version.

    Raises:
        RequestInvalid: the request is not JSON, or it has an `input` of its own.
    """

    def __init__(self, fixed: Mapping[str, Any], endpoint: Endpoint, version: str) -> None:
        if "input" in fixed:
            raise RequestInvalid("The prompt makes the `input` of each row: leave it out.")
        self._fixed = dict(fixed)
        whole = self.request(_INPUT)
        self._before, self._after = _split(canonical_json(whole))
        asked = digest_parts(whole, endpoint, version=version)
        hashed_before, self._hashed_after = _split(canonical_json(asked))
        self._hash = hashlib.sha256(hashed_before)

    def request(self, text: str) -> dict[str, Any]:
        """Return the request whose input is *text*."""
        return {**self._fixed, "input": text}

    def as_json(self, text: str) -> bytes:
        """Return the canonical JSON of the request whose input is *text*."""
        return self._before + _json(text) + self._after

    def digest(self, text: str) -> str:
        """Return the digest of the request whose input is *text*; see `request_digest`."""
        digest = self._hash.copy()
        digest.update(_json(text))
        digest.update(self._hashed_after)
        return f"{DIGEST_VERSION}:sha256:{digest.hexdigest()}"


def _split(whole: bytes) -> tuple[bytes, bytes]:
    before, _, after = whole.partition(_json(_INPUT))
    return before, after


def _json(text: str) -> bytes:
    try:
        return encode_basestring(text).encode()
    except UnicodeEncodeError:
        return canonical_json(text)  # which says what is wrong with it
