"""What a job asks, beside the texts of its rows: written down, so that a later run can compare.

Prompts may be private, so that what is text is kept as a digest.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from prefect_responses.identity import canonical_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prefect_responses.attempt import Endpoint

#: What to call a change of each part.
_NAMES = {
    "template": "the prompt's text",
    "version": "the prompt's version",
    "instructions": "the instructions",
    "model": "the model",
    "schema": "the schema",
    "options": "the options",
    "endpoint": "the endpoint",
    "account": "the account",
}
#: Why rows changed where the definition did not.
OWN_TEXT = "the rows' own text"
#: Why rows changed where nothing says what was asked before.
UNKNOWN = "what was asked before is not known"


@dataclass(frozen=True, slots=True)
class JobDefinition:
    """Say what a job asks of every row.

    Args:
        template: digest of the prompt's text.
        version: the prompt's version.
        instructions: digest of the instructions, or empty.
        model: the model.
        schema: digest of the schema that answers have.
        options: digest of the further request fields.
        endpoint: the API's root.
        account: the organisation and the project that pay.
    """

    template: str
    version: str
    instructions: str
    model: str
    schema: str
    options: str
    endpoint: str
    account: str

    @classmethod
    def of(  # noqa: PLR0913 - the parts of a definition, all named
        cls,
        *,
        template: str,
        version: str,
        instructions: str | None,
        model: str,
        schema: Mapping[str, Any],
        options: Mapping[str, Any],
        endpoint: Endpoint,
    ) -> JobDefinition:
        """Make a definition of what the user gave."""
        return cls(
            template=_digest(template),
            version=version,
            instructions="" if instructions is None else _digest(instructions),
            model=model,
            schema=_digest(schema),
            options=_digest(options),
            endpoint=endpoint.base_url,
            account=f"{endpoint.organization}/{endpoint.project}",
        )

    def as_json(self) -> str:
        """Return the JSON that is kept with a pass; equal definitions have equal texts."""
        return json.dumps(asdict(self), sort_keys=True)


def changes_since(before: str | None, now: JobDefinition) -> tuple[str, ...]:
    """Say why rows changed: the parts of the definition that differ, or the rows' own text.

    Args:
        before: the JSON of the definition of the job's last pass, or None if there was none.
        now: the definition of today.
    """
    known = _parts(before)
    if known is None:
        return (UNKNOWN,)
    differ = [name for name, value in asdict(now).items() if known.get(name) != value]
    return tuple(_NAMES[name] for name in differ) or (OWN_TEXT,)


def _parts(text: str | None) -> dict[str, Any] | None:
    try:
        parts = json.loads(text) if text is not None else None
    except ValueError:  # of a later version, or of nobody knows whom
        return None
    return parts if isinstance(parts, dict) else None


def _digest(value: Any) -> str:
    return hashlib.sha256(canonical_json(value)).hexdigest()[:16]
