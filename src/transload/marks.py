"""Markers: files whose presence says of another file that it is whole."""

from __future__ import annotations

import re
from collections.abc import Iterable

from transload.errors import Rejected
from transload.model import Entry, Name
from transload.names import Facts, Template, marker

MARKER = Template("{name}.done")
"""What a marker is called unless somebody says otherwise."""
_FIELD = re.compile(r"\{[^{}]*\}")


def is_marker(template: Template, path: Name) -> bool:
    """Whether a file of that name would be a marker."""
    pattern = ".+".join(re.escape(part) for part in _FIELD.split(template.text))
    raw = path.raw if "/" in template.text else path.base
    return re.fullmatch(pattern, raw.decode("utf-8", "surrogateescape"), re.DOTALL) is not None


def marker_of(template: Template, path: Name) -> Name | None:
    """The name of the marker of a file; None where it would have none."""
    try:
        return marker(template, Facts(path), path)
    except Rejected:
        return None


def name_in(template: Template, path: Name) -> bytes | None:
    """The name of the file whose marker `path` is, where the template is {name} with something around it."""
    if "/" in template.text or _FIELD.findall(template.text) != ["{name}"]:
        return None
    before, after = (part.encode() for part in _FIELD.split(template.text))
    return path.base[len(before) : len(path.base) - len(after)]


class Marks:
    """The markers among the files of a listing; `template` makes a marker's name from a file's."""

    def __init__(self, template: Template) -> None:
        """None seen yet."""
        self._template = template
        self._seen: dict[tuple[str, bytes], Entry] = {}

    def gather(self, listed: Iterable[Entry]) -> list[Entry]:
        """Read a listing to its end: a marker may come after its file."""
        entries = list(listed)
        self._seen.update(((entry.folder, entry.name.raw), entry) for entry in entries if is_marker(self._template, entry.name))
        return entries

    def one(self, entry: Entry) -> bool:
        """Whether the file is a marker itself."""
        return is_marker(self._template, entry.name)

    def of(self, entry: Entry) -> Entry | None:
        """What the file's marker would be; None where it can have none."""
        name = marker_of(self._template, entry.name)
        return None if name is None else Entry(entry.folder, name)

    def judge(self, entry: Entry) -> tuple[str, bool]:
        """What the file's marker lacks (nothing where it is there), and whether it was certainly made after the file."""
        wanted = self.of(entry)
        if wanted is None:
            return "it can have no marker: the name would be too long", False
        there = self._seen.get((wanted.folder, wanted.name.raw))
        if there is None:
            return f"its marker {wanted.name.text} is not there yet", False
        if _before(there, entry):
            return f"its marker {wanted.name.text} is older than it is: it may be that of an earlier file", False
        return "", there.settles and entry.settles and _told(there, entry)


def _told(marker: Entry, entry: Entry) -> bool:
    return marker.modified is not None and entry.modified is not None


def _before(marker: Entry, entry: Entry) -> bool:
    """Whether the marker is older than the file, whatever the listing leaves out of their times."""
    if marker.modified is None or entry.modified is None:
        return False
    return marker.modified + round(marker.precision * 1e6) < entry.modified
