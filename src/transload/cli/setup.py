"""The commands about the config: init, check, test, schema."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from transload.cli.base import (
    UNWELL,
    WELL,
    WRONG,
    ConfigOption,
    JsonOption,
    app,
    connecting,
    counted,
    fault_line,
    load,
    say,
    show_json,
    warn,
)
from transload.errors import ConfigError, TransloadError

if TYPE_CHECKING:
    from transload.config import Config, Route


@app.command()
def init(folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where; here by default.")] = Path()) -> int:
    """Write a transload.toml to begin with.

    It has an FTP and an SFTP server on this machine alone, with a certificate, a host key and a first user, and routes
    that work at once; examples of every kind of remote. Overwrites nothing.
    """
    target = folder / "transload.toml"
    text = resources.files("transload.cli").joinpath("starter.toml").read_text("utf-8")
    if target.exists():
        raise ConfigError(f"{target} is there already: nothing was written; edit it, or name another folder")
    try:
        (folder / "inbox").mkdir(parents=True, exist_ok=True)
        found = _start(text, folder)
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(f"{target} is there already: it was left alone; edit it, or name another folder") from None
    except OSError as error:
        raise ConfigError(f"{error.filename or target} cannot be written: {error.strerror}") from error
    say(f"{target} is written, with routes to {folder / 'archive'}: from {folder / 'inbox'}, and from its own servers")
    _tell(*found, "" if folder == Path() else f"cd {folder}; ")
    return WELL


def _start(text: str, folder: Path) -> tuple[Config, str | None]:
    """Keys and the first user; the config, and the user's password if it was made just now."""
    import tomllib

    from transload.cli import first
    from transload.config import Config

    config = Config.of(tomllib.loads(text), folder)
    config.data.mkdir(exist_ok=True, mode=0o700)
    first.make_keys(config)
    return config, first.make_user(config)


def _tell(config: Config, password: str | None, where: str) -> None:
    from transload.cli import first

    if password is None:
        say(f"user {first.USER} was there already: transload user passwd {first.USER} gives it another password")
    else:
        say(f"user {first.USER}, password {password}   (shown this once: only its hash is kept)")
    for command, meaning in _NEXT:
        say(f"  {where + command:<32} {meaning}")
    say("while it is up, each of these asks for the password and sends:")
    for line in first.client_lines(config):
        say(f"  {where}{line}")


_NEXT = (
    ("cp FILE inbox/", "give it something to move"),
    ("transload plan", "what would be done now"),
    ("transload run", "do it, once"),
    ("transload ls", "what arrived"),
    ("transload up", "go on for ever, and receive"),
)


@app.command()
def check(config: ConfigOption = None, *, as_json: JsonOption = False) -> int:
    """Find every fault of the config at once.

    Each with its line, its key, and what to write instead. Connects to nothing.
    """
    from transload.config import check as faults_of
    from transload.config import default_path

    faults = faults_of(config)
    if as_json:
        show_json([{"key": one.key, "fault": one.fault, "hint": one.hint, "line": one.line} for one in faults])
    elif faults:
        for one in faults:
            warn(fault_line(config, one))
    else:
        found = load(config)
        say(f"{config or default_path()}: no faults, {counted(len(found.remotes), 'remote')}, {counted(len(found.routes), 'route')}")
    return WRONG if faults else WELL


@app.command("test")
def try_out(
    remote: Annotated[
        str,
        typer.Argument(
            metavar="REMOTE", help="A remote's name in the config; a route's, to try its steps; a target's, to send it a message."
        ),
    ],
    config: ConfigOption = None,
    *,
    pin: Annotated[bool, typer.Option("--pin", help="Show the server's host key, and the line for the config that pins it.")] = False,
    as_json: JsonOption = False,
) -> int:
    """Try a remote out.

    Connects, logs in, and lists; where files can be delivered, writes a probe, reads it back and removes it. Says what
    failed and what to try. Of a route, tries what its steps need: whether a scanner answers, and finds what it should. A
    target of [notify.NAME] is sent a message that says that it is a test.
    """
    loaded = load(config)
    if remote not in loaded.remotes and remote in {route.name for route in loaded.routes}:
        return _tried_steps(loaded.route(remote), as_json=as_json)
    if remote not in loaded.remotes and remote in loaded.notify:
        return _tried_target(loaded, remote, as_json=as_json)
    if remote not in loaded.remotes:
        names = ", ".join([*loaded.remotes, *(route.name for route in loaded.routes), *loaded.notify])
        raise ConfigError(f'there is no remote, route or target "{remote}"; there are {names}')
    if pin:
        return _pin(loaded, remote)
    return _tried(loaded, remote, as_json=as_json)


def _tried_target(config: Config, name: str, *, as_json: bool) -> int:
    from transload.notify import Message

    target, told = config.notify[name], "it was sent"
    try:
        target.send(Message(f"Transload: a test of {name}", f"This is a test: {', '.join(target.on)} would be told here.", ()))
        well = True
    except TransloadError as error:
        well, told = False, str(error)
    if as_json:
        show_json({"target": name, "well": well, "tried": [{"what": "send", "well": well, "told": told, "hint": ""}]})
    elif well:
        say(f"{name}: send: {told}: {target.where()}")
    else:
        warn(f"{name}: send: failed: {told}")
    return WELL if well else UNWELL


def _tried(config: Config, name: str, *, as_json: bool) -> int:
    from transload.probe import probe

    documents, well = [], True
    with connecting(config) as opened:
        for one in probe(config, name, opened):
            well = well and one.well
            documents.append({"what": one.what, "well": one.well, "told": one.told, "hint": one.hint})
            if one.well and not as_json:
                say(f"{name}: {one.what}: {one.told}")
            elif not as_json:
                warn(f"{name}: {one.what}: failed: {one.told}" + (f" ({one.hint})" if one.hint else ""))
    if as_json:
        show_json({"remote": name, "well": well, "tried": documents})
    elif well:
        say(f"{name}: all is well")
    return WELL if well else UNWELL


def _tried_steps(route: Route, *, as_json: bool) -> int:
    tried = [(step.kind, list(step.faults())) for step in route.steps]
    well = not any(faults for _, faults in tried)
    if as_json:
        show_json({"route": route.name, "well": well, "tried": [{"what": kind, "well": not told, "told": told} for kind, told in tried]})
        return WELL if well else UNWELL
    for kind, faults in tried:
        for fault in faults:
            warn(f"{route.name}: {kind}: {fault}")
        if not faults:
            say(f"{route.name}: {kind}: nothing is wrong with it")
    if not tried:
        say(f"{route.name}: it has no steps; transload test {route.source.remote} tries its source")
    return WELL if well else UNWELL


def _pin(config: Config, name: str) -> int:
    remote: Any = config.remotes[name]
    if remote.kind != "sftp":
        raise ConfigError(f'--pin is for remotes of kind "sftp"; "{name}" is of kind "{remote.kind}"')
    from transload.remotes.sftp import host_key_of

    try:
        line = host_key_of(remote)
    except TransloadError as error:
        warn(f"{name}: the host key could not be had: {error}")
        return UNWELL
    say(f"# compare this with what the other side tells you by another way, then write it below [remotes.{name}]:")
    say(f'host_key = "{line}"')
    return WELL


@app.command()
def schema() -> int:
    """Print the JSON Schema of the config, for editors."""
    from transload.config import schema as whole

    show_json(whole())
    return WELL
