"""Keep the key out of everything that an answer carries."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from prefect_responses.errors import RequestInvalid

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Local servers take dummy keys such as "EMPTY"; replacing those would garble answers.
_SHORTEST_SECRET = 12
_SECRET_HEADER = re.compile(r"auth|key|token|secret|cookie", re.IGNORECASE)
_MASK = "[redacted]"


def check_header(name: str, value: str) -> str:
    """Return *value* if it can be sent as a header.

    Raises:
        RequestInvalid: it has characters that no header takes; the message does not quote it.
    """
    if not value.isascii() or not value.isprintable():
        raise RequestInvalid(f"{name} has characters that cannot be sent: use printable ASCII.")
    return value


class Redactor:
    """Replace secrets wherever a server, or an exception, repeats them."""

    def __init__(self, api_key: str, headers: Mapping[str, str]) -> None:
        secrets = [api_key, *(v for name, v in headers.items() if _SECRET_HEADER.search(name))]
        self._texts = [secret for secret in secrets if len(secret) >= _SHORTEST_SECRET]
        self._bytes = [secret.encode() for secret in self._texts]
        self._escaped = [_in_json(secret) for secret in self._texts]

    def __repr__(self) -> str:
        return "Redactor()"

    def text(self, text: str) -> str:
        """Return *text* without secrets."""
        for secret in self._texts:
            text = text.replace(secret, _MASK)
        return text

    def body(self, body: bytes) -> bytes:
        """Return *body* without secrets, also if it is JSON that escapes some of their letters."""
        for secret in self._bytes:
            body = body.replace(secret, _MASK.encode())
        if b"\\" in body:
            for escaped in self._escaped:
                body = escaped.sub(_masked, body)
        return body

    def stars(self, text: str) -> str:
        """Return *text* with stars in place of secrets, so that all offsets stay."""
        for secret in self._texts:
            text = text.replace(secret, "*" * len(secret))
        return text


def _in_json(secret: str) -> re.Pattern[bytes]:
    """Return what finds *secret*, which is ASCII, in JSON, however it is escaped there."""
    return re.compile("".join(_ways_to_write(letter) for letter in secret).encode())


def _ways_to_write(letter: str) -> str:
    ways = [re.escape(letter), rf"\\u00(?i:{ord(letter):02x})"]
    if letter in '/"\\':
        ways.append(r"\\" + re.escape(letter))
    return f"(?:{'|'.join(ways)})"


def _masked(found: re.Match[bytes]) -> bytes:
    before = found.string[: found.start()]
    is_escape = (len(before) - len(before.rstrip(b"\\"))) % 2 == 0
    return _MASK.encode() if is_escape else found.group()  # half an escape would be no JSON
