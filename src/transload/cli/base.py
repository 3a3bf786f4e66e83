"""What all commands share: the config option, output for people and for programs, how errors become one line and an exit code."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from transload.errors import ConfigError, LedgerAway, TransloadError

if TYPE_CHECKING:
    from transload.config import Config, Fault, Route
    from transload.ledger import Ledger

WELL, UNWELL, WRONG, AWAY = 0, 1, 2, 3

ConfigOption = Annotated[
    Path | None, typer.Option("-c", "--config", metavar="FILE", help="The config file [TRANSLOAD_CONFIG, else transload.toml].")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
RouteNames = Annotated[list[str] | None, typer.Argument(metavar="ROUTE", help="Which routes; all enabled ones by default.")]

app = typer.Typer(
    name="transload",
    help="Moves files that nobody can afford to lose: fetches, delivers, and remembers every one of them.\n\n"
    "Exit codes: 0 all is well; 1 a file is failed, quarantined, held or late, or a check found something; "
    "2 the config or the call is wrong; 3 the ledger cannot be used.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
    if wanted:
        from importlib.metadata import version

        say(f"transload {version('transload')}")
        raise typer.Exit


Version = Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which version this is.")]


@app.callback()
def common(*, config: ConfigOption = None, version: Version = False) -> None:  # noqa: ARG001
    """Take `-c` before the command too."""
    if config is not None:
        os.environ["TRANSLOAD_CONFIG"] = str(config)


class Stopped(BaseException):
    """A signal ended the command; what was in hand has been finished or put back."""

    def __init__(self, number: int) -> None:
        """By the signal `number`."""
        super().__init__(number)
        self.number = number


def load(path: Path | None, *, secrets: bool = True) -> Config:
    """The config; raises ConfigError with every fault, one a line, each with its file and line."""
    from transload.config import Config, ConfigFaults

    try:
        return Config.load(path, secrets=secrets)
    except ConfigFaults as error:
        raise ConfigError("\n".join(fault_line(path, fault) for fault in error.faults)) from error


def fault_line(path: Path | None, fault: Fault) -> str:
    """`transload.toml:12: routes[acl].from.remote: there is no remote "x"; did you mean "y"?`."""
    from transload.config import default_path

    file = str(path or default_path())
    place = f"{file}:{fault.line}: " if fault.line else f"{file}: "
    key = "" if fault.key in ("", str(Path(file).absolute())) else f"{fault.key}: "
    return f"{place}{key}{fault.fault}" + (f"; {fault.hint}" if fault.hint else "")


@contextmanager
def reading(config: Config) -> Iterator[Ledger | None]:
    """The ledger for a command that only reads; None where there is none yet: it is not made for that."""
    from transload.ledger.standing import is_there

    if not is_there(config.database_url):
        yield None
        return
    with writing(config) as ledger:
        yield ledger


@contextmanager
def writing(config: Config) -> Iterator[Ledger]:
    """The ledger, made if need be."""
    from transload.ledger import Ledger

    ledger = Ledger(config.database_url)
    try:
        yield ledger
    finally:
        ledger.close()


@contextmanager
def connecting(config: Config) -> Iterator[Callable[[str], AbstractContextManager[Any]]]:
    """What opens sessions, by a remote's name; all are closed at the end."""
    from transload.remotes.wrap import Sessions

    sessions = Sessions()
    try:
        yield lambda name: sessions.open(name, config.remotes[name])
    finally:
        sessions.close_all()


def known_remote(config: Config, name: str) -> str:
    """The name of a remote; ConfigError when the config has none of that name."""
    if name not in config.remotes:
        raise ConfigError(f'there is no remote "{name}"; there are {", ".join(config.remotes)}')
    return name


def chosen(config: Config, names: list[str] | None) -> list[Route]:
    """The routes of these names, all enabled ones by default; ConfigError when the config has none of a name."""
    return [config.route(name) for name in dict.fromkeys(names)] if names else [route for route in config.routes if route.enabled]


def refuse_stranded(config: Config, number: int, route: str) -> None:
    """ConfigError when the config does not have the route of that arrival: nobody would go on with it."""
    if route not in {one.name for one in config.routes}:
        raise ConfigError(f'arrival {number} is of the route "{route}", which the config does not have: nobody would go on with it')


def who() -> str:
    """Who gives this command, for the audit."""
    import getpass
    import socket

    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = str(os.getuid())
    return f"{name}@{socket.gethostname()}"


# Output


def show_json(document: Any) -> None:
    """Print one JSON document."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def say(text: str = "") -> None:
    """A line for people, on standard output."""
    _line(sys.stdout, text)


def warn(text: str) -> None:
    """A line for people, on standard error."""
    _line(sys.stderr, text)


def _line(stream: TextIO, text: str) -> None:
    stream.write(shown(text) + "\n")


def shown(text: str) -> str:
    """`text` without characters that a terminal would obey."""
    return text if text.isprintable() else "".join(char if char.isprintable() or char == "\n" else f"%{ord(char):02X}" for char in text)


def moment(micros: int | None) -> str | None:
    """Microseconds since 1970 in ISO 8601, UTC, to the millisecond."""
    if micros is None:
        return None
    return datetime.fromtimestamp(micros // 1000 / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def clock(micros: int | None) -> str:
    """The same for people, to the second; a dash for none."""
    text = moment(micros)
    return "-" if text is None else f"{text[:19]}Z"


def path_of(raw: bytes, text: str) -> dict[str, str]:
    """`path`, and `path_raw` in base64 where the bytes are no UTF-8."""
    try:
        raw.decode()
    except UnicodeDecodeError:
        import base64

        return {"path": text, "path_raw": base64.b64encode(raw).decode()}
    return {"path": text}


def counted(count: int, noun: str) -> str:
    """`1 file`, `2 files`."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> None:
    """Aligned columns; drawn and fitted to the window on a terminal, plain elsewhere. `right` are the columns of numbers."""
    if sys.stdout.isatty():
        from transload.cli.drawn import draw

        draw(heads, [[shown(cell) for cell in row] for row in rows], right)
        return
    widths = [max(len(shown(row[at])) for row in (heads, *rows)) for at in range(len(heads))]
    for row in (heads, *rows):
        cells = [
            shown(cell).rjust(width) if at in right else shown(cell).ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        say("  ".join(cells).rstrip())


# Running


def application(arguments: Sequence[str]) -> int:
    """Run one command; every error that is ours becomes one line on standard error and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    _register()
    try:
        code = typer.main.get_command(app).main(list(arguments), prog_name="transload", standalone_mode=False)
    except typer.TyperException as error:
        return _misused(error)
    except ConfigError as error:
        return _failed(error, WRONG)
    except LedgerAway as error:
        return _failed(error, AWAY)
    except TransloadError as error:
        return _failed(error, UNWELL)
    except (Stopped, KeyboardInterrupt, typer.Abort) as error:
        number = error.number if isinstance(error, Stopped) else 2
        warn("stopped")
        return 128 + number
    except Exception:  # noqa: BLE001 - whatever it is, no secret may be in what is shown
        return _broken()
    return code if isinstance(code, int) else WELL


def _register() -> None:
    """Every module of commands adds its own; those of optional parts where the part is there."""
    from transload.cli import setup, plans, work, stand, look, hand  # noqa: F401, I001 - in the order that --help shows

    for part in ("users", "roll", "bans", "quarantine", "rescan", "db", "demo"):
        if find_spec(f"transload.cli.{part}"):
            __import__(f"transload.cli.{part}")


def _failed(error: TransloadError, code: int) -> int:
    warn(str(error))
    return code


def _broken() -> int:
    import traceback

    from transload.secret import scrub

    warn(scrub(traceback.format_exc().rstrip()))
    warn("transload itself has failed: please report the lines above")
    return UNWELL


def _misused(error: typer.TyperException) -> int:
    """What was typed cannot be understood: one line, and where to read more."""
    context: Any = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        say(str(error))
        return WRONG
    told = error.format_message() if hasattr(error, "format_message") else str(error)
    command = context.command_path if context is not None else "transload"
    warn(f"{command}: {told.rstrip('.')}; see {command} --help")
    return WRONG
