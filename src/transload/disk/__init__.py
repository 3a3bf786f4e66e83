"""What a disk is asked for when no byte may be lost: sync in groups, copy without reading, rename without replacing."""

from __future__ import annotations

from transload.disk.beneath import open_beneath
from transload.disk.copying import BLOCK, append, copy, write_all
from transload.disk.renaming import rename_new
from transload.disk.replacing import replace_file, sync_folder
from transload.disk.telling import told
from transload.disk.tree import Folder, Tree
from transload.disk.volume import GROUP, Volume, opened

__all__ = [
    "BLOCK",
    "GROUP",
    "Folder",
    "Tree",
    "Volume",
    "append",
    "copy",
    "open_beneath",
    "opened",
    "rename_new",
    "replace_file",
    "sync_folder",
    "told",
    "write_all",
]
