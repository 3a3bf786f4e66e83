"""Names to be: templates for what a file is called at its destination."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property

from transload.errors import Rejected
from transload.model import Name, to_datetime

MAX_PART = 255
FIELDS = ("name", "stem", "suffix", "folder", "route", "source.modified", "now", "sha256", "version")
_TIMES = ("source.modified", "now")
_TIME = "%Y%m%dT%H%M%SZ"
_TIME_LETTERS = "aAbBdDfFGHIjmMpSTuUVwWyYZz%"
_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}:]*)(?::([^{}]*))?\}|[{}]")


class TemplateFault(ValueError):
    """The template cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a file when its name is rendered.

    `name` is what it is called below the route's folder, `modified` is in microseconds (not told, or no
    date at all: `now` stands in for it), `groups` are the named groups of the route's `match`.
    """

    name: Name
    route: str = ""
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    modified: int | None = None
    sha256: str = ""
    version: int = 1
    groups: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Template:
    """A text with fields in braces: "{now:%Y}/{folder}/{name}"; raises TemplateFault when it cannot be one.

    Times are in UTC. `{{` and `}}` are braces. A `{folder}/` whose folder is empty leaves nothing behind.
    """

    text: str

    def __post_init__(self) -> None:
        """Check the text, once."""
        fault = _shape(self.text) if self._parts else "is empty"
        if fault:
            raise TemplateFault(fault)

    def __str__(self) -> str:
        return self.text

    @cached_property
    def _parts(self) -> tuple[tuple[str, str], ...]:
        return tuple(_parse(self.text))

    @cached_property
    def fields(self) -> frozenset[str]:
        """The fields that it uses."""
        return frozenset(name for name, _ in self._parts if name)

    @cached_property
    def groups(self) -> frozenset[str]:
        """The fields that must be named groups of the route's `match`."""
        return self.fields - frozenset(FIELDS)

    @cached_property
    def root(self) -> str:
        """The folder that every rendered name lies in, as far as the text alone tells."""
        first, literal = self._parts[0]
        return "" if first else literal.rpartition("/")[0]

    @cached_property
    def folders(self) -> bool:
        """Whether fields make folders below `root`."""
        return "/" in "".join(f"{{{name}}}" if name else literal for name, literal in self._parts)[len(self.root) + 1 :]

    @cached_property
    def tail(self) -> str:
        """What every rendered name ends with, as far as the text alone tells."""
        last, literal = self._parts[-1]
        return "" if last else literal.rpartition("/")[2]

    def render(self, facts: Facts) -> Name:
        """The name for a file; Rejected when it would not be a safe one."""
        out: list[str] = []
        bare = False
        for name, spec in self._parts:
            text = _value(name, spec, facts) if name else spec
            if bare and text.startswith("/"):
                text = text[1:]
            bare = name == "folder" and not text and (not out or out[-1].endswith("/"))
            if text:
                out.append(text)
        return Name("".join(out))


def marker(template: Template, facts: Facts, delivered: Name) -> Name:
    """The name of the marker of a file that lies under `delivered`: beside it, unless the template names a folder."""
    name = template.render(replace(facts, name=delivered))
    return name if "/" in template.text else delivered.beside(name.raw)


def versioned(name: Name, version: int) -> Name:
    """`report.csv` as `report.v2.csv`, shortened where the last part would pass 255 bytes."""
    tag = b".v%d" % version
    stem, suffix = name.stem, name.suffix
    if len(suffix) > MAX_PART // 4:
        stem, suffix = name.base, b""
    return name.beside(_shortened(stem, MAX_PART - len(tag) - len(suffix)) + tag + suffix)


def dated(text: str, now: datetime) -> str:
    """A folder's path with `{now:%Y%m%d}` and `{now-1d:%Y%m%d}` filled in; other braces stay. TemplateFault for a bad time."""
    return _DATED.sub(lambda found: _dated(found, now), text) if "{now" in text else text


_DATED = re.compile(r"\{now(?:-(\d{1,4})([hd]))?:([^{}]*)\}")


def _dated(found: re.Match[str], now: datetime) -> str:
    back, unit, spec = found.groups()
    _check_time(found[0], spec)
    hours = int(back or 0) * (24 if unit == "d" else 1)
    return (now - timedelta(hours=hours)).strftime(spec)


def _parse(text: str) -> Iterator[tuple[str, str]]:
    """(field, its format) or ("", literal text)."""
    literal, at = "", 0
    for found in _TOKEN.finditer(text):
        literal += text[at : found.start()]
        at = found.end()
        if found[0] in ("{{", "}}"):
            literal += found[0][0]
        elif found[1] is None:
            raise TemplateFault(f"a single {found[0]} stands for nothing; write {found[0] * 2} for the character")
        else:
            if literal:
                yield "", literal
            literal = ""
            _check_field(found[1], found[2] or "")
            yield found[1], found[2] or ""
    if literal + text[at:]:
        yield "", literal + text[at:]


def _check_field(name: str, spec: str) -> None:
    shown = f"{{{name}:{spec}}}" if spec else f"{{{name}}}"
    if name not in FIELDS and not name.isidentifier():
        raise TemplateFault(f"{shown} is no field; there are {', '.join(FIELDS)} and the named groups of `match`")
    if name in _TIMES:
        _check_time(shown, spec)
    elif spec and not (name == "sha256" and _SHORT.fullmatch(spec)) and not (name == "version" and _PADDED.fullmatch(spec)):
        raise TemplateFault(f"{shown}: only times, {{sha256:8}} and {{version:03}} take a format")


_SHORT = re.compile(r"[1-9]|[1-5]\d|6[0-4]")
_PADDED = re.compile(r"0[1-9]")


def _check_time(shown: str, spec: str) -> None:
    letters = re.findall(r"%(.?)", spec, re.DOTALL)
    if any(not letter or letter not in _TIME_LETTERS for letter in letters):
        raise TemplateFault(f"{shown}: not a time format; one is %Y-%m-%d")


def _shape(text: str) -> str:
    """What is wrong with the path that the template makes, as far as the text alone tells."""
    parts = _FIELD.sub("{}", text).split("/")
    if parts[0] == "":
        return "is relative to the remote's path: leave the first / away"
    if parts[-1] == "" or text.endswith("/{folder}") or text == "{folder}":
        return "must end with a file's name, such as {name}"
    if any(part in ("", ".", "..") for part in parts) or "\0" in text:
        return "must not hold empty parts, . or .."
    return ""


_FIELD = re.compile(r"\{[^{}]*\}")


def _value(name: str, spec: str, facts: Facts) -> str:
    value = _VALUES.get(name)
    return value(facts, spec) if value else _group(name, facts)


_VALUES: dict[str, Callable[[Facts, str], str]] = {
    "name": lambda facts, _: _text(facts.name.base),
    "stem": lambda facts, _: _text(facts.name.stem),
    "suffix": lambda facts, _: _text(facts.name.suffix),
    "folder": lambda facts, _: _text(facts.name.folder),
    "route": lambda facts, _: facts.route,
    "now": lambda facts, spec: _time(facts.now, spec),
    "source.modified": lambda facts, spec: _time(_modified(facts), spec),
    "sha256": lambda facts, spec: facts.sha256[: int(spec or 64)],
    "version": lambda facts, spec: f"{facts.version:{spec}}",
}


def _group(name: str, facts: Facts) -> str:
    value = facts.groups.get(name)
    if value is None or "/" in value:
        raise Rejected(f"{{{name}}} matched nothing in this name" if value is None else f"{{{name}}} would name a folder of its own")
    return value


def _time(moment: datetime, spec: str) -> str:
    return moment.astimezone(UTC).strftime(spec or _TIME)


def _modified(facts: Facts) -> datetime:
    try:
        return facts.now if facts.modified is None else to_datetime(facts.modified)
    except OverflowError:
        return facts.now  # a peer may tell any number


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _shortened(raw: bytes, most: int) -> bytes:
    """At most `most` bytes of `raw`, not ending inside a character of UTF-8."""
    if len(raw) <= most:
        return raw
    end = most
    while end > most - 4 and raw[end] & 0xC0 == 0x80:
        end -= 1
    return raw[: end if raw[end] & 0xC0 != 0x80 else most]


DEFAULT = Template("{folder}/{name}")
"""Where a file goes unless the route says otherwise: under its own name, in its own folder."""
