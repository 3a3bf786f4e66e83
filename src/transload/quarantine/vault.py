"""The quarantine's own copies: bytes under their hash in a folder that nobody else reads."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple, Self

from transload import crash, disk
from transload.errors import ConfigError, Denied, Missing, Rejected
from transload.quarantine import sealed
from transload.quarantine.keys import Keys
from transload.spool import Spool
from transload.spool.locks import Turnstile, try_exclusive

_SEALED = ".sealed"
_SLICE = 256


class Gone(NamedTuple):
    """How much was removed."""

    files: int
    bytes: int


class Vault:
    """Bytes that are kept apart, in `folder` (mode 0700), under their SHA-256; sealed where there is a key, and then called so."""

    def __init__(self, folder: Path, keys: Keys | None = None) -> None:
        """Made on first use."""
        self._folder, self._keys = folder, keys or Keys()
        self._turnstile = Turnstile(folder)

    # In

    @contextmanager
    def keeping(self, sha256: str, source: Path) -> Iterator[None]:
        """A copy of these bytes is here, durably, and is not collected while this is held: tell the ledger inside it.

        Raises Full and such, and ConfigError when the key cannot be had; then nothing has changed.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder.chmod(0o700)
        place = self._place(sha256, sealed=self._keys.seals)
        place.parent.mkdir(mode=0o700, exist_ok=True)
        fresh = None if self._is_good(place, source) else self._written(place, source)
        try:
            with self._turnstile.shared():
                if fresh is None and not self._is_good(place, source):
                    fresh = self._written(place, source)
                if fresh is not None:
                    crash.point("copied apart")
                    os.rename(fresh.name, place)
                    fresh.close()
                    if self._keys.seals:
                        self._place(sha256, sealed=False).unlink(missing_ok=True)
                for folder in (place.parent, self._folder, self._folder.parent):
                    disk.sync_folder(folder)
                yield
        except BaseException:
            if fresh is not None and not fresh.closed:
                Path(fresh.name).unlink(missing_ok=True)
            raise
        finally:
            if fresh is not None:
                fresh.close()

    def _is_good(self, place: Path, source: Path) -> bool:
        """Whether a copy is there as one would be made now, as far as its size and its first bytes tell."""
        try:
            with place.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if self._keys.seals:
                    return sealed.size_of(size) == source.stat().st_size and sealed.is_by(self._keys.first(), file)
                return size == source.stat().st_size
        except FileNotFoundError:
            return False

    def _written(self, place: Path, source: Path) -> _Beside:
        """A copy beside its place, synced; locked as long as it is open, so that nobody takes it for what a dead process left."""
        beside = _Beside(place.parent)
        try:
            with source.open("rb") as given:
                if self._keys.seals:
                    sealed.seal(self._keys.first(), given, partial(disk.write_all, beside.descriptor))
                else:
                    disk.copy(given.fileno(), beside.descriptor, os.fstat(given.fileno()).st_size)
            os.fchmod(beside.descriptor, 0o400)
            os.fsync(beside.descriptor)
        except BaseException as error:
            Path(beside.name).unlink(missing_ok=True)
            beside.close()
            if isinstance(error, OSError):
                raise disk.told(error, place.name.encode()) from error
            raise
        return beside

    # Out

    def has(self, sha256: str) -> bool:
        """Whether there is a copy of these bytes."""
        return self.path(sha256).exists()

    def path(self, sha256: str) -> Path:
        """Where the copy of these bytes lies, or would."""
        places = [self._place(sha256, sealed=False), self._place(sha256, sealed=True)]
        return next((place for place in places if place.exists()), places[self._keys.seals])

    def read(self, sha256: str) -> Iterator[bytes]:
        """The bytes, a block at a time; they are what they should be only once the last one has come.

        Raises Missing when they are not here, ConfigError when no key opens them, Rejected when they are others: those stay as they are.
        """
        digest = hashlib.sha256()
        place, file = self._opened(sha256)
        with file:
            try:
                whole = iter(partial(file.read, disk.BLOCK), b"")
                for block in sealed.opened(self._keys.all(), file) if place.name.endswith(_SEALED) else whole:
                    digest.update(block)
                    yield block
            except Denied:
                hint = "name the key that has in [quarantine] key or older_keys; nothing was changed"
                raise ConfigError(f"{place}: none of the keys in the config has sealed it: {hint}") from None
            except Rejected as error:
                raise Rejected(f"{place}: {error}; it is left as it is") from None
            except OSError as error:
                raise disk.told(error, os.fsencode(place)) from error
        if digest.hexdigest() != sha256:
            raise Rejected(f"{place} has other bytes than were put there: they are left alone")

    def _opened(self, sha256: str) -> tuple[Path, BinaryIO]:
        """The copy, the one that was not sealed where there are both: it needs no key."""
        places = [self._place(sha256, sealed=False), self._place(sha256, sealed=True)]
        for place in places:
            try:
                return place, place.open("rb")
            except FileNotFoundError:
                continue
            except OSError as error:
                raise disk.told(error, os.fsencode(place)) from error
        raise Missing(f"its bytes are not in the quarantine of this machine: {places[self._keys.seals]}")

    def back(self, sha256: str, spool: Spool) -> None:
        """Put these bytes into the spool again, if need be; raises as `read` does, and Full."""
        if spool.has(sha256):
            return
        part = spool.fresh(self._size(sha256))
        try:
            for block in self.read(sha256):
                part.write(block)
        except BaseException:
            part.drop()
            raise
        spool.commit([part.done()])

    def _size(self, sha256: str) -> int:
        place = self.path(sha256)
        try:
            size = place.stat().st_size
        except FileNotFoundError:
            return 0
        return sealed.size_of(size) if place.name.endswith(_SEALED) else size

    def give(self, sha256: str, target: Path, tell: Callable[[], None]) -> None:
        """Write these bytes to the new file `target`, for its owner alone and not to be executed; it is there whole or not at all.

        `tell` is called when they are found to be whole, before they get that name. Raises as `read` does, Conflict when there is
        something of that name, and what the disk says.
        """
        try:
            if os.path.lexists(target):
                raise FileExistsError(errno.EEXIST, "is there already, and is not replaced")
            with _Beside(target.parent) as beside:
                try:
                    for block in self.read(sha256):
                        disk.write_all(beside.descriptor, block)
                    os.fsync(beside.descriptor)
                    tell()
                    disk.rename_new(os.fsencode(beside.name), os.fsencode(target))
                finally:
                    Path(beside.name).unlink(missing_ok=True)
            disk.sync_folder(target.parent)
        except OSError as error:
            raise disk.told(error, os.fsencode(target)) from error

    # Changes

    def changed(self) -> None:
        """The ledger has another word about what is kept apart on this machine: whoever reads `mark` learns of it."""
        at = time.time_ns()
        with suppress(FileNotFoundError):
            os.utime(self._folder, ns=(at, at))

    @property
    def mark(self) -> int:
        """Another one after each `changed`."""
        try:
            return os.stat(self._folder).st_mtime_ns
        except FileNotFoundError:
            return 0

    # Away

    def collect(self, held: Callable[[Sequence[str]], set[str]], hashes: Sequence[str] | None = None) -> Gone:
        """Remove the copies (those of `hashes`, or any) that nobody holds, and what dead processes left; nothing is put here meanwhile.

        `held` is given hashes and answers with those that somebody holds; it is asked twice, the second time with all others kept out.
        """
        gone = Gone(0, 0)
        for some in self._slices(hashes):
            names = sorted({path.name[:64] for path in some if not path.name.startswith(".")})
            free = set(names) - held(names)
            left = [path for path in some if path.name.startswith(".")]
            if not (free or left):
                continue
            with self._turnstile.alone():
                free -= held(sorted(free))
                for path in some:
                    if path.name[:64] in free or (path in left and _is_left(path)):
                        gone = _removed(path, gone)
        return gone

    def _slices(self, hashes: Sequence[str] | None) -> Iterator[list[Path]]:
        if hashes is not None:
            found = [place for one in hashes for place in (self._place(one, sealed=False), self._place(one, sealed=True)) if place.exists()]
        else:
            found = list(self._folder.glob("[0-9a-f][0-9a-f]/*"))
        for at in range(0, len(found), _SLICE):
            yield found[at : at + _SLICE]

    def _place(self, sha256: str, *, sealed: bool) -> Path:
        return self._folder / sha256[:2] / (sha256 + _SEALED if sealed else sha256)


class _Beside:
    """A new file under a name of no meaning, mode 0600, locked while it is open."""

    def __init__(self, folder: Path) -> None:
        while True:
            self.descriptor, self.name = tempfile.mkstemp(dir=folder, prefix=".")
            # Until it is locked it may be taken for what a dead process left; then it is not there any more.
            if try_exclusive(self.descriptor, self.name):
                return
            self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def closed(self) -> bool:
        return self.descriptor < 0

    def close(self) -> None:
        if not self.closed:
            os.close(self.descriptor)
            self.descriptor = -1


def _is_left(path: Path) -> bool:
    """Whether the process that began this file is dead."""
    try:
        with path.open("rb") as file:
            return try_exclusive(file.fileno(), str(path))
    except FileNotFoundError:
        return False


def _removed(path: Path, gone: Gone) -> Gone:
    try:
        size = path.stat().st_size
        path.unlink()
    except FileNotFoundError:
        return gone
    except OSError as error:
        raise disk.told(error, os.fsencode(path)) from error
    return Gone(gone.files + 1, gone.bytes + size)
