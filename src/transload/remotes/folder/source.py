"""A folder that files come from."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator

from transload import disk
from transload.errors import Changed, Missing, Refused, TransloadError
from transload.model import Entry, Fetched, Name, spell
from transload.protocols import Part, Spool
from transload.remotes.folder.place import Place, entry_of, telling

_DEEPEST = 64
_MOST = 10_000_000
_OVERLAP = 64 * 1024


class Source(Place):
    """The folder, for reading, and for clearing away what was read."""

    def list(self, folder: str, *, recursive: bool) -> Iterator[Entry]:
        """Every regular file below `folder`, or `folder` itself when it is a file."""
        self.refused.clear()
        root = self._tree(folder).root
        with telling(root):
            try:
                found = os.stat(root)
            except FileNotFoundError as error:
                raise Missing(f"the folder {spell(root)} does not exist") from error
            if stat.S_ISREG(found.st_mode):
                above, slash, base = folder.rpartition("/")
                yield entry_of(above or slash, Name(base), found)
            else:
                yield from self._below(folder, recursive=recursive)

    def _below(self, folder: str, *, recursive: bool) -> Iterator[Entry]:
        root, count = self._tree(folder).root, 0
        waiting = [(b"", 0)]
        while waiting:
            below, depth = waiting.pop()
            for item in self._scan(root, below):
                count += 1
                if count > _MOST:
                    raise Refused(f"{spell(root)}: more than {_MOST} files and folders")
                path = below + b"/" + item.name if below else item.name
                if item.is_dir(follow_symlinks=False):
                    if recursive and self._shallow(path, depth):
                        waiting.append((path, depth + 1))
                elif found := self._found(folder, path, item):
                    yield found

    def _shallow(self, path: bytes, depth: int) -> bool:
        if depth < _DEEPEST:
            return True
        self.refused.append(f"{spell(path)}: more than {_DEEPEST} folders deep, its files were not listed")
        return False

    def _scan(self, root: bytes, below: bytes) -> Iterator[os.DirEntry[bytes]]:
        try:
            with os.scandir(os.path.join(root, below)) as found:
                yield from found
        except (FileNotFoundError, NotADirectoryError):
            if not below:
                raise
        except PermissionError as error:
            if not below:
                raise
            self.refused.append(f"{spell(below)}: {error.strerror}, its files were not listed")

    def _found(self, folder: str, path: bytes, item: os.DirEntry[bytes]) -> Entry | None:
        try:
            found = self._tree(folder).stat(path) if item.is_symlink() else item.stat(follow_symlinks=False)
            return entry_of(folder, Name(path), found) if stat.S_ISREG(found.st_mode) else None
        except (FileNotFoundError, NotADirectoryError):
            return None  # it went while we looked, or it is a link to nothing
        except PermissionError as error:
            self.refused.append(f"{spell(path)}: {error.strerror}")
        except TransloadError as error:
            self.refused.append(str(error))
        return None

    def fetch(self, entries: Iterable[Entry], spool: Spool) -> Iterator[Fetched]:
        """The bytes of each entry, if they are those that were listed; raises only what the spool raises."""
        self._afresh()
        for entry in entries:
            try:
                source = self._tree(entry.folder).open(entry.name.raw)
            except OSError as error:
                yield Fetched(entry, error=disk.told(error, entry.path))
                continue
            except Refused as error:
                yield Fetched(entry, error=error)
                continue
            try:
                outcome = _fetched(entry, source, spool)
            except OSError as error:
                outcome = Fetched(entry, error=disk.told(error, entry.path))
            finally:
                os.close(source)
            yield outcome

    def stat(self, entry: Entry) -> Entry | None:
        """The file as it is now, or None when it is not there."""
        return self._seen(entry.folder, entry.name)

    def remove(self, entry: Entry) -> None:
        """Remove the file, durably; Missing when it is not there, Changed when it is another one by now."""
        tree = self._tree(entry.folder)
        with telling(entry.path):
            self._still(tree, entry)
            folder = tree.folder(entry.name.folder)
            self._volume(folder)
            os.unlink(entry.name.base, dir_fd=folder.descriptor)
            self._sync_folders(tree, [entry.name.folder])

    def move(self, entry: Entry, to: Name) -> None:
        """Move the file, durably, never over another (Conflict); Missing when it is not there, Changed when it is another one by now."""
        tree = self._tree(entry.folder)
        with telling(to.raw):
            self._still(tree, entry)
            source = os.dup(tree.folder(entry.name.folder).descriptor)
            try:
                target = tree.folder(to.folder, make=True)
                self._volume(target)
                disk.rename_new(entry.name.base, to.base, source, target.descriptor)
            finally:
                os.close(source)
            self._sync_folders(tree, [entry.name.folder, to.folder])

    def _still(self, tree: disk.Tree, entry: Entry) -> None:
        self._afresh()
        with telling(entry.path):
            error = _unlike(entry, tree.stat(entry.name.raw))
        if error:
            raise error


def _unlike(entry: Entry, found: os.stat_result) -> TransloadError | None:
    if not stat.S_ISREG(found.st_mode):
        return Refused(f"{entry.text}: not a regular file")
    if entry.size not in (None, found.st_size):
        return Changed(f"{entry.text}: had {entry.size} bytes when it was listed, has {found.st_size} now")
    if entry.modified not in (None, found.st_mtime_ns // 1000):
        return Changed(f"{entry.text}: was modified after it was listed")
    return None


def _fetched(entry: Entry, source: int, spool: Spool) -> Fetched:
    before = os.fstat(source)
    error = _unlike(entry, before)
    if error:
        return Fetched(entry, error=error)
    if before.st_size > disk.BLOCK:
        return _streamed(entry, source, before, spool.part(entry))
    data = os.read(source, before.st_size + 1)
    while len(data) < before.st_size and (more := os.read(source, disk.BLOCK)):
        data += more
    if len(data) != before.st_size or _touched(before, source):
        return Fetched(entry, error=_changed(entry))
    return Fetched(entry, spool.put(entry, data))


def _streamed(entry: Entry, source: int, before: os.stat_result, part: Part) -> Fetched:
    try:
        at = _resumed(source, part)
        view = memoryview(bytearray(disk.BLOCK))
        while count := os.preadv(source, [view], at):
            part.write(view[:count])
            at += count
            if at > before.st_size:
                break
        whole = at == before.st_size and not _touched(before, source)
    except TransloadError:
        part.drop()  # the spool is full: what is there goes first
        raise
    except BaseException:
        part.keep()
        raise
    if whole:
        return Fetched(entry, part.done())
    part.drop()
    return Fetched(entry, error=_changed(entry))


def _resumed(source: int, part: Part) -> int:
    overlap = min(part.offset, _OVERLAP)
    if overlap and part.head(overlap) != os.pread(source, overlap, 0):
        part.restart()
    return part.offset


def _touched(before: os.stat_result, source: int) -> bool:
    # The change time too: a writer may set the modified time back.
    now = os.fstat(source)
    return (before.st_size, before.st_mtime_ns, before.st_ctime_ns) != (now.st_size, now.st_mtime_ns, now.st_ctime_ns)


def _changed(entry: Entry) -> Changed:
    return Changed(f"{entry.text}: changed while it was being read")
