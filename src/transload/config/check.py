"""What a config can only be asked as a whole: names that must exist, abilities, and routes that are in each other's way."""

from __future__ import annotations

import posixpath
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import combinations
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from transload.config.route import From, Route, To
from transload.config.settings import QuarantineSettings
from transload.errors import ConfigError
from transload.explain import Faults, Place, meant, models_of
from transload.names import FIELDS, Template
from transload.patterns import disjoint, group_names
from transload.protocols import SERVER, Mover, Reader, Remover, Writer
from transload.quarantine.keys import key_of
from transload.remotes.base import RemoteSettings
from transload.secret import Secret

Remotes = Mapping[str, RemoteSettings]


def check_routes(raw: Mapping[str, Any], remotes: Remotes, routes: Mapping[int, Route], faults: Faults) -> None:
    """Note every fault that a route alone does not show."""
    _check_references(raw.get("routes"), raw.get("remotes"), faults)
    for index, route in routes.items():
        place: Place = ("routes", index)
        _check_source(route, place, remotes, faults)
        for at, to in enumerate(route.to):
            _check_destination(route, to, (*place, "to", at), remotes, faults)
    for (_, first), (other, second) in combinations(routes.items(), 2):
        if first.enabled and second.enabled:
            _check_pair(first, second, ("routes", other), faults)


def check_files(tables: Mapping[Place, BaseModel], faults: Faults) -> None:
    """Note every secret that is not there now, and every file that cannot be read; commands are not run for this."""
    for place, table in tables.items():
        for at, secret in _secrets(place, table):
            _check_secret(secret, at, faults)
        for name in sorted(table.model_fields_set - {"path"}):
            path = getattr(table, name)
            if isinstance(path, Path) and place[0] == "remotes":
                check_readable(path, (*place, name), faults)
                if name == "key":
                    check_private(path, (*place, name), faults)


def _check_secret(secret: Secret, place: Place, faults: Faults) -> None:
    fault = secret.fault()
    if fault:
        faults.add(place, fault, "set it before the start" if secret.env else "")
    elif secret.file is not None and place[-1] == "key":
        check_private(secret.file, place, faults)


def check_quarantine(quarantine: QuarantineSettings, faults: Faults) -> None:
    """Note every key of the quarantine that is none; those that come of a command are not looked at."""
    for place, secret in _secrets(("quarantine",), quarantine):
        if secret.file is not None and place[-1] != "key":
            check_private(secret.file, place, faults)
        if secret.command is None and not secret.fault():
            try:
                key_of(secret.reveal())
            except ConfigError as error:
                fault, _, hint = str(error).partition("; ")
                faults.add(place, fault, hint)


def check_private(path: Path, place: Place, faults: Faults) -> None:
    """Note a private key that everybody on this machine can read or change."""
    if path.exists() and path.stat().st_mode & stat.S_IRWXO:
        faults.add(place, f"{path} is a private key that everybody on this machine can get at", f"chmod o-rwx {path}")


def check_readable(path: Path, place: Place, faults: Faults) -> None:
    """Note a file that cannot be read."""
    try:
        path.open("rb").close()
    except OSError as error:
        faults.add(place, f"{path} cannot be read: {error.strerror}")


def check_secrets_of(model: type[BaseModel], table: Mapping[str, Any], place: Place, context: dict[str, Any], faults: Faults) -> None:
    """The same for the secrets of a table that has faults of its own, so that all are told at once."""
    for name, field in model.model_fields.items():
        key = field.alias or name
        if Secret in models_of(field.annotation) and isinstance(table.get(key), dict):
            with suppress(ValidationError):  # it was told with the table's other faults
                _check_secret(Secret.model_validate(table[key], context=context), (*place, key), faults)


def _secrets(place: Place, value: Any) -> Iterator[tuple[Place, Secret]]:
    if isinstance(value, Secret):
        yield place, value
    elif isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            yield from _secrets((*place, field.alias or name), getattr(value, name))
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _secrets((*place, key), inner)
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _secrets((*place, index), inner)


def _check_references(routes: Any, remotes: Any, faults: Faults) -> None:
    """Names of routes and remotes, also in routes that have other faults."""
    declared = list(remotes) if isinstance(remotes, dict) else []
    seen: dict[str, int] = {}
    for index, table in enumerate(routes if isinstance(routes, list) else []):
        if not isinstance(table, dict):
            continue  # that was told
        name, entries = table.get("name"), table.get("to")
        if isinstance(name, str) and seen.setdefault(name, index) != index:
            faults.add(("routes", index, "name"), "another route has this name", "name it otherwise: the ledger goes by it")
        _check_reference(table.get("from"), ("routes", index, "from"), declared, faults)
        for at, entry in enumerate(entries if isinstance(entries, list) else []):
            _check_reference(entry, ("routes", index, "to", at), declared, faults)


def _check_reference(table: Any, place: Place, declared: list[str], faults: Faults) -> None:
    name = table.get("remote") if isinstance(table, dict) else None
    if name == SERVER:
        faults.add((*place, "remote"), "is no name for a remote", "what our servers receive is taken with server = true")
    elif isinstance(name, str) and name not in declared:
        faults.add((*place, "remote"), f'there is no remote "{name}"', meant(name, declared) or f"write a table [remotes.{name}]")


def _check_source(route: Route, place: Place, remotes: Remotes, faults: Faults) -> None:
    # A program may yet give a route without destinations its hook; when it starts it must have one.
    if route.after != "keep" and route.destinations and not any(to.required for to in route.destinations):
        faults.add((*place, "after"), "would touch the source though no destination is required", "make one required, or keep the source")
    if route.source.watch and (route.source.server or getattr(remotes.get(route.source.remote), "kind", "folder") != "folder"):
        faults.add(
            (*place, "from", "watch"), "only a folder of this machine can be watched", "leave it away: `every` says how often to look"
        )
    if route.source.marker is not None:
        _check_marker(route.source, remotes, (*place, "from", "marker"), faults)
    remote = remotes.get(route.source.remote)
    if remote is None:
        return
    if not issubclass(remote.session, Reader):
        faults.add((*place, "from", "remote"), f"nothing can be fetched from {_shown(remote)}", "name another remote")
    verb, ability = ("deleted", Remover) if route.after == "delete" else ("moved", Mover)
    if route.after != "keep" and not issubclass(remote.session, ability):
        faults.add((*place, "after"), f"nothing can be {verb} on {_shown(remote)}", 'write after = "keep"')


def _check_marker(source: From, remotes: Remotes, place: Place, faults: Faults) -> None:
    if source.server:
        faults.add(place, "is for what is fetched", 'write arrival = { complete = "marker" }: our servers wait for it')
    elif getattr(remotes.get(source.remote), "kind", "") == "http":
        faults.add(place, "a web address has no folder to find it in", "write marker in the file's table in [remotes]")


def _check_destination(route: Route, to: To, place: Place, remotes: Remotes, faults: Faults) -> None:
    for key, template in (("name", to.name), ("marker", to.marker)):
        if template is not None:
            _check_groups(route.source, template, (*place, key), faults)
    remote = remotes.get(to.remote)
    if remote is not None and not issubclass(remote.session, Writer):
        faults.add((*place, "remote"), f"nothing can be delivered to {_shown(remote)}", "name another remote")
    elif to.remote == route.source.remote and _feeds_itself(route.source, to.name):
        faults.add((*place, "name"), "delivers into what the route takes from: it would take it again", "deliver elsewhere, or exclude it")


def _shown(remote: RemoteSettings) -> str:
    return f'a remote of kind "{remote.kind}"'


def _check_groups(source: From, template: Template, place: Place, faults: Faults) -> None:
    each = [group_names(text) for text in source.match]
    common = frozenset.intersection(*each) | ({"user"} if source.server else set())
    for group in sorted(template.groups - common):
        if any(group in some for some in each):
            faults.add(place, f"{{{group}}} is in only some patterns of from.match", "name it in all of them")
        else:
            hint = meant(group, {*FIELDS, *common}, 0.8) or f"write (?P<{group}>...) in the regex of from.match"
            faults.add(place, f"{{{group}}} is neither a field nor a named group of from.match", hint)


def _feeds_itself(source: From, name: Template) -> bool:
    """Whether what is delivered may be listed again, as far as the texts tell."""
    if all(disjoint(f"*{name.tail}", glob) for glob in source.match if "/" not in glob):
        return False
    for path in source.path:
        below = _below(name.root, _normal(path))
        listed = below is not None and (source.recursive or not (below or name.folders))
        base = f"x{name.tail}"
        if listed and not source.unwanted.hit(f"{below}/{base}" if below else base, base):
            return True
    return False


def _check_pair(first: Route, second: Route, place: Place, faults: Faults) -> None:
    if first.source.remote != second.source.remote or first.after == second.after == "keep":
        return
    if _may_share(first.source, second.source):
        touching = first if first.after != "keep" else second
        faults.add(
            (*place, "from"),
            f'may take the same files as the route "{first.name}"',
            f'only routes with after = "keep" may; let "{touching.name}" keep them, or exclude the match of the other',
        )


def _may_share(first: From, second: From) -> bool:
    if first.user != second.user and first.user is not None and second.user is not None:
        return False
    if all(_apart(one, other, first, second) for one in first.path for other in second.path):
        return False
    if set(first.match) <= set(second.exclude) or set(second.match) <= set(first.exclude):
        return False
    return not all(disjoint(one, other) for one in first.match for other in second.match)


def _apart(one: str, other: str, first: From, second: From) -> bool:
    """Whether no file lies below both paths."""
    inner, outer = _below(_normal(other), _normal(one)), _below(_normal(one), _normal(other))
    if inner == "":
        return False
    return not ((inner is not None and first.recursive) or (outer is not None and second.recursive))


def _below(path: str, folder: str) -> str | None:
    """`path` relative to `folder`; None when it does not lie there."""
    if path == folder:
        return ""
    prefix = f"{folder}/" if folder not in ("", "/") else folder
    return path[len(prefix) :] if path.startswith(prefix) else None


def _normal(path: str) -> str:
    normal = posixpath.normpath(path) if path else ""
    return "" if normal == "." else normal
