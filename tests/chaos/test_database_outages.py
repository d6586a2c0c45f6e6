"""The database of the ledger goes away while a flow is at work, and comes back."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from databases import OwnPostgres, cut_all, cut_the_next_write

from prefect_responses.clock import SystemClock
from prefect_responses.ledger import upgrade

shared = pytest.mark.parametrize("ledger_database", ["postgresql"], indirect=True)


@shared
def test_connections_that_are_cut_between_two_writes(lab):
    text = "Cut while it waits."
    lab.control.set_latency("constant:2")
    run = lab.plan("one_response", text=text)

    process = lab.start(run, "one_response")
    lab.wait_for(lambda: lab.attempts(text, "state") == ["submitted"])
    assert cut_all(lab.ledger_url) > 0

    assert process.wait(60.0) == 0, lab.log(run)
    assert lab.posts(text) == 1
    assert lab.attempts(text) == ["completed"]


@shared
def test_a_connection_that_is_cut_while_the_id_is_written(lab):
    text = "Cut with an ID in hand."
    lab.control.add_fault("delay", seconds=0.9, match={"method": "POST"})
    run = lab.plan("one_response", text=text)

    process = lab.start(run, "one_response")
    lab.wait_for(lambda: lab.posts(text) == 1)
    cut_the_next_write(lab.ledger_url)

    assert process.wait(60.0) == 0, lab.log(run)
    assert lab.posts(text) == 1
    assert lab.attempts(text) == ["completed"]


@shared
def test_a_connection_that_is_cut_while_the_end_is_written(lab):
    text = "Cut with an answer in hand."
    lab.control.set_latency("constant:1.5")
    run = lab.plan("one_response", text=text)

    process = lab.start(run, "one_response")
    lab.wait_for(lambda: lab.attempts(text, "state") == ["submitted"])
    cut_the_next_write(lab.ledger_url)

    assert process.wait(60.0) == 0, lab.log(run)
    assert lab.state(run) == "Completed", lab.message(run)
    assert lab.posts(text) == 1
    assert lab.attempts(text) == ["completed"]


#: Locks the attempts as a write does, stops, and tries to commit when it goes on.
FROZEN = """
import asyncio, os, signal, sys
from sqlalchemy import text
from prefect_responses.errors import LedgerError
from prefect_responses.ledger.dialects import connect, parse_url, translated

async def main():
    engine = connect(parse_url(sys.argv[1]), writes=True, busy=2.0)
    with translated():
        async with engine.begin() as connection:
            await connection.execute(text("LOCK TABLE attempts IN EXCLUSIVE MODE"))
            os.kill(os.getpid(), signal.SIGSTOP)

try:
    asyncio.run(main())
except LedgerError as error:
    print(type(error).__name__)
"""


@shared
def test_a_process_that_is_frozen_in_the_middle_of_a_write_holds_up_nobody_for_long(lab):
    text = "Asked while another one is frozen."
    command = [sys.executable, "-c", FROZEN, lab.ledger_url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as frozen:
        lab.wait_for(lab.is_locked)
        run = lab.plan("one_response", text=text)

        assert lab.finish(run, "one_response") == 0, lab.log(run)
        assert lab.state(run) == "Completed", lab.message(run)
        frozen.send_signal(signal.SIGCONT)
        assert frozen.communicate()[0].split() == ["LedgerUnavailable"]
    assert lab.attempts(text) == ["completed"]


@pytest.fixture
def postgres(tmp_path):
    server = OwnPostgres(tmp_path / "pg")
    yield server
    server.close()


def test_a_database_that_crashes_and_is_away_for_longer_than_a_lease(lab, postgres):
    asyncio.run(upgrade(postgres.url, SystemClock()))
    lab = replace(lab, database=postgres.url)
    texts = {"in flight": "In flight meanwhile.", "asked": "Asked before.", "then": "Asked after."}
    lease = {"PREFECT_INTEGRATIONS_RESPONSES_LEASE_SECONDS": "1"}
    in_turn = lab.plan("two_in_turn", text=texts["asked"], then=texts["then"])
    between = lab.start(in_turn, "two_in_turn", **lease)
    lab.wait_for(lambda: len(lab.notes("delivered")) == 1)
    lab.control.set_latency("constant:60")
    run = lab.plan("one_response", text=texts["in flight"])
    waiting = lab.start(run, "one_response", **lease)
    lab.wait_for(lambda: lab.attempts(texts["in flight"], "state") == ["submitted"])

    postgres.crash()
    time.sleep(1.2)  # the length of the lease and a little: nothing else can be waited for
    postgres.start()
    lab.control.set_latency("constant:0.3")
    lab.control.advance(60.0)
    (lab.folder / "go on.word").touch()

    assert [between.wait(60.0), waiting.wait(60.0)] == [0, 0], lab.all_logs()
    assert {text: lab.posts(text) for text in texts.values()} == dict.fromkeys(texts.values(), 1)
    assert [lab.attempts(text) for text in texts.values()] == [["completed"]] * 3
