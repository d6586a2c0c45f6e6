"""Read one string, number, boolean or label from a document, within the limits of its schema."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prefect_responses.emulator.models.text_reading import labelled, numbers, stems, words
from prefect_responses.emulator.models.vocabulary import (
    CATCH_ALL,
    GENERIC_NAMES,
    LONG_NAMES,
    SHORT_NAMES,
    SYNONYMS,
)

if TYPE_CHECKING:
    from collections import Counter

    from prefect_responses.emulator.models.text_reading import Document

_NAME_WEIGHT = 3
_YEARS = range(1900, 2101)
_MEANING = r"\s*['\"]?\s*(?:[:=(\u2013-]|if\b|when\b|means\b|for\b)\s*([^;\n.)]*)"

#: How a formatted string is found in a text, and what stands in where the text has none.
_FORMATS: dict[str, tuple[str, str]] = {
    "date": (r"\d{4}-\d{2}-\d{2}", "1970-01-01"),
    "date-time": (r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z", "1970-01-01T00:00:00Z"),
    "time": (r"\d{2}:\d{2}:\d{2}Z", "00:00:00Z"),
    "duration": (r"\bP(?:\d+D|T\d+[HMS])\b", "PT0S"),
    "email": (r"[\w.+-]+@[\w-]+\.[\w.]*\w", "nobody@example.com"),
    "hostname": (r"\b(?:[a-z\d-]+\.)+[a-z]{2,}\b", "example.com"),
    "uri": (r"https?://[^\s)>\"']+", "https://example.com/"),
    "ipv4": (r"\b(?:\d{1,3}\.){3}\d{1,3}\b", "127.0.0.1"),
    "ipv6": (r"\b(?:[\da-f]{1,4}:){7}[\da-f]{1,4}\b", "::1"),
    "uuid": (
        r"\b[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}\b",
        "00000000-0000-0000-0000-000000000000",
    ),
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for: the schema node and the name of its property."""

    node: dict[str, Any]
    name: str

    @property
    def description(self) -> str:
        """What the schema says about it."""
        return str(self.node.get("description") or "")

    def topic(self) -> Counter[str]:
        """The words that the property is about."""
        return stems(" ".join(word for word in words(self.name) if word not in GENERIC_NAMES))


@dataclass(frozen=True, slots=True)
class Reading:
    """A value that fits the schema, and whether the text really says it."""

    value: Any
    evident: bool


def read_string(asked: Asked, document: Document) -> Reading:
    """Read a string: by its format, its label, its usual meaning, or the sentence about it."""
    if asked.node.get("format") in _FORMATS:
        return _formatted(asked, document)
    if "pattern" in asked.node:
        return _patterned(asked, document)
    found = labelled(document.text, asked.name) or _by_meaning(asked, document)
    text = found or document.sentence_about(asked.topic())
    return Reading(fit_string(text or document.opening(1), asked.node), bool(text))


def _by_meaning(asked: Asked, document: Document) -> str | None:
    last = (words(asked.name) or [""])[-1]
    if last in LONG_NAMES:
        return document.opening(2)
    if last in SHORT_NAMES:
        return document.opening(1)
    if last in {"date", "day", "deadline"} and document.dates:
        return document.dates[0]
    return None


def _formatted(asked: Asked, document: Document) -> Reading:
    pattern, fallback = _FORMATS[asked.node["format"]]
    match = re.search(pattern, document.text, re.IGNORECASE)
    found = match[0] if match else None
    if asked.node["format"] in {"date", "date-time"} and document.dates and not found:
        found = document.dates[0] + ("T00:00:00Z" if "time" in asked.node["format"] else "")
    return Reading(found or fallback, found is not None)


def _patterned(asked: Asked, document: Document) -> Reading:
    """Find a text of the pattern; where there is none, a plain one that matches has to do.

    A pattern that nothing of this matches is left unfulfilled: the one rule that is not kept.
    """
    pattern = re.compile(asked.node["pattern"])
    candidates = (document.text, *document.text.split(), *document.keywords)
    found = next((text for text in candidates if pattern.search(text)), None)
    plain = next((text for text in ("", "a", "A", "0", "unknown") if pattern.search(text)), "")
    return Reading(fit_string(found, asked.node) if found else plain, found is not None)


def fit_string(text: str, node: dict[str, Any]) -> str:
    """Cut a text at a word's end, or lengthen it, until it has an allowed length."""
    longest, shortest = node.get("maxLength"), node.get("minLength", 0)
    if longest is not None and len(text) > longest:
        cut = text[: longest + 1].rpartition(" ")[0].strip()
        text = cut if len(cut) >= max(shortest, 1) else text[:longest]
    while len(text) < shortest:
        text = (text + " " + text if text.strip() else "unknown " * 2)[:shortest]
    return text


def read_number(asked: Asked, document: Document) -> Reading:
    """Read a number: behind its label, in the sentence about it, or the first in the text."""
    label = labelled(document.text, asked.name) or document.sentence_about(asked.topic())
    said = numbers(label or "") or _years(asked, document)
    anywhere = said or document.numbers or [0.0]
    return Reading(fit_number(anywhere[0], asked.node), bool(said))


def _years(asked: Asked, document: Document) -> list[float]:
    asks = "year" in words(asked.name)
    return [number for number in document.numbers if number in _YEARS] if asks else []


def fit_number(number: float, node: dict[str, Any]) -> int | float:
    """Move a number into its bounds and onto its multiples."""
    low, high = _bounds(node)
    whole = node.get("type") == "integer"
    step = node.get("multipleOf") or (1 if whole else None)
    number = min(max(number, low), high)
    if step is None:
        return number
    steps = round(number / step)
    if steps * step < low:
        steps = math.ceil(low / step)
        steps += steps * step < low  # the division may have rounded the bound away
    if steps * step > high:
        steps = math.floor(high / step)
        steps -= steps * step > high
    return int(steps * step) if whole else steps * step


def _bounds(node: dict[str, Any]) -> tuple[float, float]:
    low, high = node.get("minimum", -math.inf), node.get("maximum", math.inf)
    after, before = node.get("exclusiveMinimum"), node.get("exclusiveMaximum")
    whole = node.get("type") == "integer"
    if after is not None:
        low = max(low, math.floor(after) + 1 if whole else math.nextafter(after, math.inf))
    if before is not None:
        high = min(high, math.ceil(before) - 1 if whole else math.nextafter(before, -math.inf))
    return low, high


def read_boolean(asked: Asked, document: Document) -> Reading:
    """Say whether the text has all words of the property's name, or else of its description."""
    topic = asked.topic() or stems(asked.description)
    said = bool(topic) and topic.keys() <= document.stems.keys()
    return Reading(said, said)


def read_label(asked: Asked, document: Document) -> Reading:
    """Choose the label that the text speaks of most; the first one of those that tie."""
    labels = asked.node["enum"]
    scores = [score_label(label, asked, document) for label in labels]
    if max(scores) > 0:
        return Reading(labels[scores.index(max(scores))], evident=True)
    catch_all = (label for label in labels if str(label).lower() in CATCH_ALL)
    return Reading(next(catch_all, labels[0]), evident=False)


def score_label(label: Any, asked: Asked, document: Document) -> int:
    """Weigh how much a text speaks of a label: its own words count most."""
    if isinstance(label, bool) or label is None:
        return 0
    if isinstance(label, int | float):
        return int(float(label) in document.numbers)
    own = stems(label)
    related = stems(_words_for(label, asked.description)) - own
    named = sum(document.stems[word] for word in own)
    return _NAME_WEIGHT * named + sum(document.stems[word] for word in related)


def _words_for(label: str, description: str) -> str:
    known = " ".join(SYNONYMS.get(word, "") for word in words(label))
    if not description:
        return known
    meaning = re.search(rf"\b{re.escape(label)}\b{_MEANING}", description, re.IGNORECASE)
    return f"{known} {meaning[1]}" if meaning else known
