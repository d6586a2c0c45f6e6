"""Read a text by plain rules: its document part, sentences, words, numbers, dates, keywords."""

from __future__ import annotations

import re
from collections import Counter
from functools import cached_property, lru_cache

from prefect_responses.emulator.models.vocabulary import STOP_WORDS, SUFFIXES

#: Everything after the last such line is the document; what stands before it is the instruction.
_MARKER = re.compile(
    r"^[ \t]*(?:-{3,}|={3,}|(?:text|document|input|content)[ \t]*:)[ \t]*",
    re.IGNORECASE | re.MULTILINE,
)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
_WORD = re.compile(r"[^\W\d_][\w'-]*")
_NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?![\w])")
_ISO_DATE = re.compile(r"\b(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2})?)Z?)?")
_LONG_DATE = re.compile(
    r"\b(?:(\d{1,2})\s+([A-Z][a-z]{2,8})|([A-Z][a-z]{2,8})\s+(\d{1,2})),?\s+(\d{4})\b"
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_SHORTEST_STEM = 4
_HIGHEST_DAY = 31
_BULLET = re.compile(r"^[ \t]*(?:[-*•]|\d+[.)])[ \t]+(\S.*)$", re.MULTILINE)


def document_of(text: str) -> str:
    """Return the document of a prompt: what follows its last marker line, or all of it."""
    markers = list(_MARKER.finditer(text))
    document = text[markers[-1].end() :].strip() if markers else ""
    return document or text.strip()


def sentences(text: str) -> list[str]:
    """Split a text at the ends of sentences and lines."""
    return [part.strip() for part in _SENTENCE_END.split(text) if part.strip()]


def words(text: str) -> list[str]:
    """List the words in lower case; `snake_case` and `camelCase` fall apart into words."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).replace("_", " ")
    return [word.lower() for word in _WORD.findall(apart)]


@lru_cache(maxsize=8192)
def stem(word: str) -> str:
    """Cut the usual ending off a word, so that `deprecation` and `deprecated` meet."""
    for suffix in SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= _SHORTEST_STEM:
            return word[: -len(suffix)]
    return word


def stems(text: str) -> Counter[str]:
    """Count the stems of the words that mean something."""
    return Counter(stem(word) for word in words(text) if word not in STOP_WORDS)


def keywords(text: str) -> list[str]:
    """List the words that mean something, the most frequent first, then in order of the text."""
    counted = Counter(
        word for word in words(text) if word not in STOP_WORDS and len(word) >= _SHORTEST_STEM
    )
    return [word for word, _ in counted.most_common()]


def numbers(text: str) -> list[float]:
    """List the numbers of a text."""
    return [float(found.replace(",", "")) for found in _NUMBER.findall(text)]


def dates(text: str) -> list[str]:
    """List the dates of a text as `YYYY-MM-DD`, in the order of the text."""
    found = [(match.start(), match[0][:10]) for match in _ISO_DATE.finditer(text)]
    for match in _LONG_DATE.finditer(text):
        month = (match[2] or match[3]).lower()[:3]
        day = int(match[1] or match[4])
        if month in _MONTHS and 1 <= day <= _HIGHEST_DAY:
            iso = f"{match[5]}-{_MONTHS.index(month) + 1:02d}-{day:02d}"
            found.append((match.start(), iso))
    return [date for _, date in sorted(found)]


def labelled(text: str, name: str) -> str | None:
    """Return what stands behind `name:` in a line of its own, as in `Author: Jane Roe`."""
    label = r"[\s_-]+".join(map(re.escape, words(name)))
    if not label:
        return None
    match = re.search(
        rf"^[ \t>*-]*{label}[ \t]*[:=][ \t]*(\S.*)$", text, re.IGNORECASE | re.MULTILINE
    )
    return match[1].strip() if match else None


class Document:
    """One text, with everything that is read from it more than once."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def sentences(self) -> list[str]:
        """The sentences."""
        return sentences(self.text)

    @cached_property
    def stems(self) -> Counter[str]:
        """The stems and how often they occur."""
        return stems(self.text)

    @cached_property
    def keywords(self) -> list[str]:
        """The keywords, the most frequent first."""
        return keywords(self.text)

    @cached_property
    def numbers(self) -> list[float]:
        """The numbers."""
        return numbers(self.text)

    @cached_property
    def dates(self) -> list[str]:
        """The dates."""
        return dates(self.text)

    @cached_property
    def bullets(self) -> list[str]:
        """The lines that are list items, without their bullets."""
        return [line.strip() for line in _BULLET.findall(self.text)]

    def opening(self, count: int) -> str:
        """Join the first sentences."""
        return " ".join(self.sentences[:count])

    def sentence_about(self, topic: Counter[str]) -> str | None:
        """Return the first sentence that says most of the topic's words."""
        best, most = None, 0
        for sentence in self.sentences:
            said = len(topic.keys() & stems(sentence).keys())
            if said > most:
                best, most = sentence, said
        return best
