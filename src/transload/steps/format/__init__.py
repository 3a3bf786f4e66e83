"""The step `format`: a file must be the XML, JSON or CSV that it is said to be."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, BinaryIO, Literal

from pydantic import Field

from transload.errors import Rejected
from transload.steps.base import FileView, Output, Scratch, Step, Verdict
from transload.steps.format.faults import failed
from transload.steps.format.magic import check_type
from transload.steps.format.markup import Xml
from transload.steps.format.notation import check_json, check_json_lines
from transload.steps.format.rows import check_csv
from transload.units import ByteSize, show_size

_BY_SUFFIX = {b".xml": "xml", b".json": "json", b".jsonl": "jsonl", b".ndjson": "jsonl", b".csv": "csv"}


class Format(Step):
    """Refuse a file that is not the XML, JSON or CSV that it should be.

    XML must be well-formed, without a DTD, so that it has no entities. JSON must be UTF-8, without NaN and without a
    key twice in one object. The lines of a CSV must all have the same number of columns.
    """

    kind: Literal["format"] = "format"
    as_: Literal["any", "xml", "json", "jsonl", "csv"] = Field("any", alias="as", description="What it must be; any goes by its suffix.")
    type: bool = Field(default=False, description="Whether the first bytes must be those of a file with that suffix.")
    delimiter: Annotated[str, Field(pattern=r"^[ !#-~\t]$")] = Field(",", description="What stands between the columns of a CSV.")
    header: tuple[str, ...] = Field((), description="Names that must stand in the first line of a CSV.")
    depth: Annotated[int, Field(ge=1, le=500)] = Field(200, description="How deep XML and JSON may be nested.")
    max_size: ByteSize = Field(
        200_000_000, description="The largest that one JSON document may be: it is read as a whole, in up to thirty times as much memory."
    )

    def __call__(self, file: FileView, work: Scratch) -> Iterator[Output]:
        """The file as it is; Rejected says where it is wrong."""
        expected = self.as_ if self.as_ != "any" else _BY_SUFFIX.get(file.name.suffix.lower(), "")
        with file.open() as opened:
            if self.type:
                check_type(file.name.suffix.decode("utf-8", "replace").lower()[1:], opened)
            if expected:
                if not file.size:
                    raise failed(f"it is empty, and no {expected.upper()}")
                work.note(Verdict("format", "ok", {"as": expected, **self._parsed(expected, opened, file.size, work.go_on)}))
        yield work.keep(file)

    def _parsed(self, expected: str, file: BinaryIO, size: int, go_on: Callable[[], None]) -> Mapping[str, str]:
        """What is known of it once it is read; Rejected says where it is wrong."""
        if expected == "xml":
            Xml(self.depth).check(file, go_on)
        elif expected == "json":
            if size > self.max_size:
                raise Rejected(f"is too large to be looked at as JSON: {show_size(size)}, the most is {show_size(self.max_size)}")
            check_json(file.read(), self.depth)
        elif expected == "jsonl":
            return {"rows": str(check_json_lines(file, self.depth, go_on))}
        else:
            rows, columns = check_csv(file, self.delimiter, self.header, go_on)
            return {"rows": str(rows), "columns": str(columns)}
        return {}
