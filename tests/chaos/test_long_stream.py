"""A long stream whose follower is killed again and again: paid once, each character stored once.

The whole of it, twenty thousand events and ten kills, is in `kill_matrix.py`.
"""

from __future__ import annotations

import pytest
from long_stream import Shape, follow_and_kill
from stored_text import PieceLost, StoredText, text_in

SHAPE = Shape(words=4000, kills=5, rate=800.0)


def test_a_long_stream_is_stored_once(lab):
    facts = follow_and_kill(lab, SHAPE)

    assert facts.breaches(SHAPE) == [], facts.report(SHAPE)


def test_a_line_that_a_kill_cut_short_is_stored_again(tmp_path):
    file = tmp_path / "pieces"
    StoredText(file).put(0, "Größe ")
    with file.open("ab") as cut:
        cut.write(b'[6, "wor')

    again = StoredText(file)
    again.put(0, "Größe world")

    assert again.pieces == [[0, "Größe "]]
    assert text_in(file) == "Größe world"
    with pytest.raises(PieceLost):
        again.put(99, "!")
