"""From a URL to a client."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from pydantic import PrivateAttr, ValidationError

from transload.client.line import PATIENCE, Client
from transload.config.kinds import REMOTES
from transload.errors import ConfigError
from transload.secret import Secret

_SCHEMES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "": ("folder", {}),
    "file": ("folder", {}),
    "ftp": ("ftp", {"tls": "off"}),
    "ftpes": ("ftp", {"tls": "explicit"}),
    "ftps": ("ftp", {"tls": "implicit"}),
    "sftp": ("sftp", {}),
    "s3": ("s3", {}),
}


def connect(url: str, *, password: str | None = None, key: str | Path | None = None, patience: float = PATIENCE, **settings: Any) -> Client:
    """A client for the place at `url`: a folder's path, file://, ftp://, ftpes:// (TLS), ftps:// (implicit TLS), sftp:// or s3://bucket/prefix.

    `password` and `key` (a private key's file) log in; `settings` are the other keys that a remote of that kind has in the
    config, such as host_key, ca, timeout or endpoint; secrets among them as plain text. A path in the URL is relative to
    the login folder, with // at its beginning it is absolute. It connects when it is first used. A connection that was lost is tried again
    for `patience` seconds, and what was cut goes on where it was. Raises ConfigError.
    """
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES:
        raise ConfigError(f"{parts.scheme}:// is not known; there are {', '.join(f'{one}://' for one in _SCHEMES if one)} and folders")
    if parts.password is not None:
        raise ConfigError("a password does not stand in a URL: connect(url, password=...)")
    name, fixed = _SCHEMES[parts.scheme]
    told = {**fixed, **_place(name, parts, url), **dict(parse_qsl(parts.query)), **settings}
    if password is not None:
        told["password"] = password
    if key is not None:
        told["key"] = Secret(file=Path(key)) if name == "sftp" else key
    model = REMOTES.find(name)
    secrets = {field for field, info in model.model_fields.items() if "Secret" in str(info.annotation)}
    told = {field: _given(value) if field in secrets and isinstance(value, str) else value for field, value in told.items()}
    try:
        return Client(model.model_validate({"kind": name, **told}), patience=patience)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_input=False, include_url=False)
        )
        raise ConfigError(f"connect: {faults}") from error


def _place(name: str, parts: SplitResult, url: str) -> dict[str, Any]:
    if name == "folder":
        return {"path": unquote(parts.path) if parts.scheme else url}
    if name == "s3":
        return {"bucket": parts.netloc, "prefix": unquote(parts.path).strip("/")}
    told: dict[str, Any] = {"host": parts.hostname or "", "path": unquote(parts.path).removeprefix("/")}
    return told | ({"port": parts.port} if parts.port else {}) | ({"user": unquote(parts.username)} if parts.username else {})


class _Given(Secret):
    """A secret that the program has at hand."""

    _text: str = PrivateAttr("")

    def fault(self) -> str:
        return ""

    def _value(self) -> bytes:
        return self._text.encode("utf-8", "surrogateescape")


def _given(text: str) -> Secret:
    secret = _Given(env="(given)")
    secret._text = text  # noqa: SLF001 - it is ours
    return secret
