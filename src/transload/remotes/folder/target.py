"""A folder that files are delivered to."""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import NamedTuple

from transload import disk
from transload.errors import Conflict, Missing, Refused, TransloadError, Unreachable
from transload.model import Entry, Name, Parcel, Receipt, Staged, Verify
from transload.remotes.folder.place import Place, digest, telling

_GROUP = 256


class _Laid(NamedTuple):
    """A parcel whose bytes were written, not yet durable."""

    parcel: Parcel
    volume: disk.Volume


class Target(Place):
    """The folder, for writing: each file whole or absent."""

    def stage(self, parcels: Iterable[Parcel]) -> Iterator[Staged]:
        """Write each parcel beside its final name; its bytes are durable when the outcome is told."""
        self._afresh()
        rest = iter(parcels)
        while group := list(islice(rest, _GROUP)):
            laid: list[_Laid] = []
            faults = [self._lay(parcel, laid) for parcel in group]
            with telling(self._base.root):
                self._sync_laid(laid)
            for parcel, fault in zip(group, faults, strict=True):
                yield Staged(parcel, error=fault) if fault else self._verified(parcel)

    def _lay(self, parcel: Parcel, laid: list[_Laid]) -> TransloadError | None:
        try:
            self.moved(parcel.size)
            try:
                volume = self._written(parcel)
            except FileNotFoundError:
                # Its folder was removed since this batch looked: it is made again.
                self._base.close()
                volume = self._written(parcel)
        except OSError as error:
            return disk.told(error, parcel.name.raw)
        except TransloadError as error:
            return error
        laid.append(_Laid(parcel, volume))
        return None

    def _written(self, parcel: Parcel) -> disk.Volume:
        folder = self._base.folder(parcel.name.folder, make=True)
        if len(parcel.name.base) > folder.longest:
            raise Refused(f"{parcel.name}: its last part has {len(parcel.name.base)} bytes, this place holds {folder.longest}")
        # Before the bytes, so that it hears of a write that fails later.
        volume = self._volume(folder)
        _write(folder.descriptor, parcel)
        return volume

    def _sync_laid(self, laid: list[_Laid]) -> None:
        by_volume: dict[disk.Volume, list[Parcel]] = defaultdict(list)
        for item in laid:
            by_volume[item.volume].append(item.parcel)
        for volume, some in by_volume.items():
            volume.sync(len(some), self._each(some))
        self._sync_folders(self._base, ())

    def _each(self, parcels: list[Parcel]) -> Iterator[int]:
        for parcel in parcels:
            # One that somebody removed meanwhile is missed when it is published.
            with suppress(FileNotFoundError):
                yield from disk.opened([_temporary(parcel.key)], self._base.folder(parcel.name.folder).descriptor)

    def _verified(self, parcel: Parcel) -> Staged:
        token = _temporary(parcel.key)
        if parcel.verify.rank <= Verify.SIZE.rank:
            return Staged(parcel, token.decode(), Verify.SIZE)
        try:
            folder = self._base.folder(parcel.name.folder).descriptor
            for source in disk.opened([token], folder):
                if parcel.verify is Verify.READ_BACK:
                    # What is only in memory says nothing about the disk.
                    os.posix_fadvise(source, 0, 0, os.POSIX_FADV_DONTNEED)
                if digest(source) == parcel.sha256:
                    return Staged(parcel, token.decode(), parcel.verify)
            os.unlink(token, dir_fd=folder)
        except OSError as error:
            return Staged(parcel, error=disk.told(error, parcel.name.raw))
        return Staged(parcel, error=Unreachable(f"{parcel.name}: what was written reads back as other bytes"))

    def publish(self, staged: Iterable[Staged]) -> Iterator[Receipt]:
        """Rename each to its final name; durable when the outcome is told."""
        self._afresh()
        rest = iter(staged)
        while group := list(islice(rest, _GROUP)):
            receipts = [self._published(item) for item in group]
            with telling(self._base.root):
                self._sync_folders(self._base, {receipt.parcel.name.folder for receipt in receipts if not receipt.error})
            yield from receipts

    def _published(self, item: Staged) -> Receipt:
        error = item.error or self._rename(item)
        return Receipt(item.parcel, error=error) if error else Receipt(item.parcel, item.verified)

    def _rename(self, item: Staged) -> TransloadError | None:
        name, token = item.parcel.name, item.token.encode()
        try:
            folder = self._base.folder(name.folder)
            self._volume(folder)
            if item.parcel.replace:
                os.rename(token, name.base, src_dir_fd=folder.descriptor, dst_dir_fd=folder.descriptor)
            else:
                _rename_new(token, name.base, folder.descriptor)
        except FileNotFoundError:
            return Missing(f"{name}: its temporary file {item.token} is gone")
        except FileExistsError:
            return Conflict(f"{name}: another file has this name")
        except OSError as error:
            return disk.told(error, name.raw)
        except TransloadError as error:
            return error
        return None

    def look(self, name: Name) -> Entry | None:
        """What is there under `name`, or None."""
        return self._seen("", name)

    def hash(self, name: Name) -> str | None:
        """The SHA-256 of what is there under `name`, read from it; None if absent."""
        with telling(name.raw):
            try:
                source = self._base.open(name.raw)
            except FileNotFoundError:
                return None
            try:
                if not stat.S_ISREG(os.fstat(source).st_mode):
                    raise Conflict(f"{name}: something other than a file has this name")
                return digest(source)
            finally:
                os.close(source)

    def sweep(self, key: str, name: Name) -> None:
        """Remove what a dead try left under the temporary name made of `key`, beside `name`."""
        self._afresh()
        with telling(name.raw), suppress(FileNotFoundError):
            os.unlink(_temporary(key), dir_fd=self._base.folder(name.folder).descriptor)


def _temporary(key: str) -> bytes:
    return b".%s.part" % key.encode()


def _rename_new(token: bytes, base: bytes, folder: int) -> None:
    try:
        disk.rename_new(token, base, folder, folder)
    except FileExistsError:
        # A name that is taken is the answer only if there is something to rename: Missing tells of a try that went through.
        os.stat(token, dir_fd=folder, follow_symlinks=False)
        raise


def _write(folder: int, parcel: Parcel) -> None:
    temporary = _temporary(parcel.key)
    target = _create(folder, temporary)
    try:
        try:
            _fill(target, parcel)
        finally:
            os.close(target)
    except BaseException:
        os.unlink(temporary, dir_fd=folder)
        raise


def _create(folder: int, temporary: bytes) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    try:
        return os.open(temporary, flags, 0o666, dir_fd=folder)
    except FileExistsError:
        os.unlink(temporary, dir_fd=folder)
        return os.open(temporary, flags, 0o666, dir_fd=folder)


def _fill(target: int, parcel: Parcel) -> None:
    if parcel.file:
        source = _opened(parcel.file)
        try:
            if parcel.size <= disk.BLOCK:
                disk.write_all(target, os.read(source, disk.BLOCK + 1))
            else:
                disk.copy(source, target, parcel.size)
        finally:
            os.close(source)
    size = os.fstat(target).st_size
    if size != parcel.size:
        raise Missing(f"{parcel.name}: {size} of its {parcel.size} bytes are in the spool at {parcel.file}")
    if parcel.modified is not None:
        _date(target, parcel.modified * 1000)


def _opened(file: str) -> int:
    try:
        return os.open(file, os.O_RDONLY)
    except OSError as error:
        raise disk.told(error, file) from error


def _date(target: int, nanos: int) -> None:
    # The time is a courtesy: some disks let only the owner set it, and none holds every year.
    with suppress(PermissionError, OverflowError):
        os.utime(target, ns=(nanos, nanos))
