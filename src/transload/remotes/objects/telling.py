"""What an object store's errors mean, told once, by what to do about them, and never with a secret."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from transload.errors import Busy, Changed, Conflict, Denied, Missing, Refused, TransloadError, Unreachable
from transload.model import spell

if TYPE_CHECKING:
    from collections.abc import Iterable

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_MESSAGE = re.compile(r"<Message>([^<\n]*)|\"message\": \"([^\"\n]*)")
_QUERY = re.compile(r"\?\S+")
_REASON = re.compile(r"message: \"([^\"]+)\"")

_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound", "The specified bucket does not exist")
_STALE = ("ExpiredToken", "InvalidToken", "TokenRefreshRequired")
_METADATA = ("169.254.169.254", "169.254.170.2", "metadata.google.internal")
_BROKEN = (
    ("dns error", "its name does not resolve"),
    ("ConnectionRefused", "it refuses the connection"),
    ("TimedOut", "it does not answer"),
    ("timed out", "it does not answer"),
)


class NoBucket(Missing):
    """The bucket or container itself is not there: nothing in it can be reached."""


class Unlistable(Refused):
    """A key in the listing is none that obstore can speak of; the listing ended there."""


class NotOffered(Refused):
    """The store does not know this kind of request."""


class ObjectStoreError(Exception):
    """A foreign error's own words, without secrets; the cause of ours."""


_DENIED = (Denied, "access is denied")
_ELSEWHERE = (Denied, "it is somewhere else; are region and endpoint right?")
_LATER = (Busy, "the store asks to come again later")
_NEVER = (Refused, "the store refuses it")
_STATUSES: dict[int, tuple[type[TransloadError], str]] = {
    **dict.fromkeys((300, 301, 302, 307, 308), _ELSEWHERE),
    **dict.fromkeys((401, 403), _DENIED),
    **dict.fromkeys((408, 409, 425, 429), _LATER),
    404: (Missing, "it is not there"),
    412: (Changed, "it is no longer the object that was listed"),
    416: (Changed, "it is shorter than it was when it was listed"),
    501: (NotOffered, "the store does not offer this"),
}
_PLAIN = (404, 412, 416)


def translate(error: Exception, *, store: str, endpoint: str, key: str, secrets: Iterable[str]) -> tuple[TransloadError, Exception]:
    """Our error for a foreign one, and the cause to show with it (the foreign one may hold a secret)."""
    words = str(error)
    for secret in secrets:
        words = words.replace(secret, "***")
    words = _QUERY.sub("?...", words)
    about = f"{store}: {spell(key.encode('utf-8', 'surrogateescape'))}" if key else store
    kind, text = _judged(error, words, endpoint)
    return kind(f"{about}: {text}"), ObjectStoreError(words.partition("\n\nDebug source")[0])


def _judged(error: Exception, words: str, endpoint: str) -> tuple[type[TransloadError], str]:
    from obstore import exceptions as foreign

    found = _STATUS.search(words)
    match error:
        case foreign.AlreadyExistsError():
            return Conflict, "another object already has that name"
        case foreign.PreconditionError() | foreign.NotModifiedError():
            return _by_status(412, words)
        case FileNotFoundError():
            return _by_status(404, words)
        case foreign.PermissionDeniedError() | foreign.UnauthenticatedError():
            return _by_status(403, words)
        case foreign.InvalidPathError():
            return Unlistable, f"it cannot be used: {words.partition(chr(10))[0]}"
        case foreign.NotSupportedError() | ValueError():
            return Refused, f"it cannot be used: {words.partition(chr(10))[0]}"
        case _:
            return _by_status(int(found[1]), words) if found else _by_connection(words, endpoint)


def _by_status(status: int, words: str) -> tuple[type[TransloadError], str]:
    if any(sign in words for sign in _NO_BUCKET):
        return NoBucket, "this bucket or container does not exist"
    if any(sign in words for sign in _STALE):
        status = 403
    kind, text = _STATUSES.get(status) or (_LATER if status >= 500 else _NEVER)
    said = f"{_said(words)} (status {status})".lstrip()
    return kind, text if status in _PLAIN else f"{text}: {said}"


def _by_connection(words: str, endpoint: str) -> tuple[type[TransloadError], str]:
    if "certificate" in words:
        found = re.search(r"certificate[^\"\n]*", words)
        return Denied, f"{endpoint} shows a certificate that is not trusted: {found[0] if found else ''}"
    if any(sign in words for sign in _METADATA):
        return Unreachable, "no credentials are given, and this machine has no role that supplies them"
    for sign, text in _BROKEN:
        if sign in words:
            return Unreachable, f"{endpoint} cannot be reached: {text}"
    if "redirect" in words:
        return _ELSEWHERE
    found = _REASON.search(words)
    return Unreachable, f"the connection to {endpoint} broke" + (f": {found[1]}" if found else "")


def _said(words: str) -> str:
    code, message = _CODE.search(words), _MESSAGE.search(words)
    parts = [code[1] if code else "", (message[1] or message[2] or "").strip() if message else ""]
    return ": ".join(part for part in parts if part)
