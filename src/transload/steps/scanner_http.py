"""Scanners that are asked over HTTP: the file goes in a form, and each dialect has its own words for "clean"."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import BinaryIO, Literal
from urllib.parse import SplitResult, urlsplit

from transload.errors import Busy, ConfigError, Unreachable
from transload.steps.clamd import BLOCK, LONGEST, Answer, Line, dial, telling

Dialect = Literal["body", "v1alpha", "v2"]
_SENTENCE = re.compile(r"\bEverything ok\s*:\s*(true|false)\b")
_UNNAMED = "a virus that the scanner does not name"
# The real name is never sent: a scanner that repeats it could be made to say anything.
_FORM = (
    "--{edge}\r\n"
    'Content-Disposition: form-data; name="name"\r\n\r\n'
    "upload\r\n"
    "--{edge}\r\n"
    'Content-Disposition: form-data; name="file"; filename="upload"\r\n'
    "Content-Type: application/octet-stream\r\n\r\n"
)
_HEAD = (
    "POST {target} HTTP/1.1\r\n"
    "Host: {host}\r\n"
    "User-Agent: transload\r\n"
    "Accept: application/json, text/plain\r\n"
    "Accept-Encoding: identity\r\n"
    "Connection: close\r\n"
    "Content-Type: multipart/form-data; boundary={edge}\r\n"
    "Content-Length: {length}\r\n\r\n"
)


@dataclass(frozen=True, slots=True)
class HttpScanner:
    """The scanner at `url`; its answer has `patience` seconds. Raises Unreachable when none comes whole, else Busy."""

    url: str
    dialect: Dialect
    ca: Path | None
    patience: float

    def facts(self, _: Callable[[], None]) -> dict[str, str]:
        """Which scanner it is; none tells of its signatures."""
        parts = urlsplit(self.url)
        return {"engine": f"{parts.scheme}://{parts.netloc}{parts.path}", "signatures": ""}

    def close(self) -> None:
        """Nothing is kept between two questions."""

    def ask(self, file: BinaryIO, size: int, beat: Callable[[], None]) -> Answer:
        """What it finds in the file's bytes."""
        edge = secrets.token_hex(20)
        form, end = _FORM.format(edge=edge).encode(), f"\r\n--{edge}--\r\n".encode()
        parts = urlsplit(self.url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        head = _HEAD.format(target=target, host=parts.netloc, edge=edge, length=len(form) + size + len(end)).encode()
        digest, whole = hashlib.sha256(), False
        with self._line(parts, beat) as line:
            try:
                line.send(head + form)
                while piece := file.read(BLOCK):
                    digest.update(piece)
                    line.send(piece)
                line.send(end)
                whole = True
            except (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
                # What it said before it hung up (413, perhaps) is still there to be read.
                pass
            status, body = self._answer(line)
        signature = _judged(self.dialect, status, body) if whole else None
        if signature is None:
            raise Busy(f"the scanner at {self._name} could not scan it: it answers {status}, {body[:120]!a}{_hint(status)}")
        return Answer(signature, digest.hexdigest(), self.facts(beat))

    def _answer(self, line: Line) -> tuple[int, str]:
        response = HTTPResponse(line, method="POST")  # type: ignore[arg-type]
        try:
            response.begin()
            body = response.read(LONGEST)
            if response.length and len(body) < LONGEST:
                raise Unreachable(f"the scanner at {self._name} hung up before its answer was whole")
        finally:
            response.close()
        if len(body) == LONGEST:
            raise Busy(f"the scanner at {self._name} answers {response.status} with more than {LONGEST} bytes")
        return response.status, body.decode("utf-8", "replace")

    @property
    def _name(self) -> str:
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"

    @contextmanager
    def _line(self, parts: SplitResult, beat: Callable[[], None]) -> Iterator[Line]:
        secure = parts.scheme == "https"
        where = parts.hostname or "", parts.port or (443 if secure else 80)
        try:
            with telling(f"the scanner at {self._name}", self.patience):
                made = dial(where, self.patience)
                try:
                    if secure:
                        made = self._context().wrap_socket(made, server_hostname=where[0])
                except BaseException:
                    made.close()
                    raise
                with Line(made, self.patience, beat) as line:
                    yield line
        except HTTPException as error:
            raise Unreachable(f"the scanner at {self._name} gave no whole answer of HTTP: {type(error).__name__}") from error

    def _context(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self.ca)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"ca: {self.ca} cannot be used: {error}") from error


def _judged(dialect: Dialect, status: int, body: str) -> str | None:
    """The signature, "" for clean, and None for everything that is not plainly one of the two."""
    return _by_sentence(status, body) if dialect == "body" else _by_json(status, body)


def _by_sentence(status: int, body: str) -> str | None:
    """With a 2xx, "Everything ok : true" is clean; "false" is infected, unless the server says that it failed."""
    told = set(_SENTENCE.findall(body))
    if told == {"true"} and 200 <= status < 300:
        return ""
    return _UNNAMED if told == {"false"} and status < 500 else None


def _by_json(status: int, body: str) -> str | None:
    """{"Status": "OK" or "FOUND", "Description": "..."} with 200, or 406 where something is found; in v2, one such in a list."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if isinstance(told, list) and len(told) == 1:
        told = told[0]
    if not isinstance(told, dict):
        return None
    description = told.get("Description") or ""
    if told.get("Status") == "OK" and status == 200 and description == "":
        return ""
    return str(description) or _UNNAMED if told.get("Status") == "FOUND" and status in (200, 406) else None


def _hint(status: int) -> str:
    return "; raise its limit, or lower max_size" if status == 413 else ""
