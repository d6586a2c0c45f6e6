"""What an answer has to look like: a pydantic model or a JSON schema, as strict mode takes it."""

from __future__ import annotations

import re
from typing import Any

import orjson
from pydantic import BaseModel, ValidationError
from pydantic.errors import PydanticUserError

from prefect_responses.enrichment.conformance import first_mismatch
from prefect_responses.enrichment.strict_schemas import strict_schema
from prefect_responses.errors import OutputTypeUnsupported, ResponsesError

_LONGEST_NAME = 64
_DEFAULT_NAME = "answer"


class AnswerNotJson(ResponsesError, ValueError):
    """The answer is not a JSON object."""


class AnswerMismatch(ResponsesError, ValueError):
    """The answer is JSON and does not have the type that was asked for."""


class OutputType:
    """The type of an answer, fixed before anything is sent.

    The schema follows the order in which the model declares its fields, and so do answers. Limits
    that strict mode cannot carry (a minimum length, a custom validator) are checked on the answer.

    Args:
        model_or_schema: a pydantic model class, or a JSON schema whose `$ref`s point into it.

    Attributes:
        name: the name of the format, as the API allows names.
        format: what goes under `text.format` of a request.

    Raises:
        OutputTypeUnsupported: strict mode cannot express it; the message says where and what to do.
    """

    def __init__(self, model_or_schema: type[BaseModel] | dict[str, Any]) -> None:
        self._model = None if isinstance(model_or_schema, dict) else _model(model_or_schema)
        schema = _json_schema(model_or_schema)
        self._schema = schema
        self.name = _name(schema if self._model is None else {"title": self._model.__name__})
        self.format: dict[str, Any] = {
            "type": "json_schema",
            "name": self.name,
            "strict": True,
            "schema": strict_schema(schema),
        }

    def __repr__(self) -> str:
        return f"OutputType({self.name!r})"

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the names of the answer's fields, in the order of the schema."""
        return tuple(self.format["schema"]["properties"])

    def parse(self, text: str) -> BaseModel | dict[str, Any]:
        """Return the answer in *text*: an instance of the model, or a dict for a schema.

        Raises:
            AnswerNotJson: *text* is not a JSON object.
            AnswerMismatch: it is one, of another type.
        """
        answer = _json_object(text)
        if self._model is not None:
            return _validated(self._model, text)
        if mismatch := first_mismatch(answer, self._schema):
            raise AnswerMismatch(f"{mismatch}.")
        return answer

    def dump(self, answer: BaseModel | dict[str, Any]) -> dict[str, Any]:
        """Return what `parse` returned as JSON types, named as in `columns`.

        Raises:
            AnswerMismatch: the model holds something that has no JSON form.
        """
        if not isinstance(answer, BaseModel):
            return answer
        try:
            dumped: dict[str, Any] = answer.model_dump(mode="json", by_alias=True)
        except ValueError as error:
            raise AnswerMismatch(f"The answer has no JSON form: {error}.") from error
        return dumped


def _model(given: Any) -> type[BaseModel]:
    if isinstance(given, type) and issubclass(given, BaseModel):
        return given
    raise OutputTypeUnsupported(
        f"{given!r} is neither a pydantic model class nor a JSON schema: "
        "put the type into a field of a model."
    )


def _json_schema(given: type[BaseModel] | dict[str, Any]) -> dict[str, Any]:
    try:
        described = given if isinstance(given, dict) else given.model_json_schema()
        schema: dict[str, Any] = orjson.loads(orjson.dumps(described))
    except PydanticUserError as error:
        raise OutputTypeUnsupported(f"The model has no JSON schema: {error.message}.") from error
    except (TypeError, ValueError) as error:
        raise OutputTypeUnsupported(f"The schema is not JSON: {error}.") from error
    return schema


def _name(schema: dict[str, Any]) -> str:
    name = re.sub(r"[^A-Za-z0-9_-]", "_", str(schema.get("title", "")))
    return name[:_LONGEST_NAME] or _DEFAULT_NAME


def _json_object(text: str) -> dict[str, Any]:
    try:
        answer = orjson.loads(text)
    except ValueError as error:
        raise AnswerNotJson(f"The answer is not JSON: {error}.") from error
    if not isinstance(answer, dict):
        raise AnswerNotJson("The answer is JSON, but no object.")
    return answer


def _validated(model: type[BaseModel], text: str) -> BaseModel:
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        raise AnswerMismatch(_sentence(error)) from error
    except Exception as error:
        # A model's own validators may raise anything; that is one row's fault, not the job's.
        raise AnswerMismatch(f"The model's validator raised {error!r}.") from error


def _sentence(error: ValidationError) -> str:
    """Name the first field at fault, without the value that it had."""
    first, *others = error.errors(include_url=False, include_input=False, include_context=False)
    where = ".".join(str(part) for part in first["loc"]) or "the answer"
    more = f" ({len(others)} more)" if others else ""
    return f"{where}: {first['msg']}{more}"
