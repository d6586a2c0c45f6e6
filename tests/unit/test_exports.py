"""The public names: listed, sorted, typed, and loaded only when they are used."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest

import prefect_responses

SOURCE = Path(prefect_responses.__file__).read_text()


def in_a_fresh_process(code):
    return json.loads(subprocess.check_output([sys.executable, "-c", code], text=True))


def test_all_names_are_sorted_and_unique():
    assert sorted(set(prefect_responses.__all__)) == prefect_responses.__all__


def test_all_names_can_be_loaded():
    for name in prefect_responses.__all__:
        assert getattr(prefect_responses, name).__name__ or True
        assert name in dir(prefect_responses)


def test_all_names_are_what_type_checkers_see():
    block = next(
        node
        for node in ast.parse(SOURCE).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    typed = {alias.name: node.module for node in imports for alias in node.names}

    assert sorted(typed) == prefect_responses.__all__
    for name, module in typed.items():
        loaded = getattr(sys.modules[module], name) if module in sys.modules else None
        assert getattr(prefect_responses, name) is (
            loaded or getattr(__import__(module, fromlist=[name]), name)
        )


def test_a_public_class_can_be_pickled_by_its_home():
    for name in prefect_responses.__all__:
        found = getattr(prefect_responses, name)
        if isinstance(found, type):
            assert getattr(sys.modules[found.__module__], name) is found


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'Responder'"):
        prefect_responses.Responder  # noqa: B018 - the access is the test


def test_the_version_is_the_distributions():
    assert prefect_responses.__version__ == version("prefect-responses")


def test_importing_the_package_loads_nothing_heavy():
    heavy = ["prefect", "sqlalchemy", "httpx", "aiohttp", "pydantic", "alembic", "rich", "fastapi"]
    code = (
        "import json, sys, prefect_responses, prefect_responses.errors;"
        f"print(json.dumps([n for n in {heavy!r} if n in sys.modules]))"
    )
    assert in_a_fresh_process(code) == []


def test_a_name_loads_only_what_it_needs():
    code = (
        "import json, sys; from prefect_responses import InDoubtMode, ResponsesError;"
        "print(json.dumps([n for n in ('prefect', 'sqlalchemy', 'httpx') if n in sys.modules]))"
    )
    assert in_a_fresh_process(code) == []


def test_prefect_finds_the_collection():
    (entry,) = entry_points(group="prefect.collections", name="prefect_responses")
    assert entry.load() is prefect_responses


def test_the_package_is_typed():
    assert Path(prefect_responses.__file__).with_name("py.typed").exists()
