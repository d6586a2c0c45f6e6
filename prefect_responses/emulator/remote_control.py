"""Steer a running emulator from Python, with nothing but the standard library."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlencode, urlsplit

_TIMEOUT_S = 30.0


class ControlRefusedError(Exception):
    """The control plane refused an order; the message holds its reasons."""


class RemoteControl:
    """Call the control plane at a URL such as `EmulatorThread.control_url`."""

    def __init__(self, control_url: str) -> None:
        self._url = urlsplit(control_url)

    def reset(self, seed: int | None = None) -> dict[str, Any]:
        """Return to the start."""
        return self._call("POST", "/reset", {"seed": seed})

    def stop_clock(self, now: float | None = None) -> dict[str, Any]:
        """Let time stand still, from now on `advance` alone moves it."""
        return self._call("POST", "/clock", {"mode": "virtual", "now": now})

    def start_clock(self) -> dict[str, Any]:
        """Let time pass again."""
        return self._call("POST", "/clock", {"mode": "real"})

    def advance(self, seconds: float) -> dict[str, Any]:
        """Move time forward."""
        return self._call("POST", "/clock", {"advance": seconds})

    def set_latency(self, profile: str) -> dict[str, Any]:
        """Use another latency profile."""
        return self._call("POST", "/latency", {"profile": profile})

    def change_settings(self, **changes: Any) -> dict[str, Any]:
        """Change the settings that are named."""
        return self._call("POST", "/settings", changes)

    def add_fault(
        self,
        kind: str,
        *,
        match: dict[str, str] | None = None,
        times: int | None = 1,
        after: int = 0,
        probability: float = 1.0,
        **details: Any,
    ) -> dict[str, Any]:
        """Add one fault rule; the details are those of the kind."""
        rule = {
            "match": match or {},
            "fault": {"kind": kind, **details},
            "times": times,
            "after": after,
            "probability": probability,
        }
        return self._call("POST", "/faults", {"rules": [rule]})

    def faults(self) -> list[dict[str, Any]]:
        """List the fault rules with their counts."""
        return list(self._call("GET", "/faults")["rules"])

    def clear_faults(self) -> None:
        """Forget all fault rules."""
        self._call("DELETE", "/faults")

    def add_replies(self, *replies: dict[str, Any]) -> dict[str, Any]:
        """Add replies for the model `script`."""
        return self._call("POST", "/scripts", {"replies": list(replies)})

    def state(self) -> dict[str, Any]:
        """Read the counts."""
        return self._call("GET", "/state")

    def responses(self) -> list[dict[str, Any]]:
        """List the accepted responses."""
        return list(self._call("GET", "/responses")["responses"])

    def events(self, response_id: str) -> list[dict[str, Any]]:
        """List all events of a response, those to come included: `time` and `payload` of each."""
        return list(self._call("GET", f"/responses/{response_id}/events")["events"])

    def cut_streams(self, ending: str = "reset") -> int:
        """Cut all open streams, as a restarted server does; return how many there were."""
        return int(self._call("POST", "/streams/cut", {"ending": ending})["cut"])

    def journal(self, **filters: Any) -> list[dict[str, Any]]:
        """Read the journal; filters are `method`, `path_prefix` and `since`."""
        query = f"?{urlencode(filters)}" if filters else ""
        return list(self._call("GET", f"/journal{query}")["entries"])

    def creates(self) -> dict[str, Any]:
        """Read how often which body was posted and accepted."""
        return self._call("GET", "/journal/creates")

    def _call(self, method: str, path: str, order: Any = None) -> dict[str, Any]:
        connection = http.client.HTTPConnection(self._url.netloc, timeout=_TIMEOUT_S)
        try:
            body = None if order is None else json.dumps(order)
            headers = {"content-type": "application/json"}
            connection.request(method, self._url.path + path, body, headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        if answer.status != http.client.OK:
            raise ControlRefusedError(text)
        return dict(json.loads(text))
