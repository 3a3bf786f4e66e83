"""Secrets, only ever by reference: from the environment, a file, or a command."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import threading
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, quote_plus, unquote

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationInfo, model_validator

from transload.errors import ConfigError


def _absolute(path: Path, info: ValidationInfo) -> Path:
    folder = (info.context or {}).get("folder")
    return Path(folder, path.expanduser()) if folder else path.expanduser()


RelativePath = Annotated[Path, AfterValidator(_absolute)]
"""A path; a relative one is relative to the config file."""


class Secret(BaseModel):
    """`{ env = "NAME" }`, `{ file = "path" }` or `{ command = ["..."] }`; the value itself is never kept or shown."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    env: str | None = None
    file: RelativePath | None = None
    command: tuple[str, ...] | None = None

    @model_validator(mode="before")
    @classmethod
    def _only_a_reference(cls, value: Any) -> Any:
        if isinstance(value, str):
            message = 'a secret is written as a reference: { env = "NAME" }, { file = "path" } or { command = ["..."] }'
            raise ValueError(message)  # noqa: TRY004
        return value

    @model_validator(mode="after")
    def _exactly_one(self) -> Secret:
        if sum(value is not None for value in (self.env, self.file, self.command)) != 1:
            message = "wants exactly one of env, file, command"
            raise ValueError(message)
        return self

    def fault(self) -> str:
        """Why the value is not there now, or nothing (a command is not run for this)."""
        if self.env is not None and self.env not in os.environ:
            return f"the environment variable {self.env} is not set"
        if self.file is not None:
            try:
                self.file.open("rb").close()
            except OSError as error:
                return f"{self.file} cannot be read: {error.strerror}"
        return ""

    def reveal(self) -> str:
        """The value, without a newline at its end; ConfigError says what is missing."""
        return self.reveal_bytes().decode("utf-8", "surrogateescape").rstrip("\r\n")

    def reveal_bytes(self) -> bytes:
        """The value byte for byte; ConfigError says what is missing."""
        fault = self.fault()
        if fault:
            raise ConfigError(fault)
        value = self._value()
        _remember(value.decode("utf-8", "surrogateescape").rstrip("\r\n"))
        return value

    def _value(self) -> bytes:
        if self.env is not None:
            return os.environb[self.env.encode()]
        if self.file is not None:
            return self.file.read_bytes()
        return _output(self.command or ())


_known: set[str] = set()
_spellings: re.Pattern[str] | None = None
_lock = threading.Lock()


def scrub(text: str) -> str:
    """`text` with *** for every secret that was ever revealed in this process, however it is spelled."""
    return _spellings.sub("***", text) if _spellings is not None else text


def _remember(value: str) -> None:
    global _spellings  # noqa: PLW0603 - read by every log line, so without a lock
    with _lock:
        if value in _known or len(value) < _SHORTEST:
            return
        _known.add(value)
        spelled = {one for known in _known for part in _parts(known) for one in _spelled(part)}
        _spellings = re.compile("|".join(map(re.escape, sorted(spelled, key=lambda one: (-len(one), one)))))


_SHORTEST = 4
_LONG = 16


def _parts(value: str) -> set[str]:
    """The secret, the password in it if it is a URL, and what is long enough in it to be a secret of its own."""
    words = {word.partition("=")[2] or word for word in re.split(r"[;&\s]", value)}
    url = re.match(r"[a-z0-9+.-]+://[^/@:]*:(.+)@", value, re.IGNORECASE)
    inner = {url[1], unquote(url[1])} if url else set()
    return {value, *(word for word in words if len(word) >= _LONG), *(word for word in inner if len(word) >= _SHORTEST)}


def _spelled(value: str) -> set[str]:
    quoted = {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], repr(value)[1:-1]}
    raw = value.encode("utf-8", "surrogateescape")
    return {value, *quoted, quote(raw), quote(raw, safe=""), quote_plus(raw), base64.b64encode(raw).decode()}


def _output(command: tuple[str, ...]) -> bytes:
    try:
        return subprocess.run(command, check=True, capture_output=True, timeout=30, stdin=subprocess.DEVNULL).stdout
    except (OSError, subprocess.SubprocessError) as error:
        message = f"the command {command[0]!r} gave no secret: {type(error).__name__}"
        raise ConfigError(message) from error
