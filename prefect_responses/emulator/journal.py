"""The journal: every request of the imitated API in order, and what became of it."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, BinaryIO

import orjson

from prefect_responses.emulator.query_reading import asks_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: The request headers that are kept. Authorization never is.
_KEPT_HEADERS = frozenset(
    {
        "accept",
        "idempotency-key",
        "openai-organization",
        "openai-project",
        "traceparent",
        "user-agent",
        "x-client-request-id",
        "x-stainless-read-timeout",
        "x-stainless-retry-count",
    }
)
#: What a body may carry of the client's own, and is left out of its digest.
_NOT_DIGESTED = frozenset({"metadata", "background", "stream", "store"})


def digest_of(value: Any) -> str:
    """Return the SHA-256 of the canonical JSON: keys sorted, no spaces, UTF-8."""
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()


def body_digest(body: dict[str, Any]) -> str:
    """Return the digest of what a create asks for, whoever asks and however it is delivered."""
    return digest_of({key: value for key, value in body.items() if key not in _NOT_DIGESTED})


class StreamEnd(StrEnum):
    """What became of a stream that was sent."""

    OPEN = "open"
    COMPLETE = "complete"
    CUT = "cut"
    CLIENT_GONE = "client_gone"


@dataclass(slots=True)
class StreamNote:
    """What was sent of a stream, from where on and until when."""

    starting_after: int | None
    events: int = 0
    bytes: int = 0
    last_number: int | None = None
    ended: StreamEnd = StreamEnd.OPEN

    def entry(self) -> dict[str, Any]:
        """Write the note for the journal."""
        return asdict(self)


@dataclass(slots=True)
class Exchange:
    """One request and, when there is one, its answer."""

    n: int
    time: float
    method: str
    path: str
    query: str
    headers: dict[str, str]
    key: str | None
    body_bytes: bytes
    body: Any = None
    digest: str | None = None
    status: int | None = None
    response_id: str | None = None
    accepted: bool = False
    faults: tuple[str, ...] = ()
    ended_at: float | None = None
    keep_body: bool = field(default=True)
    stream: StreamNote | None = None

    @property
    def is_create(self) -> bool:
        """Tell whether a response is to be created."""
        return self.method == "POST" and self.path.endswith("/responses")

    @property
    def is_cancel(self) -> bool:
        """Tell whether a response is to be cancelled."""
        return self.path.endswith("/cancel")

    @property
    def asks_for_stream(self) -> bool:
        """Tell whether the answer is to be a stream."""
        if self.method == "GET":
            return asks_for(self.query, "stream")
        return isinstance(self.body, dict) and self.body.get("stream") is True

    @property
    def body_text(self) -> str:
        """Return the body as it was sent."""
        return self.body_bytes.decode(errors="replace")

    @property
    def model(self) -> str | None:
        """Return the model that the body names."""
        return self.body.get("model") if isinstance(self.body, dict) else None

    def entry(self) -> dict[str, Any]:
        """Write the exchange for the journal."""
        return {
            "n": self.n,
            "time": self.time,
            "method": self.method,
            "path": self.path,
            "query": self.query,
            "headers": self.headers,
            "body": self.body if self.keep_body else None,
            "body_digest": self.digest,
            "status": self.status,
            "response_id": self.response_id,
            "accepted": self.accepted,
            "fault": self.faults[0] if self.faults else None,
            "faults": list(self.faults),
            "ended_at": self.ended_at,
            "stream": self.stream.entry() if self.stream else None,
        }


def read_request(
    n: int, now: float, scope: Any, body: bytes, *, keep_body: bool = True
) -> Exchange:
    """Begin an exchange: read what the request says, and keep what may be kept."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    exchange = Exchange(
        n=n,
        time=now,
        method=scope["method"],
        path=scope["path"],
        query=scope["query_string"].decode("latin-1"),
        headers={name: value for name, value in headers.items() if name in _KEPT_HEADERS},
        key=_bearer(headers.get("authorization", "")),
        body_bytes=body,
        keep_body=keep_body,
    )
    try:
        exchange.body = orjson.loads(body) if body else None
    except orjson.JSONDecodeError:
        exchange.body = None
    if exchange.is_create and isinstance(exchange.body, dict):
        exchange.digest = body_digest(exchange.body)
    return exchange


def _bearer(authorization: str) -> str | None:
    scheme, _, key = authorization.partition(" ")
    return key.strip() or None if scheme.lower() == "bearer" else None


class Journal:
    """Keep all exchanges, and write them to a file where one is named.

    The file gets a line when a response is accepted and one when the exchange ends; of two lines
    with the same `n` the later counts. Each is written at once: it outlives a killed emulator.
    Numbers go on where an earlier run left them in the file, and are never used twice.
    """

    def __init__(self, path: Path | None = None, *, keep_bodies: bool = True) -> None:
        self._exchanges: list[Exchange] = []
        self._keep_bodies = keep_bodies
        self._before = _last_number(path) if path else 0
        self._file: BinaryIO | None = path.open("ab", buffering=0) if path else None

    def begin(self, now: float, scope: Any, body: bytes) -> Exchange:
        """Add a request."""
        number = self._before + len(self._exchanges) + 1
        exchange = read_request(number, now, scope, body, keep_body=self._keep_bodies)
        self._exchanges.append(exchange)
        return exchange

    def record_acceptance(self, exchange: Exchange, response_id: str) -> None:
        """Note that a response object was created."""
        exchange.accepted = True
        exchange.response_id = response_id
        self._write(exchange)

    def record_end(self, exchange: Exchange, now: float) -> None:
        """Note that the exchange is over: answered, or its connection gone."""
        exchange.ended_at = now
        exchange.body_bytes = b""
        self._write(exchange)

    def clear(self) -> None:
        """Forget all exchanges; the file stays as it is."""
        self._before += len(self._exchanges)
        self._exchanges.clear()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def entries(
        self, method: str | None = None, path_prefix: str = "", since: int = 0
    ) -> Iterator[dict[str, Any]]:
        """Yield the entries after number `since`, of one method, under one path."""
        for exchange in self._exchanges[max(0, since - self._before) :]:
            if method in (None, exchange.method) and exchange.path.startswith(path_prefix):
                yield exchange.entry()

    def creates(self) -> dict[str, Any]:
        """Count creates by the digest of what they ask for, and list them in order."""
        creates = [e for e in self._exchanges if e.is_create]
        return {
            "counts": Counter(e.digest for e in creates if e.digest),
            "accepted": Counter(e.digest for e in creates if e.digest and e.accepted),
            "order": [_create_line(e) for e in creates],
        }

    def counts(self) -> dict[str, int]:
        """Count requests by what they ask for."""
        counted = Counter(map(_purpose, self._exchanges))
        return {name: counted[name] for name in ("creates", "gets", "cancels", "others")}

    def _write(self, exchange: Exchange) -> None:
        if self._file is not None:
            self._file.write(orjson.dumps(exchange.entry(), option=orjson.OPT_APPEND_NEWLINE))


def read_journal_file(path: Path) -> list[dict[str, Any]]:
    """Read a journal file: one entry for each exchange, in order."""
    entries = map(orjson.loads, path.read_bytes().splitlines())
    return [entry for _, entry in sorted({entry["n"]: entry for entry in entries}.items())]


def _last_number(path: Path) -> int:
    return max((e["n"] for e in read_journal_file(path)), default=0) if path.exists() else 0


def _create_line(exchange: Exchange) -> dict[str, Any]:
    entry = exchange.entry()
    kept = ("n", "body_digest", "accepted", "response_id", "status", "fault")
    return {key: entry[key] for key in kept}


def _purpose(exchange: Exchange) -> str:
    if exchange.is_create:
        return "creates"
    if exchange.is_cancel:
        return "cancels"
    return "gets" if exchange.method == "GET" and "/responses/" in exchange.path else "others"
