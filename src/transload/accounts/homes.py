"""Where a user's home may be: below the folder for homes unless absolute, and never where our own state lies."""

from __future__ import annotations

import os
from pathlib import Path

from transload.errors import ConfigError


def home_of(name: str, told: str | os.PathLike[str] | None, base: Path, data: Path | None = None) -> str:
    """The absolute path of the home of `name`; by default its folder in `base`.

    Raises ConfigError when it leads out of `base` with dots, or would show what lies in our `data` folder beside `base`.
    """
    text = name if told is None else os.fspath(told)
    if not text or not text.isprintable():
        raise ConfigError("home: wants a folder's path")
    if ".." in Path(text).parts:
        raise ConfigError(f"home: {text} leads upwards: write the path without ..")
    home = os.path.normpath(os.path.join(base.absolute(), text))
    if data is not None:
        _keep_apart(home, os.path.realpath(base), os.path.realpath(data))
    return home


def _keep_apart(home: str, base: str, data: str) -> None:
    real = os.path.realpath(home)
    if _below(data, real) or (_below(real, data) and (real == base or not _below(real, base))):
        raise ConfigError(f"home: {home} holds Transload's own files: take a folder below {base}, or one outside of {data}")


def _below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
