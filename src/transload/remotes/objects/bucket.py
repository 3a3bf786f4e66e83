"""One bucket or container as a session sees it: keys, and questions whose errors are ours."""

from __future__ import annotations

from hashlib import sha256
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from transload.errors import ConfigError, Denied, Missing, Permanent, Refused, TransloadError
from transload.model import Entry, Name, to_micros
from transload.remotes.objects.telling import NoBucket, translate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from urllib.request import OpenerDirector

    from obstore import GetResult, ObjectMeta
    from obstore.store import ObjectStore

    from transload.remotes.objects.settings import ObjectsRemote

T = TypeVar("T")
SLOWEST = 32 * 1024
BLOCK = 2**20


class Bucket:
    """The settings at work. `ask` may be called from many threads."""

    def __init__(self, remote: ObjectsRemote) -> None:
        self.remote = remote
        self.conditional = True
        self._making = Lock()
        self._has_made = False
        self._secrets = remote.secrets()
        self._stores: dict[float, ObjectStore] = {}
        self._opener: OpenerDirector | None = None

    def store(self, payload: int = 0) -> ObjectStore:
        """A client with the patience that sending `payload` bytes over a slow line needs (waiting begins with the request)."""
        patience = self.remote.timeout + (payload / SLOWEST if payload > SLOWEST * 8 else 0)
        if patience not in self._stores:
            self._stores[patience] = self._made_ready(patience)
        return self._stores[patience]

    def opener(self) -> OpenerDirector:
        """What carries the requests that obstore does not make."""
        if self._opener is None:
            from transload.remotes.objects.asking import opener

            self._opener = opener(self.remote)
        return self._opener

    def _made_ready(self, patience: float) -> ObjectStore:
        try:
            return self.remote.store(patience)
        except TransloadError:
            raise
        except Exception as error:  # noqa: BLE001
            fault = type(error).__name__
        # What obstore says of settings may quote them, secrets and all.
        raise ConfigError(f"{self.remote.where()}: obstore cannot use these settings ({fault}): look at endpoint, keys, SAS and ca")

    def ask(self, call: Callable[..., T], *given: Any, key: str = "", **options: Any) -> T:
        """The answer of `call`, its errors translated."""
        try:
            return call(*given, **options)
        except TransloadError:
            raise
        except Exception as error:  # noqa: BLE001
            told, cause = translate(error, store=self.remote.where(), endpoint=self.remote.address(), key=key, secrets=self._secrets)
        raise told from cause

    def made(self, send: Callable[[], T]) -> T:
        """The answer of `send`, after the bucket was made if it is missing and the settings ask for it."""
        try:
            return send()
        except NoBucket as error:
            missing = error
        with self._making:
            if not self._has_made:
                self._make(missing)
            self._has_made = True
        return send()

    def _make(self, missing: NoBucket) -> None:
        try:
            made = self.remote.make(self)
        except Permanent as error:
            raise Denied(f"{missing}, and making it was refused: {error}") from error
        if not made:
            raise missing

    def key(self, path: bytes) -> str:
        """The key of a path as a source has it: literally, below the prefix unless it starts with "/"."""
        text = self._decoded(path)
        if text.startswith("/"):
            return text.strip("/")
        return "/".join(part for part in (self.remote.prefix, text.strip("/")) if part)

    def spelled(self, name: Name) -> str:
        """The key of a name as a destination has it; Refused if the store cannot hold it."""
        text = name.spelled(self.remote.forbidden)
        if not self.remote.bare_dots:
            text = "/".join(_undotted(part) for part in text.split("/"))
        key = f"{self.remote.prefix}/{text}" if self.remote.prefix else text
        limit, unit = self.remote.longest
        length = len(key.encode()) if unit == "bytes" else len(key)
        if length > limit:
            message = f"{self.remote.where()}: {name.text[:60]}...: a key of {length} {unit}, the store takes {limit}"
            raise Refused(message)
        return key

    def head(self, key: str) -> ObjectMeta | None:
        """What is under `key`, or None."""
        import obstore

        try:
            return self.ask(obstore.head, self.store(), key, key=key)
        except NoBucket:
            raise
        except Missing:
            return None

    def attributes(self, key: str) -> tuple[ObjectMeta, Mapping[str, str]] | None:
        """What is under `key` with the metadata that was written with it, or None."""
        import obstore

        try:
            found = self.ask(obstore.get, self.store(), key, key=key, options={"head": True})
        except NoBucket:
            raise
        except Missing:
            return None
        return found.meta, found.attributes

    def delete(self, key: str) -> None:
        """Remove what is under `key`."""
        import obstore

        self.ask(obstore.delete, self.store(), key, key=key)

    def read_back(self, key: str) -> str | None:
        """The SHA-256 of the object's bytes as the store has them now, or None."""
        import obstore

        try:
            found = self.ask(obstore.get, self.store(), key, key=key)
        except NoBucket:
            raise
        except Missing:
            return None
        digest = sha256()
        for block in self.blocks(found, key):
            digest.update(block)
        return digest.hexdigest()

    def blocks(self, found: GetResult, key: str) -> Iterator[bytes]:
        """The bytes of an answer, about 1 MiB at a time."""
        stream = iter(found.stream(min_chunk_size=BLOCK))
        while block := self.ask(next, stream, b"", key=key):
            yield block

    def entry(self, folder: str, name: Name, meta: ObjectMeta) -> Entry:
        """An object as a listing tells of it."""
        tag = meta["e_tag"]
        return Entry(folder, name, meta["size"], to_micros(meta["last_modified"]), 1.0, tag.strip('"') if tag else None, settles=True)

    def _decoded(self, path: bytes) -> str:
        try:
            return path.decode()
        except UnicodeDecodeError as error:
            message = f"{self.remote.where()}: {path!r} is not UTF-8; no object has such a name"
            raise Missing(message) from error


def _undotted(part: str) -> str:
    bare = part.rstrip(".")
    return bare + "%2E" * (len(part) - len(bare))
