"""On which line each key of a TOML text stands; the text is known to be sound."""

from __future__ import annotations

import re
import tomllib

from transload.explain import Place

_SPACE = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY = re.compile(r"""[ \t]*([A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')[ \t]*""")
_TEXT = re.compile(r'''"""(?:[^\\]|\\.)*?"{3,5}|\'\'\'.*?'{3,5}|"(?:[^"\\\n]|\\.)*"|'[^'\n]*\'''', re.DOTALL)
_PLAIN = re.compile(r"[^,\]}\n#]+")


def lines(text: str) -> dict[Place, int]:
    """The line of each key and list item, counted from 1."""
    return _Walk(text).found


class _Walk:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.line = 1
        self.counted = 0
        self.found: dict[Place, int] = {}
        self.lists: dict[Place, int] = {}
        table: Place = ()
        while self.space():
            if text[self.at] == "[":
                table = self.header()
            else:
                self.pair(table)

    def space(self) -> bool:
        """Skip what says nothing; False at the end."""
        self.skip(_SPACE)
        return self.at < len(self.text)

    def skip(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self.text, self.at)
        if found:
            self.at = found.end()
        return found

    def note(self, place: Place) -> None:
        self.line += self.text.count("\n", self.counted, self.at)
        self.counted = self.at
        self.found.setdefault(place, self.line)

    def key(self) -> list[str]:
        parts: list[str] = []
        while found := self.skip(_KEY):
            word = found[1]
            parts.append(str(tomllib.loads(f"key = {word}")["key"]) if word[0] in "\"'" else word)
            if self.text[self.at] != ".":
                break
            self.at += 1
        return parts

    def header(self) -> Place:
        several = self.text.startswith("[[", self.at)
        self.at += 1 + several
        place: Place = ()
        keys = self.key()
        for count, part in enumerate(keys, 1):
            place += (part,)
            if several and count == len(keys):
                self.lists[place] = self.lists.get(place, -1) + 1
            if place in self.lists:
                place += (self.lists[place],)
            self.note(place)
        self.at += 1 + several
        return place

    def pair(self, table: Place) -> None:
        for part in self.key():
            table += (part,)
            self.note(table)
        self.at += 1
        self.value(table)

    def value(self, place: Place) -> None:
        self.space()
        if self.text[self.at] == "[":
            self.items(place)
        elif self.text[self.at] == "{":
            self.pairs(place)
        else:
            self.skip(_TEXT) or self.skip(_PLAIN)

    def items(self, place: Place) -> None:
        self.at += 1
        count = 0
        while self.space() and self.text[self.at] != "]":
            self.note((*place, count))
            self.value((*place, count))
            count += 1
            self.comma()
        self.at += 1

    def pairs(self, place: Place) -> None:
        self.at += 1
        while self.space() and self.text[self.at] != "}":
            self.pair(place)
            self.comma()
        self.at += 1

    def comma(self) -> None:
        self.space()
        self.at += self.text[self.at] == ","
