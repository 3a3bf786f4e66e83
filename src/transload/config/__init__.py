"""The config file as checked, frozen values."""

from __future__ import annotations

from transload.config.file import Config, check, default_path
from transload.config.route import Backoff, Batch, From, Move, Route, To
from transload.config.schema import schema
from transload.config.server import Arriving, FtpServer, Hook, Servers, SftpServer, User
from transload.config.settings import LogSettings, Settings, SpoolSettings
from transload.explain import ConfigFaults, Fault

__all__ = [
    "Arriving",
    "Backoff",
    "Batch",
    "Config",
    "ConfigFaults",
    "Fault",
    "From",
    "FtpServer",
    "Hook",
    "LogSettings",
    "Move",
    "Route",
    "Servers",
    "Settings",
    "SftpServer",
    "SpoolSettings",
    "To",
    "User",
    "check",
    "default_path",
    "schema",
]
