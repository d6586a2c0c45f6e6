"""Everything of Prefect's that we need and Prefect does not publish.

Nothing else in this package may read an underscore of Prefect's. Each function here has a test
that runs on every supported version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from prefect.context import ContextModel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prefect.blocks.core import Block

C = TypeVar("C", bound=ContextModel)


def enclosing(context: C | None) -> Iterator[C]:
    """Yield *context* and the contexts of its kind that it was entered in, innermost first.

    Prefect shows only the innermost task run and flow run. The ones around it are in the token
    that each context keeps to restore its predecessor.
    """
    while context is not None:
        yield context
        token = context._token  # noqa: SLF001 - the one private attribute; see the module docstring
        before = None if token is None else token.old_value
        context = before if isinstance(before, type(context)) else None


def saved_name(block: Block | None) -> str | None:
    """Return the name that *block* was saved under, or None if it was never saved."""
    return None if block is None else block._block_document_name  # noqa: SLF001 - see above
