"""What targets on a network have in common: nobody is waited for too long, and an answer is taken for what it means."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import TypeVar

from transload.errors import Busy, Denied, Refused, Unreachable

T = TypeVar("T")
_GRACE = 0.5
_LATER = (408, 425, 429)


def within(timeout: float, who: str, work: Callable[[], T]) -> T:
    """What `work` gives or raises, if that is within `timeout`, and otherwise Unreachable: an answer may come byte by byte.

    Work that is not waited for any more goes on, but does not hold up the end of this process.
    """
    future: Future[T] = Future()
    threading.Thread(target=_do, args=(future, work), name="transload-notify", daemon=True).start()
    try:
        return future.result(timeout + _GRACE)
    except TimeoutError as error:
        raise Unreachable(f"{who} did not answer in time") from error


def _do(future: Future[T], work: Callable[[], T]) -> None:
    try:
        future.set_result(work())
    except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
        future.set_exception(error)


def answered(who: str, status: int) -> Busy | Denied | Refused:
    """The error for a status that is not yes, by whether trying again can help."""
    if status in _LATER or status >= 500:
        return Busy(f"{who} answered {status}")
    if status in (401, 403):
        return Denied(f"{who} answered {status}: it does not let us")
    why = " (redirects are not followed: write the address that it leads to)" if 300 <= status <= 399 else ""
    return Refused(f"{who} answered {status}{why}")


def hush(loggers: Iterable[str]) -> None:
    """Keep these libraries' logs to themselves: they write whole URLs into them."""
    for name in loggers:
        logger = logging.getLogger(name)
        if logger.propagate:
            logger.addHandler(logging.NullHandler())
            logger.propagate = False
