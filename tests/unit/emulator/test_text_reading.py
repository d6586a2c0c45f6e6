"""Texts are read by plain rules."""

from __future__ import annotations

import pytest

from prefect_responses.emulator.models import text_reading


@pytest.mark.parametrize(
    ("prompt", "document"),
    [
        ("Only this.", "Only this."),
        ("Do that.\n---\nThe text.", "The text."),
        ("Do that.\nText: The text.\nAnd more.", "The text.\nAnd more."),
        ("Do that.\ndocument:\nThe text.", "The text."),
        ("Before.\n---\n", "Before.\n---"),
        ("In a sentence, text: stays.", "In a sentence, text: stays."),
    ],
)
def test_the_document_follows_the_last_marker(prompt: str, document: str) -> None:
    assert text_reading.document_of(prompt) == document


def test_sentences_end_at_stops_and_lines() -> None:
    assert text_reading.sentences("One. Two!\nThree 3.5 times") == [
        "One.",
        "Two!",
        "Three 3.5 times",
    ]


def test_names_fall_apart_into_words() -> None:
    assert text_reading.words("mentions_breakingChange") == ["mentions", "breaking", "change"]


@pytest.mark.parametrize(
    "word", ["deprecation", "deprecated", "deprecates", "deprecating", "deprecate", "deprecations"]
)
def test_forms_of_a_word_share_a_stem(word: str) -> None:
    assert text_reading.stem(word) == "deprec"


def test_numbers_and_dates_are_found() -> None:
    text = "Paid 1,250.50 on March 3, 2024, again on 2025-01-31, -4 left, v2 of x7."

    assert text_reading.numbers(text)[0] == 1250.5
    assert -4 in text_reading.numbers(text)
    assert 7 not in text_reading.numbers(text)
    assert text_reading.dates(text) == ["2024-03-03", "2025-01-31"]


def test_labels_are_read() -> None:
    assert text_reading.labelled("Title: A\n- Due date = tomorrow", "due_date") == "tomorrow"
    assert text_reading.labelled("Nothing here", "due_date") is None


def test_keywords_come_by_frequency_then_order() -> None:
    found = text_reading.keywords("Cache the cache. Parser and cache, parser, lexer!")

    assert found == ["cache", "parser", "lexer"]
