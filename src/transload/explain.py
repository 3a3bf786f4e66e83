"""Faults of a config as the operator reads them: a dotted key, what is wrong, and what to write instead.

Below `config`, which gathers the faults. What was given as a value is never repeated: it may be a secret.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from transload.errors import ConfigError

Place = tuple[str | int, ...]
_BARE = re.compile(r"[A-Za-z0-9_-]+")
LATER = frozenset(("index", "only"))
NOT_YET = "this version of Transload does not have it"


class Hinted(ValueError):
    """A value that cannot be used, and what to write instead."""

    def __init__(self, fault: str, hint: str = "") -> None:
        """Say the fault without the value, where that could be a secret."""
        super().__init__(fault)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing to edit: `key` names it, `hint` says what to write, `line` is its line in the file where known."""

    key: str
    fault: str
    hint: str = ""
    line: int | None = None

    def __str__(self) -> str:
        key = f"{self.key}: " if self.key else ""
        place = f" (line {self.line})" if self.line else ""
        return f"{key}{self.fault}{place}" + (f"; {self.hint}" if self.hint else "")


class ConfigFaults(ConfigError):
    """Every fault of a config at once, one a line."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        """Keep the faults, in the order of the file."""
        self.faults = tuple(faults)
        super().__init__("\n".join(map(str, self.faults)))


class Faults:
    """The faults of one file, gathered."""

    def __init__(self, raw: Mapping[str, Any], lines: Mapping[Place, int] | None = None) -> None:
        """Take what was read, and the line of each key."""
        self._raw = raw
        self._lines = lines or {}
        self._found: dict[tuple[str, str], Fault] = {}

    def __bool__(self) -> bool:
        return bool(self._found)

    def __iter__(self) -> Iterator[Fault]:
        return iter(sorted(self._found.values(), key=lambda fault: fault.line or 0))

    def add(self, place: Place, fault: str, hint: str = "") -> None:
        """Note a fault of the key at `place`."""
        key = _dotted(place, self._raw)
        self._found.setdefault((key, fault), Fault(key, fault, hint, self._line(place)))

    def refused(self, error: ValidationError, place: Place, model: type[BaseModel]) -> None:
        """Note all that pydantic found in the table at `place`."""
        found: dict[Place, list[tuple[str, str]]] = {}
        table = _at(self._raw, place)
        for each in error.errors(include_url=False, include_input=False):
            if each["type"] == "too_short" and table and _at(table, each["loc"]):
                continue  # pydantic counts the items that are good; the bad ones are told
            inside = _really(each["loc"], each["type"], table)
            found.setdefault(place + inside, []).append(_told(dict(each), inside, table, model))
        for at, told in found.items():
            self.add(at, " or ".join(dict.fromkeys(fault for fault, _ in told)), next((hint for _, hint in told if hint), ""))

    def unknown(self, place: Place, valid: Iterable[str]) -> None:
        """Note a key that there is not."""
        self.add(place, "unknown key", _unknown_hint(str(place[-1]), valid))

    def _line(self, place: Place) -> int | None:
        return next((self._lines[place[:end]] for end in range(len(place), 0, -1) if place[:end] in self._lines), None)


def meant(word: object, words: Iterable[str], likeness: float = 0.6) -> str:
    """`did you mean "..."?` where one of `words` is near enough."""
    known = {one.lower(): one for one in words}
    found = difflib.get_close_matches(word.lower(), known, 1, likeness) if isinstance(word, str) else []
    return f'did you mean "{known[found[0]]}"?' if found else ""


def _unknown_hint(word: str, valid: Iterable[str]) -> str:
    names = sorted(valid)
    return NOT_YET if word in LATER else meant(word, names) or f"there are {', '.join(names)}"


def _dotted(place: Place, raw: Mapping[str, Any]) -> str:
    out = ""
    for at, part in enumerate(place):
        if isinstance(part, int):
            route = _at(raw, place[: at + 1]) if place[:at] == ("routes",) else None
            name = route.get("name") if isinstance(route, dict) else None
            out += f"[{name if isinstance(name, str) else part}]"
        else:
            out += ("." if out else "") + (part if _BARE.fullmatch(part) else f'"{part}"')
    return out if out.isprintable() else ascii(out)[1:-1]


def _at(raw: Any, place: Place) -> Any:
    for part in place:
        try:
            raw = raw[part]
        except (LookupError, TypeError):
            return None
    return raw


def _really(place: Place, kind: str, raw: Any) -> Place:
    """The place without what pydantic puts in it for the branches of a union."""
    out: list[str | int] = []
    for at, part in enumerate(place):
        inside = _at(raw, tuple(out))
        last = at == len(place) - 1
        there = part in inside if isinstance(inside, dict) else isinstance(inside, list) and isinstance(part, int)
        if there or (last and kind == "missing"):
            out.append(part)
    return tuple(out)


def _told(each: dict[str, Any], inside: Place, table: Any, model: type[BaseModel]) -> tuple[str, str]:
    """(what is wrong, what to write instead)."""
    context = each.get("ctx", {})
    match each["type"]:
        case "extra_forbidden":
            return "unknown key", _unknown_hint(str(inside[-1]), _fields(model, inside[:-1]))
        case "missing":
            return "missing", _description(model, inside)
        case "value_error":
            return str(context["error"]), getattr(context["error"], "hint", "")
        case "literal_error" | "enum":
            valid = re.findall(r"'([^']*)'", str(context["expected"]))
            return f"wants {_either(valid)}", meant(_at(table, inside), valid)
        case "string_pattern_mismatch":
            return f"wants {_WORDED.get(context['pattern'], 'a text that matches ' + context['pattern'])}", ""
        case kind if kind in _LIMITS:
            wanted, limit = _LIMITS[kind]
            return f"wants {wanted} {context[limit]:g}", ""
        case kind:
            said = next((said for words, said in _TYPES.items() if kind in words.split()), "")
            return said or each["msg"].replace("Input should be", "wants").replace("Input should", "should"), ""


_LIMITS = {
    "greater_than": ("more than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}
IDENTIFIER = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
_WORDED = {IDENTIFIER: "at most 64 letters, digits, _, . and -"}
_TYPES = {
    "string_type": "wants a text in quotes",
    "path_type": "wants a path in quotes",
    "int_type int_parsing int_from_float": "wants a whole number",
    "float_type float_parsing": "wants a number",
    "bool_type bool_parsing": "wants true or false",
    "tuple_type list_type set_type frozen_set_type": "wants a list, [ ... ]",
    "dict_type model_type model_attributes_type mapping_type": "wants a table, { ... }",
    "too_short string_too_short": "must not be empty",
}


def _either(words: list[str]) -> str:
    quoted = [f'"{word}"' for word in words]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"


def models_of(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that an annotation speaks of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from models_of(inner)


def _inside(model: type[BaseModel], place: Place) -> list[type[BaseModel]]:
    found = [model]
    for part in place:
        if isinstance(part, str):
            fields = [field for one in found for name, field in one.model_fields.items() if (field.alias or name) == part]
            found = [inner for field in fields for inner in models_of(field.annotation)]
    return found


def _fields(model: type[BaseModel], place: Place) -> list[str]:
    """The keys that the table at `place` can have."""
    return [field.alias or name for one in _inside(model, place) for name, field in one.model_fields.items()]


def _description(model: type[BaseModel], place: Place) -> str:
    fields = [field for one in _inside(model, place[:-1]) for name, field in one.model_fields.items() if (field.alias or name) == place[-1]]
    text = fields[0].description if fields else None
    return text[0].lower() + text[1:].rstrip(".") if text else ""
