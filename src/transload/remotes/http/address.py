"""Web addresses as an operator writes them: checked once, without credentials, shown without their query."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator

_SUFFIX = re.compile(r"(?:\.[A-Za-z0-9]{1,10})?\.(?:gz|bz2|xz|zst|lz4|br|Z)$|\.[A-Za-z0-9]{1,10}$")


def address(text: str) -> str:
    """`text` when it is a web address to fetch from; ValueError says what is wrong with it, without repeating it."""
    fault = _fault(text)
    if fault:
        raise ValueError(fault)
    return text


def _fault(text: str) -> str:
    if any(char.isspace() or not char.isprintable() for char in text) or "\\" in text:
        return "a URL has no spaces, control characters or backslashes"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return "this is no URL"
    if parts.scheme not in ("http", "https"):
        return "wants a URL that starts with http:// or https://"
    if "@" in parts.netloc:
        return "no user or password in a URL: set user and password (or token) of the remote instead"
    if not parts.hostname or port == 0:
        return "this URL names no host" if not parts.hostname else "port 0 is no port"
    return ""


def suffix(url: str) -> str:
    """The suffix of the file that `url` names, with its dot (".csv", ".csv.gz"), or nothing."""
    base = unquote(urlsplit(url).path.rpartition("/")[2])
    found = _SUFFIX.search(base)
    return found[0] if found and found.start() > 0 else ""


def shown(url: str) -> str:
    """`url` for logs and pages: without the query, which may hold a key."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


Address = Annotated[str, AfterValidator(address)]
