"""The tree of failures: drawn as it is, picklable, and of use to whoever reads a message."""

from __future__ import annotations

import ast
import inspect
import pickle
import re
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import pytest

import prefect_responses
from prefect_responses import errors, job_errors
from prefect_responses.errors import (
    AnswerAmbiguous,
    ApiError,
    CredentialsRefused,
    LedgerLocked,
    QuotaExhausted,
    RequestChanged,
    RequestRefused,
    ResponseFailed,
    ResponsesError,
    ResponseUnrecorded,
    SubmissionInDoubt,
)
from prefect_responses.job_errors import AccountFull, BudgetStopped

PACKAGE = Path(prefect_responses.__file__).parent


def import_everything():
    for module in walk_packages([str(PACKAGE)], "prefect_responses."):
        parts = module.name.split(".")
        if "migrations" not in parts and "__main__" not in parts:
            import_module(module.name)


def descendants(kind):
    for child in kind.__subclasses__():
        yield child
        yield from descendants(child)


import_everything()
TREE = sorted({ResponsesError, *descendants(ResponsesError)}, key=lambda kind: kind.__name__)
#: The modules that draw the tree: the trunk, and the branch of row jobs.
DRAWN = (errors, job_errors)
drawn_in = pytest.mark.parametrize("module", DRAWN, ids=lambda module: module.__name__)


def kinds_of(module):
    return [kind for kind in TREE if kind.__module__ == module.__name__]


#: Facts of the classes that cannot be made from a message alone.
MADE = {
    RequestChanged: lambda kind: kind("summary", ("$.input", "$.model")),
    SubmissionInDoubt: lambda kind: kind("01J"),
    ResponseUnrecorded: lambda kind: kind("01J", "resp_1"),
    AccountFull: lambda kind: kind("job:reviews", "max_in_flight"),
    BudgetStopped: lambda kind: kind("job:reviews", "max_usd"),
}


def make(kind):
    if kind in MADE:
        return MADE[kind](kind)
    if issubclass(kind, ApiError):
        return kind(
            "Slow down.",
            status=429,
            type="tokens",
            code="rate_limit_exceeded",
            param="input",
            server_request_id="req_1",
            client_request_id="01J-1",
            retry_after=1.5,
        )
    if issubclass(kind, errors.ResponseUnsuccessful):
        return kind("It failed.", response_id="resp_1", attempt_id="01J", code="server_error")
    return kind("What happened, and what to do.")


ids = {"ids": lambda kind: kind.__name__}


@pytest.mark.parametrize("kind", TREE, **ids)
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_an_error_survives_a_pickle_with_its_facts(kind, protocol):
    error = make(kind)
    again = pickle.loads(pickle.dumps(error, protocol))  # noqa: S301 - our own

    assert type(again) is kind
    assert str(again) == str(error)
    assert again.args == error.args
    assert vars(again) == vars(error)


@pytest.mark.parametrize("kind", TREE, **ids)
def test_an_error_can_be_pickled_without_facts_too(kind):
    error = MADE[kind](kind) if kind in MADE else kind()
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301 - our own


def test_a_note_survives_a_pickle():
    error = CredentialsRefused("No.", status=401)
    error.add_note("while submitting row 7")
    assert pickle.loads(pickle.dumps(error)).__notes__ == error.__notes__  # noqa: S301 - our own


def drawn_tree(module):
    """Read the picture in the docstring as (depth, name) pairs."""
    for line in inspect.getdoc(module).splitlines():
        found = re.match(r"^((?:│   |    )*)(?:[├└]── )?([A-Z][A-Za-z]+)( |$)", line)
        branch = re.match(r"^((?:│   |    )*)[├└]── ", line)
        if found and (branch or found[2] == "ResponsesError"):
            yield (len(found[1]) // 4 + bool(branch), found[2])


@drawn_in
def test_the_drawn_tree_is_the_real_tree(module):
    parents: list[str] = []
    drawn = {}
    for depth, name in drawn_tree(module):
        del parents[depth:]
        drawn[name] = parents[-1] if parents else None
        parents.append(name)

    real = {
        kind.__name__: next((b.__name__ for b in kind.__bases__ if b in TREE), None)
        for kind in kinds_of(module)
    }
    foreign = drawn.keys() - real.keys()
    assert {name: parent for name, parent in drawn.items() if name not in foreign} == real
    assert all(getattr(errors, name) in TREE for name in foreign)


@drawn_in
def test_the_picture_says_which_errors_are_retryable(module):
    doc = inspect.getdoc(module)
    drawn = set(re.findall(r"([A-Z]\w+)\s+retryable", doc))
    assert drawn == {kind.__name__ for kind in kinds_of(module) if kind.retryable}


@drawn_in
def test_classes_are_defined_in_the_order_in_which_they_are_drawn(module):
    lines = {kind.__name__: inspect.getsourcelines(kind)[1] for kind in kinds_of(module)}
    drawn = [name for _, name in drawn_tree(module) if name in lines]
    assert sorted(lines, key=lines.__getitem__) == drawn


RETRYABLE = {
    "AccountFull",
    "AnswerUnreadable",
    "EndpointUnreachable",
    "LedgerLocked",
    "LedgerUnavailable",
    "OwnerLost",
    "PrefectUnavailable",
    "RefusedForNow",
    "TableUnavailable",
}


@pytest.mark.parametrize("kind", TREE, **ids)
def test_whether_the_same_call_may_succeed_when_repeated(kind):
    assert kind.retryable is (kind.__name__ in RETRYABLE)


@pytest.mark.parametrize("kind", TREE, **ids)
def test_the_default_message_is_a_whole_sentence(kind):
    message = str(make(kind) if kind in MADE else kind())
    assert message[0].isupper() or message.startswith("prefect-responses")
    assert message.endswith((".", "--not-created`.", "`."))
    assert "\n" not in message
    assert "  " not in message


#: Where a person has to do something, the default message says what.
REPAIRS = {
    "BudgetStopped": "raise it",
    "CredentialsMissing": "OPENAI_API_KEY",
    "JobChanged": "on_change",
    "PriceMissing": "add it",
    "ResultRefused": "run the job again",
    "EndpointInvalid": "https",
    "KeyRequired": "scope= and key=",
    "RequestChanged": "on_change",
    "EndpointUnreachable": "check the base URL",
    "CredentialsRefused": "check the key",
    "QuotaExhausted": "run again",
    "SubmissionInDoubt": "prefect-responses resolve",
    "ResponseFailed": "retry the flow run",
    "ResponseCancelled": "retry the flow run",
    "LedgerUnavailable": "check its URL",
    "LedgerLocked": "try again",
    "ResponseUnrecorded": "prefect-responses resolve",
    "LedgerNewer": "newer prefect-responses",
    "LedgerInconsistent": "report it",
    "OwnerLost": "run again",
}


@pytest.mark.parametrize(("name", "repair"), list(REPAIRS.items()))
def test_a_message_says_what_to_do(name, repair):
    kind = getattr(errors, name, None) or getattr(job_errors, name)
    assert repair in str(MADE[kind](kind) if kind in MADE else kind())


def test_every_error_is_raised_somewhere():
    abstract = {
        "ResponsesError",
        "ApiError",
        "Parked",
        "LedgerError",
        "ResponseUnsuccessful",
    }
    made = set()
    for path in PACKAGE.rglob("*.py"):
        if path.name != "errors.py":
            made |= set(made_in(ast.parse(path.read_text())))
    assert {kind.__name__ for kind in TREE} - abstract <= made


def made_in(tree):
    """Yield the names that are raised, called, or handed to a function: not those only caught."""
    for node in ast.walk(tree):
        match node:
            case ast.Raise(exc=ast.Name(name)) | ast.Return(value=ast.Name(name)):
                yield name
            case ast.IfExp(body=ast.Name(name)):
                yield name
            case ast.Call(func=func, args=args):
                yield from (one.id for one in (func, *args) if isinstance(one, ast.Name))


# --- what the ledger keeps of an error ------------------------------------------------------------

API_ERRORS = [kind for kind in TREE if issubclass(kind, ApiError)]


@pytest.mark.parametrize("kind", API_ERRORS, **ids)
def test_a_record_holds_the_facts_and_makes_the_error_again(kind):
    error = make(kind)
    record = error.as_record()
    again = kind.from_record(record)

    assert record["error"] == kind.__name__
    assert (str(again), vars(again)) == (str(error), vars(error))


def test_a_record_leaves_out_what_is_not_known():
    assert RequestRefused("No.").as_record() == {"error": "RequestRefused", "message": "No."}


def test_a_record_holds_nothing_but_the_named_facts():
    error = AnswerAmbiguous("It broke off.", status=502)
    error.add_note("Bearer sk-secret")
    error.request = {"authorization": "Bearer sk-secret"}
    assert "sk-secret" not in str(error.as_record())


def test_a_record_of_a_newer_version_can_be_read():
    record = {"error": "RequestRefused", "message": "No.", "status": 400, "severity": "high"}
    again = RequestRefused.from_record(record)
    assert (str(again), again.status, hasattr(again, "severity")) == ("No.", 400, False)


def test_an_empty_record_is_the_default_message():
    assert str(RequestRefused.from_record({})) == str(RequestRefused())


# --- kinds that users catch together --------------------------------------------------------------


def test_invalid_requests_are_value_errors():
    invalid = [kind for kind in TREE if issubclass(kind, errors.RequestInvalid)]
    assert all(issubclass(kind, ValueError) for kind in invalid)
    assert not any(kind.retryable for kind in invalid)


def test_parked_errors_are_caught_together():
    assert issubclass(QuotaExhausted, errors.Parked)
    assert issubclass(CredentialsRefused, errors.Parked)


def test_facts_are_attributes():
    failed = ResponseFailed("x", response_id="resp_1", attempt_id="01J", code="server_error")
    assert (failed.response_id, failed.attempt_id, failed.code) == (
        "resp_1",
        "01J",
        "server_error",
    )
    assert LedgerLocked("x").args == ("x",)
