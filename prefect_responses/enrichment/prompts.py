"""What each row is asked: a template whose placeholders are column names, and nothing else.

Text from a table is data. It is inserted as it is and never read as a template again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prefect_responses.errors import ColumnMissing, RequestInvalid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prefect_responses.enrichment.rows import Row

_TOKEN = re.compile(r"(?P<escape>\{\{|\}\})|\{(?P<column>[^{}]*)\}|(?P<stray>[{}])")


@dataclass(frozen=True, slots=True)
class Prompt:
    """A template for the input of a row.

    `{column}` stands for the row's value, `{{` and `}}` for braces. The text between braces is a
    column's name to the letter, dots and spaces included; there are no attributes, indices,
    conversions or format specs.

    Args:
        template: the text with placeholders.
        version: part of what identifies a request: raise it to ask every row again.
        instructions: the `instructions` of every request, sent as they are.

    Raises:
        RequestInvalid: the template cannot be read.
    """

    template: str
    version: str = field(default="1", kw_only=True)
    instructions: str | None = field(default=None, kw_only=True)
    _parts: tuple[tuple[str, str | None], ...] = field(
        init=False, repr=False, compare=False, default=()
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "_parts", tuple(_parts(self.template)))

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns that the template needs, each once, in order."""
        return tuple(dict.fromkeys(column for _, column in self._parts if column is not None))

    def render(self, row: Row) -> str:
        """Return the prompt of *row*, with its values inserted verbatim.

        Raises:
            ColumnMissing: the row lacks a column.
        """
        values = row.values
        try:
            # A list, for a generator costs twice as much, and a row is rendered several times.
            return "".join(
                [text if column is None else text + values[column] for text, column in self._parts]
            )
        except KeyError as error:
            raise ColumnMissing(
                f"The prompt names the column {error.args[0]!r}, which the row {row.key!r} "
                "does not have."
            ) from error


def _parts(template: str) -> Iterator[tuple[str, str | None]]:
    """Split *template* into pieces of text, each followed by a column or by nothing."""
    end = 0
    for token in _TOKEN.finditer(template):
        before = template[end : token.start()]
        end = token.end()
        if token["stray"]:
            raise RequestInvalid(
                f"The prompt has a single {token['stray']!r} at character {token.start()}: "
                "double it, or close the placeholder."
            )
        if token["escape"]:
            yield before + token["escape"][0], None
        else:
            yield before, _checked(token["column"], token.start())
    yield template[end:], None


def _checked(column: str, at: int) -> str:
    if not column.strip():
        raise RequestInvalid(f"The placeholder at character {at} of the prompt names no column.")
    if ":" in column or re.search(r"![rsa]$", column):
        raise RequestInvalid(
            f"The placeholder {{{column}}} of the prompt has a format spec or a conversion: "
            "only {column} is read, so format the table's values beforehand."
        )
    return column
