"""The kinds of remotes and steps: ours and those of installed packages, each imported only when it is named."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from pydantic import BaseModel

from transload.errors import ConfigError
from transload.remotes.base import RemoteSettings
from transload.steps.base import Step
from transload.steps.function import registered

T = TypeVar("T", bound=BaseModel)


@dataclass(frozen=True)
class Kinds(Generic[T]):
    """One family of kinds: `ours`, by name, and those under the entry points `group`; all of them are a `base`."""

    group: str
    base: type[T]
    ours: Mapping[str, str]
    functions: Callable[[], Mapping[str, type[T]]] = dict
    """Those that are functions of the user's modules, which are imported before."""

    def names(self) -> list[str]:
        """Every kind that there is."""
        return sorted({*self.ours, *self.functions(), *entry_points(group=self.group).names})

    def find(self, name: str) -> type[T]:
        """The settings of a kind; LookupError when there is none, ConfigError when it cannot be had here."""
        try:
            found = _placed(self.ours[name]) if name in self.ours else self.functions().get(name)
            found = entry_points(group=self.group)[name].load() if found is None else found
        except ImportError as error:
            raise ConfigError(f'the kind "{name}" cannot be loaded: {error}') from error
        if not (isinstance(found, type) and issubclass(found, self.base)):
            raise ConfigError(f'the kind "{name}" cannot be loaded: its package does not give a {self.base.__name__}')
        return found


REMOTES = Kinds(
    "transload.remotes",
    RemoteSettings,
    {
        "folder": "transload.remotes.folder:FolderRemote",
        "ftp": "transload.remotes.ftp:FtpRemote",
        "sftp": "transload.remotes.sftp:SftpRemote",
        "http": "transload.remotes.http:HttpRemote",
        "s3": "transload.remotes.objects:S3Remote",
        "azure": "transload.remotes.objects:AzureRemote",
        "gcs": "transload.remotes.objects:GcsRemote",
    },
)

STEPS = Kinds(
    "transload.steps",
    Step,  # type: ignore[type-abstract] # a family is named by what all of it is
    {
        "checksum": "transload.steps.checksum:Checksum",
        "command": "transload.steps.command:Command",
        "compress": "transload.steps.compress:Compress",
        "format": "transload.steps.format:Format",
        "limits": "transload.steps.limits:Limited",
        "rename": "transload.steps.rename:Rename",
        "scan": "transload.steps.scan:Scan",
        "unpack": "transload.steps.unpack:Unpack",
    },
    registered,
)


def _placed(place: str) -> object:
    module, _, cls = place.partition(":")
    return getattr(import_module(module), cls, None)
