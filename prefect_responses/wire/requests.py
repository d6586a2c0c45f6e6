"""Form the request that is sent from the request that was given."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prefect_responses.errors import OptionUnknown, RequestInvalid
from prefect_responses.identity import METADATA_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from prefect_responses.wire.responses import Response

#: Fields of `POST /responses` (API reference, Create).
REQUEST_FIELDS = frozenset(
    {
        "access_programs",
        "background",
        "context_management",
        "conversation",
        "image",
        "include",
        "input",
        "instructions",
        "max_output_tokens",
        "max_tool_calls",
        "metadata",
        "model",
        "moderation",
        "parallel_tool_calls",
        "previous_response_id",
        "prompt",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning",
        "safety_identifier",
        "service_tier",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "text",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "truncation",
        "user",
    }
)

_MOST_METADATA = 16
_LONGEST_METADATA_NAME = 64
_LONGEST_METADATA_VALUE = 512

_DAY = 86_400.0
#: Seconds that a stored response is kept at least (API reference, Retention).
STORED_FOR = 30 * _DAY
#: Seconds that an unstored background response can be polled.
UNSTORED_FOR = 600.0


@dataclass(frozen=True, slots=True)
class ProviderProfile:
    """Say what a server takes beside the request itself.

    Args:
        send_background: ask for background work; off for servers that refuse the field.
        send_store: say `store` explicitly; off for servers that refuse it.
        send_metadata: send the attempt's key as metadata.
    """

    send_background: bool = True
    send_store: bool = True
    send_metadata: bool = True


OPENAI = ProviderProfile()


def check_options(names: Iterable[str], beside: Iterable[str] = ()) -> None:
    """Refuse names that are no fields of a create request.

    Args:
        names: the option names that were given.
        beside: names that the caller takes itself, which may have been meant.

    Raises:
        OptionUnknown: the API has no such field; the message offers what may have been meant.
    """
    unknown = sorted(set(names) - REQUEST_FIELDS)
    if unknown:
        words = REQUEST_FIELDS.union(beside)
        raise OptionUnknown(" ".join(_unknown_sentence(name, words) for name in unknown))


def _unknown_sentence(name: str, words: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, sorted(words), n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(repr(word) for word in near)}?" if near else "leave it out."
    return f"The API has no request field {name!r}: {hint}"


def outgoing(
    request: Mapping[str, Any], *, key: str, profile: ProviderProfile = OPENAI
) -> dict[str, Any]:
    """Return the body to send: what was given, and what makes it durable.

    Fields that are None are left out, since some servers refuse an explicit null. `background` and
    `store` are sent as true unless the caller said otherwise: data-control settings may delete a
    background response after ten minutes when `store` was not explicit (API reference, Background).

    Args:
        request: the fields that the caller gave.
        key: the attempt's key, sent as metadata.
        profile: what the server takes.

    Raises:
        OptionUnknown: a field that the API does not have.
        RequestInvalid: the stream that was asked for would not survive its connection, or the
            metadata is more than the API takes.
    """
    check_options(request)
    given = {name: value for name, value in request.items() if value is not None}
    defaults = {"background": profile.send_background, "store": profile.send_store}
    sent = {name: True for name, wanted in defaults.items() if wanted} | given
    _check_stream(sent)
    metadata = _metadata(given.get("metadata", {}), key if profile.send_metadata else None)
    return sent | {"metadata": metadata} if metadata else sent


def without_stream(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body that asks for the same response without its events."""
    return {name: value for name, value in body.items() if name not in _OF_STREAMS}


_OF_STREAMS = frozenset({"stream", "stream_options"})


def _check_stream(sent: Mapping[str, Any]) -> None:
    if sent.get("stream") and not sent.get("background"):
        raise RequestInvalid(
            "A stream that is not in the background dies with its connection, and is paid for: "
            "leave `stream` or `background=False` out."
        )


def _metadata(given: object, key: str | None) -> dict[str, str]:
    if not isinstance(given, dict):
        raise RequestInvalid("`metadata` takes a dict of texts.")
    if METADATA_KEY in given:
        raise RequestInvalid(f"The metadata name {METADATA_KEY!r} is taken: choose another.")
    pairs = given if key is None else {**given, METADATA_KEY: key}
    if len(pairs) > _MOST_METADATA:
        raise RequestInvalid(
            f"The API takes {_MOST_METADATA} pairs of metadata, and one is ours: remove "
            f"{len(pairs) - _MOST_METADATA}."
        )
    for name, value in pairs.items():
        _check_pair(name, value)
    return pairs


def _check_pair(name: object, value: object) -> None:
    if not isinstance(name, str) or not isinstance(value, str):
        raise RequestInvalid(f"The metadata {name!r} is no pair of texts: convert its value.")
    if len(name) > _LONGEST_METADATA_NAME or len(value) > _LONGEST_METADATA_VALUE:
        raise RequestInvalid(
            f"The metadata {name[:_LONGEST_METADATA_NAME]!r} is too long: a name takes "
            f"{_LONGEST_METADATA_NAME} characters, a value {_LONGEST_METADATA_VALUE}."
        )


def expires_at(request: Mapping[str, Any], accepted_at: float, response: Response | None) -> float:
    """Return until when the API keeps a response at least, in seconds since the epoch.

    The response's own `store` wins: projects without data retention force it to false. A request
    that says nothing is stored.

    Args:
        request: the request that was sent.
        accepted_at: when it was accepted, in seconds since the epoch.
        response: the accepted response, if it was read.
    """
    echoed = None if response is None else response.store
    stored = echoed if echoed is not None else request.get("store") is not False
    return accepted_at + (STORED_FOR if stored else UNSTORED_FOR)
