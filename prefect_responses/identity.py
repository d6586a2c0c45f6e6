"""Names that outlive a process: digests, keys, task names. Changing one here pays for work twice.

Golden files in the tests hold every value literally.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from prefect_responses.errors import RequestInvalid

if TYPE_CHECKING:
    from prefect_responses.attempt import Endpoint

#: Tag of the digest's recipe. A new recipe gets a new tag; old digests stay valid under theirs.
DIGEST_VERSION: Final = "r1"

#: The metadata key that the API carries for us, so that a response can be matched to its attempt.
METADATA_KEY: Final = "prefect_responses_key"

#: What the scopes of jobs begin with.
_OF_JOBS = "job:"
#: The flow-run input that says which ledger a scope began with.
LEDGER_INPUT_KEY: Final = "prefect-responses-ledger"
#: The flow-run input that says under which block name that ledger is found, if under one.
LEDGER_BLOCK_INPUT_KEY: Final = "prefect-responses-ledger-block"

TASK_CREATE: Final = "create_response"
TASK_AWAIT: Final = "await_background_response"
TASK_RESPOND: Final = "respond"
TASK_SHARD: Final = "enrich_shard"
TASK_CANCEL_ON_TIMEOUT: Final = "cancel_on_timeout"

#: How an answer is delivered, not what is asked: these never change what a request is.
_DELIVERY_FIELDS: Final = frozenset({"background", "stream", "stream_options", "store"})
_SAFE_INTEGER: Final = 2**53
#: What the client can write; a digest of something that cannot be sent would be worthless.
_LEAST_INTEGER: Final = -(2**63)
_LARGEST_INTEGER: Final = 2**64 - 1

_MISSING: Final = object()


def canonical_json(value: Any) -> bytes:
    """Write *value* as JSON in the one form that digests are taken of.

    Keys are sorted, no white space, UTF-8, integral floats as integers (RFC 8785's spirit).

    Raises:
        RequestInvalid: the value is not JSON (NaN, bytes, an object, a key that is no text).
    """
    try:
        return json.dumps(
            _plain(value, "$"), sort_keys=True, separators=(",", ":"), ensure_ascii=False
        ).encode()
    except UnicodeEncodeError as error:
        raise RequestInvalid(
            "The text holds half a character (a lone surrogate), which UTF-8 cannot say; "
            "decode it properly first."
        ) from error
    except RecursionError as error:
        raise RequestInvalid("The value is nested too deeply, or holds itself.") from error


def _plain(value: Any, path: str) -> Any:
    match value:
        case None | bool() | str():
            return value
        case int():
            return _integer(value, path)
        case float():
            return _number(value, path)
        case Mapping():
            return {_field(key, path): _plain(item, f"{path}.{key}") for key, item in value.items()}
        case Sequence() if not isinstance(value, bytes | bytearray | memoryview):
            return [_plain(item, f"{path}[{index}]") for index, item in enumerate(value)]
        case _:
            raise RequestInvalid(
                f"{path} is a {type(value).__name__}, which JSON cannot say; "
                "convert it to text, numbers, lists or mappings first."
            )


def _integer(value: int, path: str) -> int:
    if not _LEAST_INTEGER <= value <= _LARGEST_INTEGER:
        raise RequestInvalid(f"{path} is beyond 64 bits; write it as text.")
    return value


def _number(value: float, path: str) -> float | int:
    if not math.isfinite(value):
        raise RequestInvalid(f"{path} is {value}, which JSON cannot say.")
    return int(value) if value.is_integer() and abs(value) < _SAFE_INTEGER else value


def _field(key: Any, path: str) -> str:
    if not isinstance(key, str):
        raise RequestInvalid(f"{path} has the key {key!r}; JSON keys are text.")
    return key


def what_is_asked(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return *request* without the fields that say only how its answer is delivered."""
    asked = {
        name: value
        for name, value in request.items()
        if name not in _DELIVERY_FIELDS and value is not None
    }
    if isinstance(metadata := asked.get("metadata"), Mapping):
        asked["metadata"] = {key: text for key, text in metadata.items() if key != METADATA_KEY}
        if not asked["metadata"]:
            del asked["metadata"]
    return asked


def request_digest(
    request: Mapping[str, Any], endpoint: Endpoint, *, version: str | None = None
) -> str:
    """Return the digest that tells whether two requests ask for the same thing.

    Args:
        request: the request as the caller gave it.
        endpoint: where it goes; another account is another answer.
        version: a prompt version, for rows of a job.

    Returns:
        `r1:sha256:` and 64 hexadecimal digits.

    Raises:
        RequestInvalid: the request is not JSON.
    """
    parts = digest_parts(request, endpoint, version=version)
    return f"{DIGEST_VERSION}:sha256:{hashlib.sha256(canonical_json(parts)).hexdigest()}"


def digest_parts(
    request: Mapping[str, Any], endpoint: Endpoint, *, version: str | None = None
) -> dict[str, Any]:
    """Return what `request_digest` takes the digest of."""
    parts: dict[str, Any] = {
        "base_url": endpoint.base_url,
        "organization": endpoint.organization,
        "project": endpoint.project,
        "request": what_is_asked(request),
    }
    if version is not None:
        parts["version"] = version
    return parts


def changed_paths(before: Any, after: Any, path: str = "$") -> tuple[str, ...]:
    """Return the JSON paths at which two requests differ, in order, without their values."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        names = sorted(set(before) | set(after))
        return tuple(
            changed
            for name in names
            for changed in changed_paths(
                before.get(name, _MISSING), after.get(name, _MISSING), f"{path}.{name}"
            )
        )
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return tuple(
            changed
            for index, pair in enumerate(zip(before, after, strict=True))
            for changed in changed_paths(*pair, f"{path}[{index}]")
        )
    return () if before == after else (path,)


def request_name(digest: str) -> str:
    """Name a call that is told apart by its request alone."""
    return f"request:{digest}"


def sample_name(digest: str) -> str:
    """Name a call that is one of several wanted samples of the same request."""
    return f"sample:{digest}"


def key_name(key: str) -> str:
    """Name a call by the user's key.

    Raises:
        RequestInvalid: the key is empty.
    """
    if not key:
        raise RequestInvalid("key= is empty; give a text that finds this response again.")
    return f"key:{key}"


def row_name(key: str) -> str:
    """Name a call by its row key within a job."""
    return f"row:{key}"


def job_scope(job: str) -> str:
    """Name the scope of a job, the same in every run of it."""
    return f"{_OF_JOBS}{job}"


def is_of_job(scope: str) -> bool:
    """Tell whether a scope is that of a job."""
    return scope.startswith(_OF_JOBS)


def flow_run_scope(flow_run_id: str) -> str:
    """Name the scope of a flow run."""
    return f"flow-run:{flow_run_id}"


def named_scope(scope: str) -> str:
    """Name a scope that the user chose."""
    return f"scope:{scope}"
