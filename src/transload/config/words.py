"""The kinds of text that a config holds, each checked as it is read."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, PlainValidator, WithJsonSchema

from transload.explain import IDENTIFIER, Hinted
from transload.names import Template
from transload.patterns import compiled


class Table(BaseModel):
    """What every table of the config has in common: frozen, closed, and silent about what it was given."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


_MARKING = ("name", "stem", "suffix", "folder")
_NAMING = WithJsonSchema({"type": "string", "examples": ["{now:%Y/%m/%d}/{name}"]})
_TEXTS = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _usable(text: str) -> str:
    compiled(text)
    return text


def _template(value: Any) -> Template:
    if isinstance(value, Template):
        return value
    if not isinstance(value, str):
        raise ValueError('wants a text such as "{folder}/{name}"')  # noqa: TRY004
    return Template(value)


def _marking(template: Template) -> Template:
    unknown = sorted(template.fields - set(_MARKING))
    if unknown:
        message = f"{{{unknown[0]}}} is not known before the file is taken"
        raise Hinted(message, f"there are {', '.join(_MARKING)}")
    return template


Identifier = Annotated[str, Field(pattern=IDENTIFIER)]
"""A name for something of ours."""

Texts = Annotated[tuple[str, ...], BeforeValidator(_listed), WithJsonSchema(_TEXTS)]
"""A text, or a list of them."""

Globs = Annotated[tuple[Annotated[str, AfterValidator(_usable)], ...], BeforeValidator(_listed), WithJsonSchema(_TEXTS)]
"""A pattern, or a list of them."""

Naming = Annotated[Template, PlainValidator(_template), PlainSerializer(str), _NAMING]
"""A template for a name."""

Marking = Annotated[Naming, AfterValidator(_marking)]
"""A template for the name of a marker, made of what is known of a file by its name alone."""
