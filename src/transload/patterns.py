"""Patterns over names: globs, and regular expressions where the text starts with "(?"."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from transload.model import Name

Test = Callable[[str], object]
_SET = re.compile(r"[\\\[\]&|~^]")
_SPECIAL = re.compile(r"[*?\[]")


class PatternFault(ValueError):
    """The pattern cannot be used; the message says why."""


class Patterns:
    """Several patterns as one question: does a name match any of them?

    A pattern is asked about the name's last part, or about the whole name if it holds a "/". A glob has `*`, `?` and
    `[...]`, which stay within one part, and `**` for any number of folders. A regular expression must match the whole.
    """

    __slots__ = ("_named", "base", "texts", "whole")

    def __init__(self, texts: Iterable[str], *, fold: bool = False) -> None:
        """Compile `texts`, ignoring case if `fold`; raises PatternFault."""
        self.texts = tuple(texts)
        self._named = [(on_path(text), found) for text in self.texts if (found := compiled(text, fold=fold)).groupindex]
        self.base = _any([text for text in self.texts if not on_path(text)], fold=fold)
        self.whole = _any([text for text in self.texts if on_path(text)], fold=fold)

    def __contains__(self, name: Name) -> bool:
        text = decoded(name)
        return self.hit(text, text.rpartition("/")[2])

    def hit(self, text: str, base: str) -> bool:
        """Whether the name `text`, whose last part is `base`, matches."""
        return bool((self.base and self.base(base)) or (self.whole and self.whole(text)))

    def groups(self, name: Name) -> Mapping[str, str]:
        """The named groups of the first pattern that has some and matches; empty where a group took no part."""
        text = decoded(name)
        for whole, pattern in self._named:
            found = pattern.fullmatch(text if whole else text.rpartition("/")[2])
            if found:
                return {group: value or "" for group, value in found.groupdict().items()}
        return {}


def decoded(name: Name) -> str:
    """The name as patterns see it: UTF-8, other bytes as lone surrogates."""
    return name.raw.decode("utf-8", "surrogateescape")


def is_regex(text: str) -> bool:
    """Whether `text` is a regular expression and no glob."""
    return text.startswith("(?")


def on_path(text: str) -> bool:
    """Whether `text` is asked about the whole name and not its last part."""
    return "/" in text


def compiled(text: str, *, fold: bool = False) -> re.Pattern[str]:
    """The pattern, to be used with `fullmatch`; raises PatternFault."""
    if not text:
        raise PatternFault("is empty; * matches every name")
    if not is_regex(text):
        return re.compile(_glob(text), _flags(fold=fold))
    try:
        return re.compile(text, re.IGNORECASE if fold else 0)
    except (re.error, OverflowError, RecursionError) as error:
        raise PatternFault(f"is no regular expression: {error}") from None


def group_names(text: str) -> frozenset[str]:
    """The named groups of a pattern."""
    return frozenset(compiled(text).groupindex) if is_regex(text) else frozenset()


def disjoint(one: str, other: str) -> bool:
    """Whether no name can match both, as far as the ends of two globs tell; False when in doubt."""
    if is_regex(one) or is_regex(other) or on_path(one) != on_path(other):
        return False
    (start, end), (head, tail) = _ends(one), _ends(other)
    return not (start.startswith(head) or head.startswith(start)) or not (end.endswith(tail) or tail.endswith(end))


def _ends(glob: str) -> tuple[str, str]:
    """What every match starts and ends with."""
    parts = _SPECIAL.split(glob)
    start = parts[0]
    end = parts[-1] if "[" not in glob else ""
    return (start, end)


def _any(texts: list[str], *, fold: bool) -> Test | None:
    """One test for all of `texts`, as quick as may be: listings have 100,000 names."""
    if not texts or "*" in texts:
        return (lambda _: True) if texts else None
    suffixes = tuple(text[1:] for text in texts if text[0] == "*" and _plain(text[1:]))
    prefixes = tuple(text[:-1] for text in texts if text[-1] == "*" and _plain(text[:-1]))
    others = [text for text in texts if not (text[0] == "*" and _plain(text[1:])) and not (text[-1] == "*" and _plain(text[:-1]))]
    tests = [_at_the_ends(prefixes, suffixes, fold=fold)] if prefixes or suffixes else []
    globs = [_glob(text) for text in others if not is_regex(text)]
    if globs:
        tests.append(re.compile("|".join(globs), _flags(fold=fold)).fullmatch)
    tests.extend(compiled(text, fold=fold).fullmatch for text in others if is_regex(text))
    return _either(tests)


def _either(tests: list[Test]) -> Test:
    first, *rest = tests
    if not rest:
        return first
    other = _either(rest)
    return lambda text: first(text) or other(text)


def _plain(text: str) -> bool:
    return bool(text) and "/" not in text and not _SPECIAL.search(text)


def _at_the_ends(prefixes: tuple[str, ...], suffixes: tuple[str, ...], *, fold: bool) -> Test:
    if fold:
        low_prefixes, low_suffixes = tuple(map(str.lower, prefixes)), tuple(map(str.lower, suffixes))
        return lambda text: (low := text.lower()).endswith(low_suffixes) or low.startswith(low_prefixes)
    return lambda text: text.endswith(suffixes) or text.startswith(prefixes)


def _flags(*, fold: bool) -> re.RegexFlag:
    return re.DOTALL | (re.IGNORECASE if fold else re.NOFLAG)


def _glob(text: str) -> str:
    """The glob as a regular expression."""
    out, at = [], 0
    while at < len(text):
        if text.startswith("**/", at):
            out.append("(?:[^/]+/)*")
            at += 3
        elif text.startswith("**", at):
            out.append(".*")
            at += 2
        elif text[at] == "[":
            end = _bracket(text, at)
            inner = _SET.sub(r"\\\g<0>", text[at + 1 : end])
            out.append(f"[^/{inner[1:]}]" if inner[0] == "!" else f"[{inner}]")
            at = end + 1
        else:
            out.append({"*": "[^/]*", "?": "[^/]"}.get(text[at]) or re.escape(text[at]))
            at += 1
    return _sound("".join(out))


def _bracket(text: str, at: int) -> int:
    end = text.find("]", at + 3 if text[at + 1 : at + 2] == "!" else at + 2)
    if end < 0:
        raise PatternFault(f"the [ at character {at + 1} has no ]; write [[] for the character [")
    return end


def _sound(pattern: str) -> str:
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise PatternFault(f"is no glob: {error}") from None
    return pattern
