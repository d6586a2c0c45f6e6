"""The journal shows every request, and counts creates by what they ask for."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from prefect_responses.emulator.journal import body_digest, read_journal_file
from prefect_responses.emulator.server import EmulatorThread

if TYPE_CHECKING:
    from pathlib import Path

    from prefect_responses.emulator.remote_control import RemoteControl

BODY: dict[str, Any] = {"model": "echo", "input": "Grüße", "background": True}


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"metadata": {"key": "1"}}, True),
        ({"background": False, "store": True, "stream": False}, True),
        ({"input": "Other"}, False),
        ({"temperature": 1}, False),
    ],
)
def test_the_digest_ignores_what_is_the_clients_own(change: dict[str, Any], *, same: bool) -> None:
    assert (body_digest(BODY) == body_digest(BODY | change)) is same


def test_the_digest_is_that_of_canonical_json() -> None:
    canonical = json.dumps(
        {"input": "Grüße", "model": "echo"},
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
    )

    assert body_digest(BODY) == hashlib.sha256(canonical.encode()).hexdigest()


def test_requests_are_listed_in_order_without_the_key(
    http: httpx.Client, control: RemoteControl
) -> None:
    headers = {"x-client-request-id": "mine-1", "idempotency-key": "again-1"}
    created = http.post("/responses", json=BODY, headers=headers).json()
    http.get(f"/responses/{created['id']}?include[]=x")
    http.post("/responses", json={"input": 1})
    entries = control.journal()

    assert [(e["method"], e["status"], e["accepted"]) for e in entries] == [
        ("POST", 200, True),
        ("GET", 200, False),
        ("POST", 400, False),
    ]
    assert entries[0]["body"] == BODY
    assert entries[0]["response_id"] == entries[1]["response_id"] == created["id"]
    assert entries[0]["headers"].items() >= headers.items()
    assert entries[1]["query"] == "include[]=x"
    assert "sk-emulated" not in json.dumps(entries)


def test_the_journal_can_be_narrowed(http: httpx.Client, control: RemoteControl) -> None:
    http.get("/models")
    http.post("/responses", json=BODY)
    http.get("/models")
    first = control.journal()[0]["n"]

    assert [e["n"] - first for e in control.journal(method="GET")] == [0, 2]
    assert [e["n"] - first for e in control.journal(path_prefix="/v1/responses")] == [1]
    assert [e["n"] - first for e in control.journal(since=first + 1)] == [2]


def test_creates_are_counted_by_digest(http: httpx.Client, control: RemoteControl) -> None:
    control.add_fault("drop_before")
    for change in ({}, {"metadata": {"try": "2"}}, {"input": "Other"}):
        try:
            http.post("/responses", json=BODY | change)
        except Exception:  # noqa: BLE001, S112 - the first is dropped
            continue
    creates = control.creates()
    same, other = body_digest(BODY), body_digest(BODY | {"input": "Other"})

    assert creates["counts"] == {same: 2, other: 1}
    assert creates["accepted"] == {same: 1, other: 1}
    assert [(c["body_digest"], c["accepted"], c["fault"]) for c in creates["order"]] == [
        (same, False, "drop_before"),
        (same, True, None),
        (other, True, None),
    ]


def test_the_state_counts_what_happened(http: httpx.Client, control: RemoteControl) -> None:
    control.stop_clock()
    control.set_latency("constant:10")
    ids = [http.post("/responses", json=BODY).json()["id"] for _ in range(3)]
    http.post(f"/responses/{ids[0]}/cancel")
    http.get(f"/responses/{ids[1]}")
    counts = {"accepted": 3, "terminal": 1, "in_flight": 2, "creates": 3, "gets": 1, "cancels": 1}

    assert control.state().items() >= counts.items()


def test_the_journal_file_outlives_the_emulator(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    for _ in range(2):
        with EmulatorThread(journal_file=path) as emulator:
            emulator.control.add_fault("accept_then_drop")
            for _ in range(2):
                try:
                    httpx.post(
                        f"{emulator.url}/responses",
                        json=BODY,
                        headers={"authorization": "Bearer sk-emulated"},
                    )
                except httpx.HTTPError:
                    continue
    entries = read_journal_file(path)

    assert [(e["n"], e["status"], e["accepted"]) for e in entries] == [
        (1, None, True),
        (2, 200, True),
        (3, None, True),
        (4, 200, True),
    ]
    assert all(entry["ended_at"] for entry in entries)
    assert b"sk-emulated" not in path.read_bytes()
