"""The house rules that a machine can hold: sizes, names, doors, and the public surface."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from statistics import median, quantiles

import pytest

import prefect_responses

PACKAGE = Path(prefect_responses.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef

LONGEST_FILE = 400
LONGEST_FUNCTION = 60
MEDIAN_FUNCTION = 7
NINE_IN_TEN_FUNCTIONS = 25
FORBIDDEN_NAMES = {"utils", "helpers", "common", "base", "manager", "misc"}
#: The one file that may read what Prefect does not publish.
PRIVATE_DOOR = PACKAGE / "host" / "prefect_internals.py"


def name_of(module: Path) -> str:
    return str(module.relative_to(PACKAGE))


def tree_of(module: Path) -> ast.Module:
    return ast.parse(module.read_text())


def functions_of(module: Path) -> list[FUNCTION]:
    return [node for node in ast.walk(tree_of(module)) if isinstance(node, FUNCTION)]


def length_of(function: FUNCTION) -> int:
    """Count the lines of a function without its docstring and its decorators."""
    length = (function.end_lineno or 0) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is None:
        return length
    return length - ((first.end_lineno or 0) - first.lineno + 1)


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_no_file_is_too_long_to_read_at_once(module):
    assert len(module.read_text().splitlines()) <= LONGEST_FILE


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_no_function_is_too_long(module):
    lengths = {function.name: length_of(function) for function in functions_of(module)}

    assert {name: n for name, n in lengths.items() if n > LONGEST_FUNCTION} == {}


def test_most_functions_are_short():
    lengths = [length_of(function) for module in MODULES for function in functions_of(module)]

    assert median(lengths) <= MEDIAN_FUNCTION
    assert quantiles(lengths, n=10)[-1] <= NINE_IN_TEN_FUNCTIONS


def test_no_module_is_named_for_nothing():
    names = {
        part for module in MODULES for part in module.relative_to(PACKAGE).with_suffix("").parts
    }

    assert names & FORBIDDEN_NAMES == set()


def test_every_module_says_what_it_is_for():
    silent = [name_of(module) for module in MODULES if not ast.get_docstring(tree_of(module))]

    assert silent == []


# --- what is Prefect's own ------------------------------------------------------------------------


def imports_of(module: Path) -> set[str]:
    """Return every dotted name that a module imports."""
    found: set[str] = set()
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_nothing_private_of_prefect_is_imported(module):
    private = re.compile(r"prefect(\.\w+)*\._(?!_)")

    assert [name for name in imports_of(module) if private.match(name)] == []


#: Underscores that modules which know Prefect read of objects other than themselves.
KNOWN = {
    "_credentials",  # our own, of a handle that is being made
    "_ledger",  # likewise
}
KNOWN_OF_PREFECT = {"_token", "_block_document_name"}


@pytest.mark.parametrize(
    "module",
    [module for module in MODULES if any(n.startswith("prefect.") for n in imports_of(module))],
    ids=name_of,
)
def test_private_attributes_of_prefect_are_read_behind_one_door(module):
    read = {
        node.attr
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.Attribute)
        and re.match(r"_[a-z]", node.attr)
        and not (isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"})
    }

    assert read - KNOWN == (KNOWN_OF_PREFECT if module == PRIVATE_DOOR else set())


# --- the public surface ---------------------------------------------------------------------------


def test_the_public_names_are_these():
    assert prefect_responses.__all__ == [
        "AwaitBackgroundResponse",
        "AwaitMode",
        "Budget",
        "BudgetStopped",
        "CancelOnTimeout",
        "CreateResponse",
        "CsvSink",
        "CsvSource",
        "EnrichReport",
        "InDoubtMode",
        "JsonlSink",
        "JsonlSource",
        "ModelPriceList",
        "ModelPrices",
        "OnChange",
        "ParquetSink",
        "ParquetSource",
        "Piece",
        "Preview",
        "Prompt",
        "RateLimits",
        "ResponseLedger",
        "ResponseResult",
        "ResponseRun",
        "ResponsesCredentials",
        "ResponsesError",
        "Restarted",
        "SqlSink",
        "SqlSource",
        "StreamEvent",
        "aawait_background_response",
        "acancel_on_timeout",
        "acreate_response",
        "aenrich",
        "akept_text",
        "arespond",
        "attach_hooks",
        "await_background_response",
        "cancel_on_timeout",
        "create_response",
        "durable_flow",
        "enrich",
        "follow",
        "kept_text",
        "respond",
        "worth_retrying",
    ]


def test_importing_the_package_loads_nothing_heavy():
    heavy = {"prefect", "sqlalchemy", "httpx", "pydantic", "fastapi", "rich"}
    code = f"import sys, prefect_responses; print({heavy} & set(sys.modules))"

    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert result.stdout.strip() == "set()"
