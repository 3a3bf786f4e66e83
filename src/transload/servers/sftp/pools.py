"""The threads of one SFTP server, for what its loop must not wait for."""

from __future__ import annotations

from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass

_LOGINS, _READS, _WORK = 64, 4, 8


@dataclass(frozen=True, slots=True)
class Pools:
    """What each kind of waiting has, so that none of them stands in another's way."""

    logins: Executor
    reads: Executor
    """For blocks of files that are not at hand."""
    work: Executor
    """For what may copy or sync a whole file."""

    @classmethod
    def of(cls, name: str) -> Pools:
        """New ones, whose threads are named after `name`."""
        kinds = (_LOGINS, "login"), (_READS, "read"), (_WORK, "work")
        return cls(*(ThreadPoolExecutor(count, f"{name}-{kind}") for count, kind in kinds))

    def close(self) -> None:
        """Let what is in hand end, but for logins: nobody waits for those any more."""
        self.logins.shutdown(wait=False)
        self.reads.shutdown()
        self.work.shutdown()
