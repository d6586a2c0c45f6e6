"""The headers of every answer."""

from __future__ import annotations

#: Limits that no client reaches; a fault or a test that wants others says so.
_UNCHANGING = [
    (b"openai-version", b"2020-10-01"),
    (b"openai-organization", b"emulated"),
    (b"x-ratelimit-limit-requests", b"10000"),
    (b"x-ratelimit-limit-tokens", b"10000000"),
    (b"x-ratelimit-remaining-requests", b"9999"),
    (b"x-ratelimit-remaining-tokens", b"9999500"),
    (b"x-ratelimit-reset-requests", b"6ms"),
    (b"x-ratelimit-reset-tokens", b"3ms"),
]


def answer_headers(request_id: str, took_ms: int) -> list[tuple[bytes, bytes]]:
    """List the headers that the API adds to an answer."""
    return [
        (b"x-request-id", request_id.encode()),
        (b"openai-processing-ms", str(took_ms).encode()),
        *_UNCHANGING,
    ]
