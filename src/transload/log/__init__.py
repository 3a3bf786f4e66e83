"""The log, set up once per process: everything in one file, errors once more in another, plain lines on stdout if wanted.

No secret that was revealed in this process gets out, and no control character gets in.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

from transload.log.files import LogFile
from transload.log.lines import as_json, as_text

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

Level = Literal["debug", "info", "warning", "error"]
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_Sink = Callable[[Mapping[str, Any], int], None]
_sinks: tuple[_Sink, ...] = ()
_files: tuple[LogFile, ...] = ()
_configured = False


def setup(
    monitor: Path,
    error: Path,
    *,
    form: Literal["json", "text"] = "json",
    level: Level = "info",
    keep: int = 7,
    stdout: TextIO | None = None,
) -> None:
    """Write to these files from now on, and plain lines to `stdout`; again: elsewhere. ConfigError where a file cannot be written.

    Warnings and errors of libraries that use Python's own logging go the same way.
    """
    files = LogFile(monitor, keep), LogFile(error, keep)
    render = as_json if form == "json" else as_text
    streams = () if stdout is None else (_to_stream(stdout),)
    _switch(files, (_to_file(files[0], render, logging.DEBUG), _to_file(files[1], render, logging.ERROR), *streams))
    _configure(_LEVELS[level])
    root = logging.getLogger()
    root.addHandler(_FOREIGN)
    root.setLevel(logging.WARNING)


def stop() -> None:
    """Close the files; what is logged afterwards goes to stderr, from warnings up."""
    _switch((), ())
    logging.getLogger().removeHandler(_FOREIGN)


def _switch(files: tuple[LogFile, ...], sinks: tuple[_Sink, ...]) -> None:
    """In one step, since other threads are writing."""
    global _files, _sinks
    old, _files, _sinks = _files, files, sinks
    for file in old:
        file.close()


def get(name: str) -> FilteringBoundLogger:
    """The logger of that name: `get("transload.pull").info("fetched", route="acl", files=3)`."""
    import structlog

    if not _configured:
        _configure(logging.INFO)
    logger: FilteringBoundLogger = structlog.get_logger(name)
    return logger


def _configure(level: int) -> None:
    import structlog

    global _configured  # noqa: PLW0603 - there is one log in a process
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, _write],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_Named,
        cache_logger_on_first_use=False,
    )
    _configured = True


class _Named:
    """What structlog wraps: only the name matters, the processor writes."""

    def __init__(self, name: str = "transload", *_: object) -> None:
        self.name = name


def _write(logger: _Named, method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    import structlog

    level = "error" if method in ("exception", "critical") else method
    _emit(level, logger.name, str(event.pop("event", "")), event)
    raise structlog.DropEvent


def _emit(level: str, name: str, message: str, rest: Mapping[str, Any]) -> None:
    values = {key: value for key, value in rest.items() if key != "exc_info"}
    trace = _trace(rest.get("exc_info"))
    record = {"time": datetime.now(UTC), "level": level, "logger": name, "event": message, **values, **({"trace": trace} if trace else {})}
    number = _LEVELS.get(level, logging.INFO)
    for sink in _sinks or (_to_stderr,):
        sink(record, number)


def _trace(told: Any) -> str:
    if told is True:
        told = sys.exc_info()
    if isinstance(told, tuple):
        told = told[1]
    return "".join(traceback.format_exception(told)).rstrip() if isinstance(told, BaseException) else ""


def _to_file(file: LogFile, render: Callable[[Mapping[str, Any]], str], least: int) -> _Sink:
    def write(record: Mapping[str, Any], level: int) -> None:
        if level >= least:
            file.write(render(record))

    return write


def _to_stream(stream: TextIO) -> _Sink:
    gone = False

    def write(record: Mapping[str, Any], _level: int) -> None:
        nonlocal gone
        if gone:
            return
        try:
            stream.write(as_text(record) + "\n")
            stream.flush()
        except (OSError, ValueError):
            gone = True  # nobody reads there any more: the files have it

    return write


def _to_stderr(record: Mapping[str, Any], level: int) -> None:
    if level >= logging.WARNING:
        sys.stderr.write(as_text(record) + "\n")


class _Foreign(logging.Handler):
    """Takes what libraries log by Python's own means."""

    def emit(self, record: logging.LogRecord) -> None:
        level = next((name for name, number in reversed(_LEVELS.items()) if record.levelno >= number), "debug")
        _emit(level, record.name, record.getMessage(), {"exc_info": record.exc_info} if record.exc_info else {})


_FOREIGN = _Foreign()
