"""The documentation: its programs run, its links lead somewhere, its reference is current."""

from __future__ import annotations

import ast
import csv
import inspect
import os
import re
import runpy
import shlex
import signal
import sqlite3
import subprocess
import sys
import time
from typing import Literal

import polars as pl
import pytest
from documents import ROOT, fragments_of, programs_of
from pydantic import BaseModel

import prefect_responses
from prefect_responses.emulator.server import EmulatorThread

DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deployments/*.md")]
TUTORIAL = "docs/tutorial/first-durable-flow.md"


def test_the_tutorial_ends_with_one_response(prefect_server, tmp_path):
    (tmp_path / "story.py").write_text(programs_of(TUTORIAL)["story.py"])
    with EmulatorThread(seed=1, latency="constant:6") as emulator:
        told = {
            "cwd": tmp_path,
            "text": True,
            "env": {
                **os.environ,
                "PREFECT_API_URL": prefect_server,
                "PREFECT_HOME": str(tmp_path / "prefect"),
                "OPENAI_BASE_URL": emulator.url,
                "OPENAI_API_KEY": "emulator",
            },
        }
        with subprocess.Popen([sys.executable, "story.py"], **told) as first:
            wait_for_a_stored_id(told)
            first.send_signal(signal.SIGKILL)

        second = subprocess.run(
            [sys.executable, "story.py"], capture_output=True, check=False, timeout=90, **told
        )

        assert second.returncode == 0, second.stderr
        assert "Once upon a time." in second.stdout
        accepted = [entry["accepted"] for entry in emulator.control.journal(method="POST")]
        assert accepted == [True]
    [sentence] = re.findall(r"^Proven: .*$", (ROOT / TUTORIAL).read_text(), re.MULTILINE)
    assert sentence in command("audit", **told)


def wait_for_a_stored_id(told) -> None:
    end = time.monotonic() + 60
    while "resp_" not in command("ledger show", **told):
        assert time.monotonic() < end


def command(line: str, **told) -> str:
    return subprocess.run(
        [sys.executable, "-m", "prefect_responses.cli", *shlex.split(line)],
        capture_output=True,
        check=False,
        **told,
    ).stdout


def test_the_test_of_the_howto_passes(tmp_path):
    document = "docs/howto/test-on-the-emulator.md"
    (tmp_path / "test_my_flow.py").write_text(programs_of(document)["test_my_flow.py"])

    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 0, result.stdout


class Verdict(BaseModel):
    """What the how-tos of tables ask."""

    mood: Literal["pleased", "angry"]


class Category(BaseModel):
    """What the how-to of databases asks."""

    category: Literal["tool", "toy"]


#: What fragments leave out of their calls of `enrich`.
REST = {
    "job": "names",
    "rows": "reviews.csv",
    "key": "id",
    "prompt": "What does this review say?\n---\n{text}",
    "output_type": Verdict,
    "model": "gpt-5-mini",
    "sink": "verdicts.csv",
}


@pytest.fixture
def emulator():
    with EmulatorThread(seed=1) as emulator:
        yield emulator


@pytest.fixture
def fragment(prefect_server, emulator, tmp_path, monkeypatch):
    """Run a fragment of a how-to in a folder with a table of 25 reviews and the page's prices."""
    for name, value in {
        "PREFECT_API_URL": prefect_server,
        "OPENAI_BASE_URL": emulator.url,
        "OPENAI_API_KEY": "emulator",
        "PREFECT_INTEGRATIONS_RESPONSES_LEDGER_URL": f"sqlite:///{tmp_path / 'responses.db'}",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    with (tmp_path / "reviews.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("id", "text"), *((n, f"Pleased, {n}.") for n in range(25))])
    [prices] = re.findall(r"```toml\n(.*?)```", page("keep-a-budget"), re.DOTALL)
    (tmp_path / "prices.toml").write_text(prices.replace("my-model", "gpt-5-mini"))

    def fragment(name: str, number: int = 0, *, instead: dict[str, str] | None = None, **given):
        code = fragments_of(f"docs/howto/{name}.md")[number]
        for old, new in (instead or {}).items():
            assert old in code
            code = code.replace(old, new)
        named = re.findall(r"(\w+)=", code)
        rest = {key: value for key, value in REST.items() if key not in named}
        (tmp_path / "fragment.py").write_text(code)
        names = {"enrich": prefect_responses.enrich, "rest": rest, **given}
        return runpy.run_path("fragment.py", names)

    return fragment


def page(name: str) -> str:
    return (ROOT / f"docs/howto/{name}.md").read_text()


def shape(lines: list[str]) -> list[str]:
    """Return *lines* with what differs from job to job taken out of them."""
    return [re.sub(r"about .*|[\d,.]+( h| min| s\b)?( [\d.]+ s)?", "_", line) for line in lines]


def accepted(emulator: EmulatorThread) -> int:
    return sum(entry["accepted"] for entry in emulator.control.journal(method="POST"))


def test_the_job_of_the_howto_runs_again(fragment, emulator):
    plans = [fragment("run-a-job-again")["report"].plan.as_lines() for _ in range(2)]

    assert plans == [
        ["reviews: 25 rows, 25 of them to be paid for", "  new: 25"],
        ["reviews: 25 rows, 0 of them to be paid for", "  finished: 25"],
    ]
    assert all(
        set(shape(lines)) <= set(shape(page("run-a-job-again").splitlines())) for lines in plans
    )
    assert accepted(emulator) == 25


def test_the_preview_of_the_howto_looks_as_it_says(fragment, emulator):
    lines = fragment("preview-a-job")["report"].preview.as_lines()

    [shown] = re.findall(r"^Preview of .*?(?=```)", page("preview-a-job"), re.DOTALL | re.MULTILINE)
    assert shape(lines) == shape(shown.splitlines())
    assert accepted(emulator) == 20


@pytest.mark.parametrize("name", ["keep-a-budget", "share-a-rate-limit"])
def test_the_limits_of_the_howtos_leave_room(fragment, emulator, name):
    fragment(name)

    assert accepted(emulator) == 25


def test_the_query_of_the_howto_is_asked_about(fragment, emulator, tmp_path):
    with sqlite3.connect(tmp_path / "shop.db") as shop:
        shop.execute("CREATE TABLE products (sku TEXT, title TEXT, maker TEXT, day TEXT)")
        rows = [("b", "Hammer tool", "Ann", "mon"), ("a", "Doll toy", "Bo", "mon")]
        shop.executemany("INSERT INTO products VALUES (?, ?, ?, ?)", rows)
    shop.close()
    instead = {"postgresql://shop@db/shop": f"sqlite:///{tmp_path / 'shop.db'}"}

    for _ in range(2):
        fragment("read-and-write-tables", instead=instead, Category=Category, day="mon")

    with sqlite3.connect(tmp_path / "shop.db") as shop:
        found = shop.execute("SELECT sku, category, status FROM named_products ORDER BY sku")
        assert found.fetchall() == [("a", "toy", "ok"), ("b", "tool", "ok")]
    shop.close()
    assert accepted(emulator) == 2


def test_the_frame_of_the_howto_comes_back(fragment):
    frame = pl.DataFrame({"sku": ["x", "y"], "text": ["I am angry.", "I am pleased."]})

    names = fragment("read-and-write-tables", 1, frame=frame, polars=pl)

    assert names["together"]["mood"].to_list() == ["angry", "pleased"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_fragments_name_what_is_there(document):
    for code in fragments_of(str(document.relative_to(ROOT))):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("prefect_resp"):
                exec(ast.unparse(node), {})  # noqa: S102 - it is our own documentation
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                called = getattr(prefect_responses, node.func.id, print)
                known = inspect.signature(called).parameters.values()
                if not any(each.kind is each.VAR_KEYWORD for each in known) and called is not print:
                    given = {word.arg for word in node.keywords if word.arg}
                    assert given <= {each.name for each in known}, code


def test_the_index_names_every_page():
    index = (ROOT / "docs" / "index.md").read_text()
    pages = [path.relative_to(ROOT / "docs") for path in ROOT.glob("docs/*/*.md")]

    assert [path for path in pages if f"({path.as_posix()})" not in index] == []


def test_the_reference_is_current():
    result = subprocess.run(
        [sys.executable, "docs/generate.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files(document):
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", document.read_text())

    assert [link for link in links if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_make_targets_that_are_named_exist(document):
    targets = set(re.findall(r"^([\w.-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert set(re.findall(r"`make ([\w.-]+)", document.read_text())) <= targets
