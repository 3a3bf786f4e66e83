"""The step `rename`: the file goes on under another name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, PlainSerializer, PlainValidator, WithJsonSchema

from transload.model import to_datetime
from transload.names import Facts, Template
from transload.steps.base import FileView, Output, Scratch, Step


def _template(value: Any) -> Template:
    if isinstance(value, Template):
        return value
    if not isinstance(value, str):
        raise ValueError('wants a text such as "{folder}/{name}"')  # noqa: TRY004
    return Template(value)


_NAMING = WithJsonSchema({"type": "string", "examples": ["{folder}/{stem}.txt"]})
_Naming = Annotated[Template, PlainValidator(_template), PlainSerializer(str), _NAMING]


class Rename(Step):
    """Give the file another name, for the steps that follow and for its destinations. `{now}` is when it was first seen."""

    splits: ClassVar[bool] = True

    kind: Literal["rename"] = "rename"
    to: _Naming = Field(description="The new name, made of fields such as {folder}, {stem}, {suffix} and {source.modified:%Y%m%d}.")

    def __call__(self, file: FileView, work: Scratch) -> Iterator[Output]:
        """The file's own bytes under the new name; Rejected when that would be no safe name."""
        facts = Facts(
            name=file.name,
            route=file.route,
            now=to_datetime(file.received),
            modified=file.modified,
            sha256=file.sha256,
            version=file.version,
            groups=file.groups,
        )
        yield work.keep(file, self.to.render(facts))
