"""Renaming without ever replacing."""

from __future__ import annotations

import ctypes
import errno
import os

from transload.disk.libc import failure, libc

_RENAME_NOREPLACE = 1
_HERE = -100  # AT_FDCWD


def rename_new(source: bytes, target: bytes, source_folder: int = _HERE, target_folder: int = _HERE) -> None:
    """Rename `source` to `target`, never over anything: FileExistsError when the name is taken, other OSError as they come."""
    if hasattr(libc, "renameat2"):
        if not libc.renameat2(source_folder, source, target_folder, target, _RENAME_NOREPLACE):
            return
        if ctypes.get_errno() not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
            raise failure(target)
    _link_and_unlink(source, target, source_folder, target_folder)


def _link_and_unlink(source: bytes, target: bytes, source_folder: int, target_folder: int) -> None:
    here, there = (None if folder == _HERE else folder for folder in (source_folder, target_folder))
    try:
        os.link(source, target, src_dir_fd=here, dst_dir_fd=there, follow_symlinks=False)
    except FileExistsError:
        if (source, here) == (target, there) or not _are_one(os.lstat(source, dir_fd=here), os.lstat(target, dir_fd=there)):
            raise
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
            raise
        _look_and_rename(source, target, here, there)
        return
    os.unlink(source, dir_fd=here)


def _are_one(first: os.stat_result, second: os.stat_result) -> bool:
    # A try that died between link and unlink left both names on one file.
    return os.path.samestat(first, second) and first.st_nlink > 1


def _look_and_rename(source: bytes, target: bytes, here: int | None, there: int | None) -> None:
    # The last resort of file systems with neither way: somebody may take the name between the two lines.
    try:
        os.lstat(target, dir_fd=there)
    except FileNotFoundError:
        os.rename(source, target, src_dir_fd=here, dst_dir_fd=there)
        return
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
