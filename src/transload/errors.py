"""Every error that Transload raises, by what to do about it.

TransloadError
  ConfigError        the operator must edit something          exit 2
  LedgerAway         the ledger cannot be reached or used      exit 3
  Transient          the same again later
    Unreachable      nobody answers, or the line broke
    Busy             it answers, but not now
      Awaited        it is to come, and is not there yet
        Waiting      so is another file, at most until a time
    Full             no room; goes on by itself when there is
    Changed          the file changed while it was being read
  Permanent          trying again cannot help
    Missing          it is not there
    Denied           it is there, but not for us
    Conflict         another file already has that name
    Refused          the other side cannot hold this (a name, a size)
  Rejected           the file itself is bad: quarantine, with a reason
"""

from __future__ import annotations


class TransloadError(Exception):
    """Something went wrong that the operator should hear of in one line."""


class ConfigError(TransloadError):
    """The operator must edit something; the message names the key."""


class LedgerAway(TransloadError):
    """The ledger cannot be reached or used; nothing was promised to anyone."""


class Transient(TransloadError):
    """The same again later may well succeed."""


class Unreachable(Transient):
    """Nobody answers, or the line broke."""


class Busy(Transient):
    """The other side answers, but not now."""


class Awaited(Busy):
    """It is to come, and is not there yet: waited for, but not asked for again in the same run."""


class Waiting(Awaited):
    """Another file is still to come; `name` (raw bytes) is what it is called, `until` (microseconds) how long it is waited for."""

    def __init__(self, message: str, name: bytes, until: int) -> None:
        """For the file `name`, beside this one."""
        super().__init__(message)
        self.name, self.until = name, until


class Full(Transient):
    """No room for the bytes; goes on by itself when there is."""


class Changed(Transient):
    """The file changed while it was being read; what was read is discarded."""


class Permanent(TransloadError):
    """Trying again cannot help until somebody changes something."""


class Missing(Permanent):
    """It is not there."""


class Denied(Permanent):
    """It is there, but not for us: password, key, certificate, permission."""


class Conflict(Permanent):
    """Another file already has that name."""


class Refused(Permanent):
    """The other side cannot hold this: a name or a size that it does not take."""


class Rejected(TransloadError):
    """The file, or its name, is bad in itself; the message says why."""
