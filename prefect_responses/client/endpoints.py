"""Check where requests go, and what enters a path, before anything is sent."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, quote, urlsplit

from prefect_responses.errors import EndpointInvalid, RequestInvalid

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Response IDs of all servers seen; a dot-only name would climb in a path.
_RESPONSE_ID = re.compile(r"(?!\.+$)[A-Za-z0-9_.:=+~-]{1,512}")


def check_base_url(url: str, *, allow_insecure: bool = False) -> str:
    """Return *url* as an API root without a trailing slash, or refuse it.

    Args:
        url: such as `https://api.openai.com/v1`.
        allow_insecure: take http on any host, not only on a loopback address.

    Raises:
        EndpointInvalid: the URL cannot be used; the message says what to change.
    """
    parts = _split(url)
    for trouble in _troubles(parts, allow_insecure=allow_insecure):
        raise EndpointInvalid(f"The base URL cannot be used: {trouble}")
    return parts.geturl().rstrip("/")


def _split(url: str) -> SplitResult:
    if not url.isascii() or not url.isprintable() or " " in url:
        raise EndpointInvalid("The base URL cannot be used: remove its blanks and odd characters.")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise EndpointInvalid("The base URL cannot be used: check its host and port.") from error
    return parts


def _troubles(parts: SplitResult, *, allow_insecure: bool) -> Iterator[str]:
    # No message quotes the URL: it may hold a password.
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        yield "write it as https://host/v1."
    if parts.username is not None or parts.password is not None:
        yield "take the name and password out of it, and give an API key."
    if parts.query or parts.fragment:
        yield "take the query and the fragment out of it."
    if parts.scheme == "http" and not allow_insecure and not is_loopback(parts.hostname or ""):
        yield "use https, or allow an insecure endpoint in a network that you trust."


def is_loopback(host: str) -> bool:
    """Tell whether *host* is this machine: localhost, 127.0.0.0/8 or ::1."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def path_segment(response_id: str) -> str:
    """Return *response_id* as one quoted segment of a path.

    Args:
        response_id: an ID that a server gave us, or that a user typed.

    Raises:
        RequestInvalid: it is no ID that could stand in a path.
    """
    if _RESPONSE_ID.fullmatch(response_id) is None:
        raise RequestInvalid(
            "This is no response ID: it takes 1 to 512 letters, digits and `_.:=+~-`."
        )
    return quote(response_id, safe=":=")
