"""IDs in the shapes that the API uses, and the one seed that everything random is drawn from."""

from __future__ import annotations

import secrets
import string
from random import Random

_ALPHANUMERIC = string.ascii_letters + string.digits

#: The prefix of an output item's ID, by the item's type.
_ITEM_PREFIXES = {
    "message": "msg_",
    "reasoning": "rs_",
    "function_call": "fc_",
    "custom_tool_call": "ctc_",
    "mcp_approval_request": "mcpr_",
    "mcp_call": "mcp_",
    "compaction": "cmp_",
    "web_search_call": "ws_",
    "file_search_call": "fs_",
    "code_interpreter_call": "ci_",
}


class Randomness:
    """Hold the seed and its streams.

    IDs of responses, IDs of requests, latencies and the dice of faults are separate streams of one
    seed: how often a client polls changes none of the others.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.seed = secrets.randbits(32) if seed is None else seed
        self.latency = self._stream("latency")
        self.faults = self._stream("faults")
        self.identifiers = Identifiers(self._stream("responses"), self._stream("requests"))

    def _stream(self, name: str) -> Random:
        return Random(f"{self.seed}:{name}")  # noqa: S311 - repeatable on purpose, guards nothing


class Identifiers:
    """Make new IDs."""

    def __init__(self, responses: Random, requests: Random) -> None:
        self._responses = responses
        self._requests = requests

    def response(self) -> str:
        """Name a response."""
        return f"resp_{self._responses.getrandbits(192):048x}"

    def item(self, item_type: str) -> str:
        """Name an output item of the type."""
        prefix = _ITEM_PREFIXES.get(item_type, f"{item_type}_")
        return f"{prefix}{self._responses.getrandbits(192):048x}"

    def call(self) -> str:
        """Name a call that the client has to answer."""
        return "call_" + "".join(self._responses.choices(_ALPHANUMERIC, k=24))

    def request(self) -> str:
        """Name a request."""
        return f"req_{self._requests.getrandbits(128):032x}"
