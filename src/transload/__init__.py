"""Transload moves files that nobody can afford to lose.

The names below are the public ones; each is imported when it is first used, so that `import transload` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transload.app import Transload
    from transload.client import Client, connect
    from transload.config import Config
    from transload.errors import (
        Busy,
        Changed,
        ConfigError,
        Conflict,
        Denied,
        Full,
        LedgerAway,
        Missing,
        Permanent,
        Refused,
        Rejected,
        Transient,
        TransloadError,
        Unreachable,
    )
    from transload.protocols import Arrived
    from transload.remotes.hook import on_received
    from transload.servers.library import FTPServer, SFTPServer
    from transload.steps import Step
    from transload.steps.function import step
    from transload.summary import Summary

__all__ = [
    "Arrived",
    "Busy",
    "Changed",
    "Client",
    "Config",
    "ConfigError",
    "Conflict",
    "Denied",
    "FTPServer",
    "Full",
    "LedgerAway",
    "Missing",
    "Permanent",
    "Refused",
    "Rejected",
    "SFTPServer",
    "Step",
    "Summary",
    "Transient",
    "Transload",
    "TransloadError",
    "Unreachable",
    "connect",
    "on_received",
    "step",
]
_HOMES = {
    "Arrived": "transload.protocols",
    "Client": "transload.client",
    "Config": "transload.config",
    "FTPServer": "transload.servers.library",
    "SFTPServer": "transload.servers.library",
    "Step": "transload.steps",
    "Summary": "transload.summary",
    "Transload": "transload.app",
    "connect": "transload.client",
    "on_received": "transload.remotes.hook",
    "step": "transload.steps.function",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'transload' has no attribute {name!r}")
    found = getattr(import_module(_HOMES.get(name, "transload.errors")), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
