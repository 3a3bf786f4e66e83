"""The kinds of remote: ours and those of installed packages, each imported only when it is named."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points

from transload.errors import ConfigError
from transload.remotes.base import RemoteSettings

GROUP = "transload.remotes"
OURS = {
    "folder": "transload.remotes.folder:FolderRemote",
    "ftp": "transload.remotes.ftp:FtpRemote",
    "sftp": "transload.remotes.sftp:SftpRemote",
    "http": "transload.remotes.http:HttpRemote",
    "s3": "transload.remotes.objects:S3Remote",
    "azure": "transload.remotes.objects:AzureRemote",
    "gcs": "transload.remotes.objects:GcsRemote",
}


def names() -> list[str]:
    """Every kind that there is."""
    return sorted({*OURS, *entry_points(group=GROUP).names})


def kind(name: str) -> type[RemoteSettings]:
    """The settings of a kind; LookupError when there is none, ConfigError when it cannot be had here."""
    try:
        found = _ours(OURS[name]) if name in OURS else entry_points(group=GROUP)[name].load()
    except ImportError as error:
        raise ConfigError(f'the kind "{name}" cannot be loaded: {error}') from error
    if not (isinstance(found, type) and issubclass(found, RemoteSettings)):
        raise ConfigError(f'the kind "{name}" cannot be loaded: its package does not give a RemoteSettings')
    return found


def _ours(place: str) -> object:
    module, _, cls = place.partition(":")
    return getattr(import_module(module), cls, None)
