"""What a command is: what it does, and what is asked of it before."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from transload.servers.ftp.session import Session

Do = Callable[[Session, bytes], None]
NONE, MAY, MUST = "none", "may", "must"


class Command(NamedTuple):
    """One command of the protocol."""

    do: Do
    argument: str = NONE
    """Whether it takes one."""
    syntax: bytes = b""
    anybody: bool = False
    """Whether it is for those too who have not logged in."""
