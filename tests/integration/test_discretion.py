"""The API key is searched for in everything that is written; it must be found nowhere."""

from __future__ import annotations

import logging
import pickle
from typing import TYPE_CHECKING

import pytest
from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_HOME
from pydantic import BaseModel

from prefect_responses import ResponseLedger, ResponsesCredentials, enrich, respond
from prefect_responses.errors import ResponsesError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

#: The fixtures' key.
API_KEY = "sk-integration-secret-0123456789"
PASSWORD = "hunter2-of-the-database"  # noqa: S105 - searched for


class Fact(BaseModel):
    text: str


def written(*folders: Path) -> dict[str, bytes]:
    return {
        str(path): path.read_bytes()
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file()
    }


#: Answers that repeat what was sent, as badly made proxies do.
LEAKS = [
    {"kind": "status", "status": 400, "message": f"Bad header: Bearer {API_KEY}."},
    {"kind": "status", "status": 401, "message": f"Incorrect API key provided: {API_KEY}."},
    {"kind": "fail", "message": f"Could not use {API_KEY}."},
    {"kind": "status", "status": 502, "body": "html", "message": API_KEY},
    {"kind": "redirect", "location": f"https://example.com/?key={API_KEY}"},
]


@pytest.mark.parametrize("leak", LEAKS, ids=lambda leak: f"{leak['kind']} {leak.get('status')}")
def test_an_answer_that_repeats_the_key_is_masked(world, tmp_path, leak, caplog):
    world.control.add_fault(**leak, times=None, match={"method": "POST"})
    caplog.set_level(logging.DEBUG)
    with pytest.raises(ResponsesError) as raised:
        respond.fn(model="echo", input="x", scope="s", key="k", in_doubt="fail", **world.blocks)

    error = raised.value
    told = f"{error} {error!r} {vars(error)} {error.__cause__} {error.__context__}"
    assert API_KEY not in told
    assert API_KEY.encode() not in pickle.dumps(error)
    assert API_KEY not in caplog.text
    found = [path for path, content in written(tmp_path).items() if API_KEY.encode() in content]
    assert found == []


def test_a_whole_flow_writes_no_secret_anywhere(world, tmp_path, caplog, capfd):
    rows = tmp_path / "rows.csv"
    rows.write_text("id,text\n1,one\n2,two\n")
    stored = task(persist_result=True)(lambda handle: handle)
    caplog.set_level(logging.DEBUG)

    @flow(persist_result=True, log_prints=True)
    def story():
        answer = stored(respond(model="echo", input="x", **world.blocks))
        print(answer, world.blocks)  # noqa: T201 - as a user would
        world.control.add_fault("status", status=400, match={"method": "POST"})
        refused = respond(model="echo", input="y", **world.blocks, return_state=True)
        enrich(
            job="facts",
            rows=rows,
            key="id",
            prompt="{text}",
            output_type=Fact,
            model="extract",
            sink=tmp_path / "facts.csv",
            **world.blocks,
        )
        return str(refused.message)

    state = story(return_state=True)
    shown = capfd.readouterr()
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(state.state_details.flow_run_id)
        told = [
            run.model_dump_json(),
            *(one.model_dump_json() for one in client.read_task_runs()),
            *(one.model_dump_json() for one in client.read_artifacts()),
        ]
    everything = "\n".join([*told, caplog.text, shown.out, shown.err])
    assert "x" in everything
    assert API_KEY not in everything
    files = written(tmp_path, PREFECT_HOME.value() / "storage")
    assert len(files) > 3
    assert [path for path, content in files.items() if API_KEY.encode() in content] == []


def test_a_database_password_is_in_no_error(world):
    ledger = ResponseLedger(url=f"postgresql://me:{PASSWORD}@127.0.0.1:9/none")
    with pytest.raises(ResponsesError) as raised:
        respond.fn(
            model="echo",
            input="x",
            scope="s",
            key="k",
            credentials=ResponsesCredentials(api_key=API_KEY, base_url=world.emulator.url),
            ledger=ledger,
        )
    assert PASSWORD not in f"{raised.value} {raised.value!r} {vars(raised.value)}"
    assert PASSWORD.encode() not in pickle.dumps(raised.value)
    assert world.requests() == 0
