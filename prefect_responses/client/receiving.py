"""Hold what arrives of an answer, and tell it as one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from prefect_responses.wire.answers import Answer, AnswerHead, TransportFailure, read_head
from prefect_responses.wire.envelopes import clean_message

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from prefect_responses.client.secrets import Redactor


class Received:
    """Hold what arrived of one answer, also if the rest never comes."""

    def __init__(self, largest_body: int) -> None:
        self.status: int | None = None
        self._headers: Mapping[str, str] = {}
        self._body = bytearray()
        self._is_whole = False
        self._note = ""
        self._largest_body = largest_body

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Take the status and the headers, names in lower case."""
        self.status, self._headers = status, headers

    @property
    def head(self) -> AnswerHead:
        """Return what the headers say."""
        return read_head(self._headers, time.time())

    async def read_body(self, chunks: AsyncIterator[bytes]) -> None:
        """Read the body until its end, or until it is too long."""
        async for chunk in chunks:
            self._body += chunk
            if len(self._body) > self._largest_body:
                self._note = f"the body is longer than {self._largest_body} bytes"
                return
        self._is_whole = True

    def answer(self, failure: TransportFailure | None, note: str, redactor: Redactor) -> Answer:
        """Tell what came of the exchange.

        Args:
            failure: how far the request got, if the transport failed.
            note: what failed, in words that may hold secrets.
            redactor: takes them out.
        """
        broken = None if self._is_whole else failure or TransportFailure.AFTER_SENDING
        note = "" if self._is_whole else line_of(note or self._note, redactor)
        if self.status is None:
            return Answer(failure=broken, note=note)
        head = self.head
        return Answer(
            status=self.status,
            body=redactor.body(bytes(self._body)),
            content_type=head.content_type,
            server_request_id=head.server_request_id,
            retry_after=head.retry_after,
            should_retry=head.should_retry,
            rate_limits=head.rate_limits,
            failure=broken and TransportFailure.AFTER_SENDING,
            note=note,
        )


def note_of(error: Exception) -> str:
    """Return all that an exception of a transport says, secrets too; see `line_of`."""
    return f"{type(error).__name__}: {error}".rstrip(": ")


def line_of(note: str, redactor: Redactor) -> str:
    """Return *note* without secrets, on one line, shortened."""
    # A secret that is cut in two is not found, and one that a line break parts is only found after.
    return redactor.text(clean_message(redactor.text(note)))
