"""The config file, read and checked as a whole."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import re
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from transload.config.alerting import check_alerts, check_targets, check_urls
from transload.config.check import check_files, check_quarantine, check_routes, check_secrets_of
from transload.config.kinds import REMOTES, STEPS, Kinds
from transload.config.lines import lines
from transload.config.route import Route
from transload.config.server import Servers, User
from transload.config.serving import check_commands, check_functions, check_keys, check_owing, check_serving
from transload.config.settings import LogSettings, QuarantineSettings, Settings, SpoolSettings
from transload.errors import ConfigError
from transload.explain import IDENTIFIER, ConfigFaults, Fault, Faults, Place, meant
from transload.notify import Target
from transload.remotes.base import RemoteSettings

T = TypeVar("T", bound=BaseModel)
_TOP = ("transload", "quarantine", "remotes", "servers", "users", "routes", "notify")


class Config(BaseModel):
    """One config file, checked and frozen; loading the same file again gives an equal one."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    file: Path
    digest: str
    settings: Settings
    quarantine: QuarantineSettings = QuarantineSettings()
    remotes: Mapping[str, RemoteSettings]
    routes: tuple[Route, ...]
    servers: Servers = Servers()
    users: Mapping[str, User] = {}
    notify: Mapping[str, Target] = {}

    @classmethod
    def load(cls, path: str | Path | None = None, *, secrets: bool = True) -> Config:
        """The config in `path`, else in TRANSLOAD_CONFIG, else in transload.toml; raises ConfigFaults. Or without any secret."""
        found, faults = _read(Path(path or default_path()).absolute(), secrets=secrets)
        if found is None:
            raise ConfigFaults(faults)
        return found

    @classmethod
    def of(cls, raw: Mapping[str, Any], folder: str | Path = ".", *, secrets: bool = True) -> Config:
        """The config that a TOML file in `folder` with these tables would give; raises ConfigFaults."""
        faults = Faults(raw)
        found = _checked(raw, Path(folder).absolute() / "transload.toml", faults, secrets=secrets)
        if found is None:
            raise ConfigFaults(faults)
        return found

    @property
    def data(self) -> Path:
        """The folder of ledger.db, spool/, quarantine/ and keys/."""
        return self.settings.data

    @property
    def spool(self) -> SpoolSettings:
        """How long bytes are kept."""
        return self.settings.spool

    @property
    def log(self) -> LogSettings:
        """Where the log goes."""
        return self.settings.log

    @property
    def modules(self) -> tuple[str, ...]:
        """The user's own modules."""
        return self.settings.modules

    @property
    def database_url(self) -> str:
        """The ledger's URL: ledger.db in the data folder unless another is configured. It may hold a password: never show it."""
        told = self.settings.database
        if told is None:
            return f"sqlite:///{self.data / 'ledger.db'}"
        url = told if isinstance(told, str) else told.reveal()
        local = re.fullmatch(r"(sqlite[^:]*):///([^/:].*)", url)
        return f"{local[1]}:///{self.file.parent / local[2]}" if local else url

    def told_of(self, route: str) -> tuple[str, ...]:
        """The targets that are told of a route, or (for an empty name, or a route that is no more) of what concerns everybody."""
        chosen = next((one.notify for one in self.routes if one.name == route), None)
        return tuple(self.notify) if chosen is None else chosen

    def route(self, name: str) -> Route:
        """The route of that name; ConfigError says which name is near."""
        for route in self.routes:
            if route.name == name:
                return route
        hint = meant(name, [route.name for route in self.routes])
        message = f'there is no route "{name}"' + (f"; {hint}" if hint else "")
        raise ConfigError(message)


def default_path() -> str:
    """The config file when none is named."""
    return os.environ.get("TRANSLOAD_CONFIG") or "transload.toml"


def check(path: str | Path | None = None) -> list[Fault]:
    """Every fault of the config, in the order of the file; connects to nothing."""
    return _read(Path(path or default_path()).absolute(), secrets=True, owing=True)[1]


def _read(path: Path, *, secrets: bool, owing: bool = False) -> tuple[Config | None, list[Fault]]:
    text = ""
    try:
        text = path.read_bytes().decode()
        raw = tomllib.loads(text)
    except OSError as error:
        hint = "transload init writes one" if isinstance(error, FileNotFoundError) else ""
        return None, [Fault(str(path), f"cannot be read: {error.strerror}", hint)]
    except UnicodeDecodeError as error:
        return None, [Fault(str(path), f"is not UTF-8 at byte {error.start}", "save it as UTF-8")]
    except tomllib.TOMLDecodeError as error:
        return None, [_syntax(path, text, str(error))]
    faults = Faults(raw, lines(text))
    found = _checked(raw, path, faults, secrets=secrets)
    if found is not None and owing:
        check_owing(dict(enumerate(found.routes)), faults)
        check_urls(found.notify, faults)
    return found, list(faults)


def _syntax(path: Path, text: str, message: str) -> Fault:
    """What tomllib found; it names the place in its message, and may quote a character of the text but no value."""
    found = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", message)
    if not found:
        return Fault(str(path), message)
    if not found[1]:
        return Fault(str(path), message[: found.start()], line=text.count("\n") + 1)
    line = text.split("\n")[int(found[1]) - 1]
    cut = int(found[2]) > len(line.rstrip("\r")) and "{" in line
    hint = "an inline table { ... } must stay on one line; a table of its own, [routes.from], need not" if cut else ""
    return Fault(str(path), f"column {found[2]}: {message[: found.start()]}", hint, int(found[1]))


def _checked(raw: Mapping[str, Any], path: Path, faults: Faults, *, secrets: bool) -> Config | None:
    for key in raw.keys() - set(_TOP):
        faults.unknown((key,), _TOP)
    context = {"folder": path.parent, "secrets": secrets}
    settings = _table(Settings, raw.get("transload", {}), ("transload",), faults, context)
    if settings is not None:
        _import(settings.modules, path.parent, faults)
    quarantine = _table(QuarantineSettings, raw.get("quarantine", {}), ("quarantine",), faults, context) or QuarantineSettings()
    remotes = _remotes(raw.get("remotes", {}), faults, context)
    servers = _table(Servers, raw.get("servers", {}), ("servers",), faults, context) or Servers()
    users = _users(raw.get("users", {}), faults, context)
    routes = _routes(raw.get("routes", []), faults, context)
    targets = _targets(raw.get("notify", {}), faults, context)
    check_routes(raw, remotes, routes, faults)
    check_functions(settings.modules if settings else (), raw.get("routes"), faults)
    check_alerts(routes, raw.get("notify", {}), faults)
    check_serving(raw, servers, users, routes, faults)
    if secrets:
        tables: dict[Place, BaseModel] = {("quarantine",): quarantine} | {("remotes", name): one for name, one in remotes.items()}
        tables |= {("users", name): user for name, user in users.items()} | {("routes", index): route for index, route in routes.items()}
        tables |= {("notify", name): target for name, target in targets.items()}
        check_files(tables | ({("transload",): settings} if settings else {}), faults)
        check_keys(servers, faults)
        check_quarantine(quarantine, faults)
        check_commands(routes, path.parent, faults)
        check_targets(targets, faults)
    if faults or settings is None:
        return None
    return Config(
        file=path,
        digest=_digest(raw),
        settings=settings,
        quarantine=quarantine,
        remotes=remotes,
        routes=tuple(routes.values()),
        servers=servers,
        users=users,
        notify=targets,
    )


def _digest(raw: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(raw, sort_keys=True, default=str).encode()).hexdigest()


def _table(model: type[T], raw: Any, place: Place, faults: Faults, context: dict[str, Any]) -> T | None:
    try:
        return model.model_validate(raw, context=context)
    except ValidationError as error:
        faults.refused(error, place, model)
        if isinstance(raw, dict) and context["secrets"]:
            check_secrets_of(model, raw, place, context, faults)
        return None


def _import(modules: tuple[str, ...], folder: Path, faults: Faults) -> None:
    if modules and str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    for index, module in enumerate(modules):
        try:
            importlib.import_module(module)
        except Exception as error:  # noqa: BLE001 - it is the user's code: whatever it raises is the fault
            faults.add(("transload", "modules", index), f"cannot be imported: {type(error).__name__}: {error}")


def _remotes(raw: Any, faults: Faults, context: dict[str, Any]) -> dict[str, RemoteSettings]:
    if not isinstance(raw, dict):
        faults.add(("remotes",), "wants tables, one for each remote", "[remotes.NAME]")
        return {}
    found = {name: _remote(name, table, faults, context) for name, table in raw.items()}
    return {name: remote for name, remote in found.items() if remote is not None}


def _remote(name: str, table: Any, faults: Faults, context: dict[str, Any]) -> RemoteSettings | None:
    place = ("remotes", name)
    if not re.fullmatch(IDENTIFIER, name):
        faults.add(place, "is no name for a remote", "at most 64 letters, digits, _, . and -")
    if not isinstance(table, dict):
        faults.add(place, "wants a table, { ... }")
        return None
    return _of_kind(REMOTES, table, place, faults, context)


def _of_kind(kinds: Kinds[T], table: dict[str, Any], place: Place, faults: Faults, context: dict[str, Any]) -> T | None:
    model = _kind(kinds, table.get("kind"), (*place, "kind"), faults)
    return _table(model, table, place, faults, context) if model else None


def _kind(kinds: Kinds[T], name: Any, place: Place, faults: Faults) -> type[T] | None:
    names = kinds.names()
    if not isinstance(name, str):
        faults.add(place, "missing" if name is None else "wants a text in quotes", f"one of {', '.join(names)}")
        return None
    try:
        return kinds.find(name)
    except ConfigError as error:
        faults.add(place, str(error))
    except LookupError:
        faults.add(place, f'there is no kind "{name}"', meant(name, names) or f"there are {', '.join(names)}")
    return None


def _targets(raw: Any, faults: Faults, context: dict[str, Any]) -> dict[str, Target]:
    if not isinstance(raw, dict):
        faults.add(("notify",), "wants tables, one for each target", "[notify.NAME]")
        return {}
    for name in raw:
        if not re.fullmatch(IDENTIFIER, name):
            faults.add(("notify", name), "is no name for a target", "at most 64 letters, digits, _, . and -")
    found = {name: _table(Target, table, ("notify", name), faults, context) for name, table in raw.items()}
    return {name: target for name, target in found.items() if target is not None}


def _users(raw: Any, faults: Faults, context: dict[str, Any]) -> dict[str, User]:
    if not isinstance(raw, dict):
        faults.add(("users",), "wants tables, one for each user", "[users.NAME]")
        return {}
    for name in raw:
        if not re.fullmatch(IDENTIFIER, name):
            faults.add(("users", name), "is no name for a user", "at most 64 letters, digits, _, . and -")
    found = {name: _table(User, table, ("users", name), faults, context) for name, table in raw.items()}
    return {name: user for name, user in found.items() if user is not None}


def _routes(raw: Any, faults: Faults, context: dict[str, Any]) -> dict[int, Route]:
    if not isinstance(raw, list):
        faults.add(("routes",), "wants a list of tables", "[[routes]]")
        return {}
    found = {index: _route(index, table, faults, context) for index, table in enumerate(raw)}
    return {index: route for index, route in found.items() if route is not None}


def _route(index: int, table: Any, faults: Faults, context: dict[str, Any]) -> Route | None:
    """A route, its steps read before it: which keys a step has is known by its kind alone."""
    place: Place = ("routes", index)
    if not (isinstance(table, dict) and isinstance(table.get("steps"), list)):
        return _table(Route, table, place, faults, context)
    steps = []
    for at, one in enumerate(table["steps"]):
        if isinstance(one, dict):
            steps.append(_of_kind(STEPS, one, (*place, "steps", at), faults, context))
        else:
            faults.add((*place, "steps", at), "wants a table, { ... }", f"{{ kind = ... }}, of {', '.join(STEPS.names())}")
    return _table(Route, table | {"steps": tuple(step for step in steps if step is not None)}, place, faults, context)
