"""The headers of every answer."""

from __future__ import annotations

_UNCHANGING = [
    (b"openai-version", b"2020-10-01"),
    (b"openai-organization", b"emulated"),
]


def answer_headers(request_id: str, took_ms: int) -> list[tuple[bytes, bytes]]:
    """List the headers that the API adds to an answer."""
    return [
        (b"x-request-id", request_id.encode()),
        (b"openai-processing-ms", str(took_ms).encode()),
        *_UNCHANGING,
    ]
