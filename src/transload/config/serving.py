"""What the [servers] and [users] tables, and the routes that start there, can only be asked together."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import ip_address, ip_network
from itertools import combinations
from pathlib import Path
from typing import Any

from transload.config.check import check_private, check_readable
from transload.config.route import Route
from transload.config.server import FtpServer, Servers, User
from transload.errors import ConfigError
from transload.explain import Faults, Place, meant
from transload.remotes.hook import of_module, registered

_LEAST_PORTS = 10
_IDLE, _IDLE_HINT = "missing: the route delivers nothing and calls no hook", 'write to = [{ remote = "..." }], or on_received'
_NOT_OURS = {
    **dict.fromkeys(("every", "cron", "jitter", "missed", "watch"), "leave it away: what arrives is taken when it arrives"),
    **dict.fromkeys(("order", "limit"), "leave it away: each file is taken when it arrives"),
    "settle": 'leave it away: arrival = { complete = "quiet", quiet = "30s" } waits until nothing changes',
    "identity": "leave it away: each upload is an arrival of its own, and the same bytes again are none",
    "changed": 'leave it away: arrival = { exists = "refuse" } refuses a name that is there',
}


def check_serving(raw: Mapping[str, Any], servers: Servers, users: Mapping[str, User], routes: Mapping[int, Route], faults: Faults) -> None:
    """Note every fault of our servers, of their users, and of the routes that start from them."""
    _check_tables(raw, faults)
    if servers.ftp is not None:
        _check_ftp(servers.ftp, users, faults)
    _check_doors(servers, faults)
    _check_homes(users, faults)
    for index, route in routes.items():
        if route.on_received is not None and registered(route.name):
            faults.add(("routes", index, "on_received"), "a function in Python is told of this route already", "keep one of the two")


def refuse_idle(routes: Iterable[Route]) -> None:
    """Raise ConfigError for an enabled route that owes nothing to anybody."""
    for route in routes:
        if route.enabled and not route.destinations:
            raise ConfigError(f"routes[{route.name}].to: {_IDLE}; {_IDLE_HINT}")


def check_owing(routes: Mapping[int, Route], faults: Faults) -> None:
    """Note the routes that owe nothing to anybody; the hooks of a program that loads its config itself are not there yet."""
    for index, route in routes.items():
        if not route.destinations:
            faults.add(("routes", index, "to"), _IDLE, _IDLE_HINT)


def check_keys(servers: Servers, faults: Faults) -> None:
    """Note every file of the [servers] table that cannot be read, and every private key that everybody can."""
    for place, path, private in _files(servers):
        check_readable(path, place, faults)
        if private:
            check_private(path, place, faults)


def check_commands(routes: Mapping[int, Route], folder: Path, faults: Faults) -> None:
    """Note every hook whose program is not there; `folder` is where it is run."""
    for index, route in routes.items():
        command = route.on_received.command if route.on_received is not None else None
        if command is not None and shutil.which(Path(folder, command[0]) if "/" in command[0] else command[0]) is None:
            faults.add(("routes", index, "on_received", "command"), f'there is no program "{command[0]}"', "give its whole path")


def _files(servers: Servers) -> Iterator[tuple[Place, Path, bool]]:
    """Every file that is named, and whether it is a private key."""
    if servers.ftp is not None:
        for name in ("certificate", "key", "client_ca"):
            path = getattr(servers.ftp, name)
            if path is not None:
                yield ("servers", "ftp", name), path, name == "key"
    if servers.sftp is not None:
        for index, path in enumerate(servers.sftp.host_keys):
            yield ("servers", "sftp", "host_keys", index), path, True


def _check_tables(raw: Mapping[str, Any], faults: Faults) -> None:
    """What can be seen in the text alone, also in routes that have other faults."""
    routes, served = raw.get("routes"), _any_server(raw.get("servers"))
    for index, route in enumerate(routes if isinstance(routes, list) else []):
        source = route.get("from") if isinstance(route, dict) else None
        if not isinstance(source, dict):
            continue
        place: Place = ("routes", index, "from")
        if source.get("server") is True:
            _check_server_route(source, place, faults)
            if not served and route.get("enabled") is not False:
                faults.add((*place, "server"), "there is no server", 'write a table [servers.sftp] with listen = "0.0.0.0:2022"')
        else:
            if "user" in source:
                faults.add((*place, "user"), "means nothing without server = true", "the user of a remote stands in [remotes.NAME]")
            if "arrival" in route:
                faults.add(("routes", index, "arrival"), "is for routes that take from our servers", "write from = { server = true }")


def check_functions(modules: Sequence[str], routes: Any, faults: Faults) -> None:
    """Note every function of these modules that is to be told of a route that there is not."""
    names = [route.get("name") for route in routes if isinstance(route, dict)] if isinstance(routes, list) else []
    for index, module in enumerate(modules):
        for route in of_module(module):
            if route not in names:
                fault = f'has a function that is told of the route "{route}", which there is not'
                faults.add(("transload", "modules", index), fault, meant(route, [name for name in names if isinstance(name, str)]))


def _any_server(servers: Any) -> bool:
    return isinstance(servers, dict) and ("ftp" in servers or "sftp" in servers)


def _check_server_route(source: Mapping[str, Any], place: Place, faults: Faults) -> None:
    if "remote" in source:
        faults.add((*place, "remote"), "stands beside server = true", "leave one of the two away")
    if "zone" in source and "{now" not in str(source.get("path")):
        faults.add((*place, "zone"), "means nothing with server = true", "leave it away: it is for times in `path`")
    for key in source.keys() & _NOT_OURS.keys():
        faults.add((*place, key), "means nothing with server = true", _NOT_OURS[key])


def _check_ftp(server: FtpServer, users: Mapping[str, User], faults: Faults) -> None:
    place: Place = ("servers", "ftp")
    if server.anonymous and "anonymous" not in users:
        faults.add((*place, "anonymous"), "anybody may come in, but nothing says what for", "write a table [users.anonymous]")
    if server.tls == "off":
        for key in ("implicit_listen", "client_ca"):
            if getattr(server, key) is not None:
                faults.add((*place, key), 'needs TLS, but tls is "off"', 'write tls = "explicit"')
        if server.require_tls_reuse:
            faults.add((*place, "require_tls_reuse"), 'needs TLS, but tls is "off"', 'write tls = "explicit"')
    if (server.certificate is None) != (server.key is None):
        there, lacking = ("certificate", "key") if server.key is None else ("key", "certificate")
        faults.add((*place, there), f"stands without its {lacking}", f"write {lacking}, too")
    if server.passive_ports is not None:
        _check_passive(server, server.passive_ports, faults)
    _check_public(server.public_address, (*place, "public_address"), faults)


def _check_passive(server: FtpServer, ports: str, faults: Faults) -> None:
    first, _, last = ports.partition("-")
    count, wanted = int(last) - int(first) + 1, min(_LEAST_PORTS, server.sessions)
    place: Place = ("servers", "ftp", "passive_ports")
    if count < wanted:
        faults.add(
            place,
            f"has room for {count} transfers at once, of up to {server.sessions} sessions",
            f"give it {wanted} ports or more, or lower `sessions`",
        )
    for key in ("listen", "implicit_listen"):
        address = getattr(server, key)
        if address is not None and int(first) <= _door(address)[1] <= int(last):
            faults.add(place, f"holds the port of {key}", "move one of them")


def _check_public(told: str | Mapping[str, str] | None, place: Place, faults: Faults) -> None:
    for network, address in ({"default": told} if isinstance(told, str) else told or {}).items():
        at = place if isinstance(told, str) else (*place, network)
        if network != "default" and not _parses(ip_network, network):
            faults.add(at, "is no network of clients", 'write "10.0.0.0/8", or default')
        if not address or (any(char in address for char in ":/ ") and not _parses(ip_address, address)):
            faults.add(at, "has no address for clients", 'write an address or a name, without a port, such as "203.0.113.7"')


def _parses(parse: Any, text: str) -> bool:
    try:
        parse(text, strict=False) if parse is ip_network else parse(text)
    except ValueError:
        return False
    return True


def _check_doors(servers: Servers, faults: Faults) -> None:
    """No two servers at one port of one address; a port 0 is any free one."""
    doors = [
        (("servers", name, key), *_door(address))
        for name, server in (("ftp", servers.ftp), ("sftp", servers.sftp))
        for key in ("listen", "implicit_listen")
        if server is not None and (address := getattr(server, key, None)) is not None
    ]
    for (first, one, port), (second, other, its) in combinations(doors, 2):
        if port == its != 0 and (one == other or {one, other} & {"", "0.0.0.0", "::"}):  # noqa: S104 - compared, not listened at
            faults.add(second, f"has the port of {'.'.join(map(str, first))}", "give each server a port of its own")


def _door(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _check_homes(users: Mapping[str, User], faults: Faults) -> None:
    """A home inside another's would be that user's to read and remove; one home for several is fine."""
    homes = {}
    for name, user in users.items():
        home = Path(os.path.normpath(user.home or name))
        if not home.is_absolute() and (".." in home.parts or home == Path()):
            faults.add(("users", name, "home"), "leaves the inbox folder", "write a folder below it, or an absolute path")
            continue
        homes[name] = home
    for (first, one), (second, other) in combinations(homes.items(), 2):
        if one != other and (one in other.parents or other in one.parents):
            inner, outer = (first, second) if other in one.parents else (second, first)
            faults.add(
                ("users", inner, "home"), f'lies inside the home of "{outer}"', "give each a folder of its own, or both the same one"
            )
