"""A route as configured: what is taken from where, and what is owed to whom."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import ConfigDict, Discriminator, Field, SerializeAsAny, Tag, field_validator, model_validator

from transload.config.server import Arriving, Hook
from transload.config.words import Globs, Identifier, Marking, Naming, Table, Texts
from transload.errors import Rejected
from transload.expecting import Expect
from transload.explain import Hinted, meant
from transload.model import Name, Verify
from transload.names import DEFAULT, dated
from transload.patterns import Patterns
from transload.protocols import HOOK, SERVER
from transload.remotes.hook import registered
from transload.steps.base import Step
from transload.units import ByteSize, Duration

TEMPORARY = ("*.part", "*.tmp", "*.filepart", "*.partial", "*.$$$", "*.crdownload", ".*")
_SOME_TIME = datetime(2000, 1, 2, tzinfo=UTC)


def _either_of_two(schema: dict[str, Any]) -> None:
    """An editor is told that `remote` is needed unless `server` is there."""
    schema.pop("required", None)
    schema["anyOf"] = [{"required": ["remote"]}, {"required": ["server"]}]


class From(Table):
    """What a route takes: from which remote, or from our own servers; which files, and when it looks."""

    model_config = ConfigDict(json_schema_extra=_either_of_two)

    remote: str = Field(description="The name of a remote.")
    server: bool = Field(default=False, strict=True, description="Whether it takes what our own servers receive, in place of a remote.")
    user: Identifier | None = Field(None, description="With `server`: whose uploads; everybody's by default.")
    path: Texts = Field(("",), min_length=1, description="A folder or a file, or a list; {now:%Y%m%d} and {now-1d:%Y%m%d} are filled in.")
    match: Globs = Field(("*",), min_length=1, description="Which names: a glob, a regex that starts with (?, or a list.")
    exclude: Globs = Field((), description="Which names not.")
    recursive: bool = Field(default=True, description="Whether folders below are looked into.")
    depth: int | None = Field(None, ge=1, description="How many levels of folders; 1 is `path` alone.")
    min_age: Duration | None = Field(None, description="Younger files wait.")
    max_age: Duration | None = Field(None, description="Older files are left alone.")
    min_size: ByteSize | None = Field(None, description="Smaller files are left alone.")
    max_size: ByteSize | None = Field(None, description="Larger files are left alone.")
    settle: Duration = Field(5.0, description="How long size and time must stay the same; 0s takes files at once.")
    marker: Marking | None = Field(None, description='A file beside it that says that it is whole, such as "{name}.done".')
    temporary: Globs = Field(TEMPORARY, description="Names that are never taken, in capitals or not.")
    order: Literal["oldest", "newest", "name"] = Field("oldest", description="Which file goes first.")
    limit: int | None = Field(None, ge=1, description="How many files a run takes at most.")
    identity: Literal["path", "path+size+mtime", "etag", "sha256"] = Field("path+size+mtime", description="What makes a file a new one.")
    changed: Literal["version", "skip", "fail"] = Field("version", description="What becomes of new bytes under a known name.")
    duplicate: Literal["deliver", "skip"] = Field("deliver", description="What becomes of known bytes under a new name.")
    every: Duration | None = Field(None, gt=0, description='How often to look; "1m" when neither this nor `cron` is given.')
    cron: str | None = Field(None, description="When to look: minute, hour, day, month, weekday, in `zone`.")
    zone: str = Field("UTC", description="The time zone of `cron` and of times in `path`.")
    jitter: Duration = Field(0.0, description="Each look is later by up to this, not all at once.")
    missed: Literal["once", "skip"] = Field("once", description="What becomes of looks that were missed: one now, or none.")
    watch: bool = Field(default=False, strict=True, description="Of a folder: whether `up` looks at once when something comes.")

    _moved_to: str = ""

    @model_validator(mode="before")
    @classmethod
    def _from_our_servers(cls, table: Any) -> Any:
        """What servers receive is whole when it arrives: nothing has to settle."""
        if isinstance(table, dict) and table.get("server") is True:
            return {**table, "remote": table.get("remote", SERVER), "settle": table.get("settle", 0.0)}
        return table

    @property
    def moved_to(self) -> str:
        """The folder below `path` to which the route moves what it has delivered; it is never listed."""
        return self._moved_to

    @cached_property
    def wanted(self) -> Patterns:
        """Which names, compiled."""
        return Patterns(self.match)

    @cached_property
    def unwanted(self) -> Patterns:
        """Which names not, compiled."""
        return Patterns(self.exclude)

    @cached_property
    def unfinished(self) -> Patterns:
        """Which names are temporary, compiled."""
        return Patterns(self.temporary, fold=True)

    @field_validator("path")
    @classmethod
    def _paths(cls, paths: tuple[str, ...]) -> tuple[str, ...]:
        for path in paths:
            if any(char in path for char in "\0\r\n"):
                raise ValueError("holds a line break or a NUL")
            dated(path, _SOME_TIME)
        return paths

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (OSError, ValueError, KeyError):
            message = "is no time zone"
            raise Hinted(message, meant(zone, available_timezones()) or 'write one such as "Europe/London"') from None
        return zone

    @field_validator("cron")
    @classmethod
    def _sound_cron(cls, line: str | None) -> str | None:
        if line is not None:
            from transload.cron import Cron

            Cron(line)
        return line

    @model_validator(mode="after")
    def _sound(self) -> From:
        for less, more, word in ((self.min_age, self.max_age, "age"), (self.min_size, self.max_size, "size")):
            if less is not None and more is not None and less > more:
                raise ValueError(f"min_{word} is more than max_{word}: no file can be both")
        if self.every is not None and self.cron is not None:
            raise ValueError("has both every and cron; leave one away")
        return self


class To(Table):
    """One destination: which remote, under which name, and how carefully."""

    remote: str = Field(description="The name of a remote.")
    name: Naming = Field(DEFAULT, description="What a file is called there; times are in UTC.")
    match: Globs = Field(("*",), min_length=1, description="Which files go there, as in `from`.")
    id: Identifier = Field("", validate_default=False, description="Its name in the ledger; the remote's by default.")
    conflict: Literal["version", "replace", "fail"] = Field("version", description="What to do when another file has the name.")
    marker: Naming | None = Field(None, description="An empty file that is written afterwards, beside the file.")
    verify: Literal[Verify.SIZE, Verify.HASH, Verify.READ_BACK] = Field(Verify.SIZE, description="How far the copy is checked.")
    required: bool = Field(default=True, description="Whether the file counts as delivered only with this copy.")

    @cached_property
    def _wanted(self) -> Patterns:
        return Patterns(self.match)

    def takes(self, name: Name) -> bool:
        """Whether a file that the source calls `name` goes there."""
        return name in self._wanted


class Move(Table):
    """After delivery the source is moved to a folder, relative to `path`, that is never listed again."""

    move: str = Field(description="The folder.")

    @field_validator("move")
    @classmethod
    def _below(cls, folder: str) -> str:
        if "{" in folder:
            raise Hinted("takes no fields", "write one folder: what lies there is never listed again")
        try:
            name = Name(folder.rstrip("/"))
        except Rejected:
            raise ValueError('wants a folder below `path`, such as "done/"') from None
        return name.raw.decode("utf-8", "surrogateescape")

    def target(self, name: Name) -> Name:
        """Where the file `name` goes."""
        return Name(self.move) / name


class Backoff(Table):
    """How long to wait before the next try: `first`, doubled each time, up to `cap`, with jitter."""

    first: Duration = Field(1.0, gt=0)
    cap: Duration = Field(900.0, gt=0)

    @model_validator(mode="after")
    def _rising(self) -> Backoff:
        if self.first > self.cap:
            raise ValueError("first is more than cap")
        return self


class Batch(Table):
    """How much travels together."""

    files: int = Field(256, ge=1, le=256)
    bytes: ByteSize = Field(256 * 2**20, ge=1)


def _after(value: Any) -> str:
    return "<table>" if isinstance(value, dict | Move) else "<word>"


After = Annotated[Annotated[Literal["keep", "delete"], Tag("<word>")] | Annotated[Move, Tag("<table>")], Discriminator(_after)]


class Route(Table):
    """From one remote, or from our servers, to others."""

    name: Identifier = Field(description="What the route is called in the ledger, in logs and on the command line.")
    source: From = Field(alias="from", description="What is taken.")
    steps: tuple[SerializeAsAny[Step], ...] = Field((), description="What is done to a file before it is delivered, one after another.")
    to: tuple[To, ...] = Field((), description="What is owed, to whom; may be left out where a hook is told.")
    on_received: Hook | None = Field(None, description="Who is told of each arrival: { command = [...] } or { url = ..., secret = ... }.")
    arrival: Arriving | None = Field(None, description="From our servers: when an upload counts as an arrival.")
    after: After = Field("keep", description='What becomes of the source once it is delivered: "keep", "delete" or { move = "done/" }.')
    expect: Expect | None = Field(None, description="What it is to bring, by when: { every = ... }, { by = ... } or { empty = true }.")
    notify: tuple[Identifier, ...] | None = Field(None, description="Which targets are told of it, of [notify.NAME]; all by default.")
    attempts: int = Field(3, ge=1, le=1000, description="How often a file is tried before it has failed.")
    backoff: Backoff = Backoff()
    batch: Batch = Batch()
    enabled: bool = Field(default=True, description="Whether the route runs.")

    @model_validator(mode="after")
    def _leave_what_was_moved(self) -> Route:
        if isinstance(self.after, Move):
            self.source._moved_to = self.after.move  # noqa: SLF001 - a From does not know its route
        return self

    @cached_property
    def recipe(self) -> tuple[str, str] | None:
        """The steps as the ledger keeps them, behind their digest; None where there are none. Secrets stay references."""
        if not self.steps:
            return None
        text = json.dumps([step.model_dump(mode="json", by_alias=True, exclude_unset=True) for step in self.steps], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest(), text

    @property
    def hooked(self) -> bool:
        """Whether a hook is told of each arrival."""
        return self.on_received is not None or registered(self.name)

    @property
    def destinations(self) -> tuple[To, ...]:
        """All that is owed to: the remotes of `to`, and the hook, as if it were one more."""
        return (*self.to, _hook_of(self.name)) if self.hooked else self.to

    @field_validator("to", mode="before")
    @classmethod
    def _identified(cls, entries: Any) -> Any:
        """Each destination without an id gets the remote's name, with -2, -3 where that is taken: stable while the order is."""
        if not isinstance(entries, Sequence) or isinstance(entries, str):
            return entries
        taken = {entry["id"] for entry in entries if isinstance(entry, dict) and isinstance(entry.get("id"), str)}
        return tuple(_with_id(entry, taken) for entry in entries)

    @field_validator("to")
    @classmethod
    def _told_apart(cls, entries: tuple[To, ...]) -> tuple[To, ...]:
        ids = [entry.id for entry in entries]
        twice = sorted({one for one in ids if ids.count(one) > 1})
        if twice:
            raise ValueError(f'two destinations have the id "{twice[0]}"')
        return entries


def _hook_of(route: str) -> To:
    """The hook as a destination. Every version of a file is told of, so none replaces another."""
    return To.model_construct(
        remote=f"{HOOK}{route}",
        name=DEFAULT,
        match=("*",),
        id="@hook",
        conflict="version",
        marker=None,
        verify=Verify.NONE,  # type: ignore[arg-type] # no operator can ask for that
        required=True,
    )


def _with_id(entry: Any, taken: set[str]) -> Any:
    if not isinstance(entry, dict) or "id" in entry or not isinstance(entry.get("remote"), str):
        return entry
    base = one = entry["remote"]
    count = 1
    while one in taken:
        count += 1
        one = f"{base}-{count}"
    taken.add(one)
    return {**entry, "id": one}
