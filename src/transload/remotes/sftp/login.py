"""Connecting and logging in: proxies, hosts on the way, and what went wrong in one line."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import asyncssh

from transload import aio
from transload.errors import ConfigError
from transload.model import spell
from transload.remotes.sftp import hostkeys
from transload.remotes.sftp.faults import telling
from transload.remotes.sftp.settings import Jump, SftpRemote
from transload.remotes.sftp.wire import Wire
from transload.secret import Secret

Host = SftpRemote | Jump

_CIPHERS = (
    "aes128-gcm@openssh.com",  # the fastest by far
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
    "aes128-ctr",
    "aes256-ctr",
    "aes192-ctr",
)
_WINDOW = 16 * 1024 * 1024
_PACKET = 128 * 1024
_FAREWELL = 2.0


@contextmanager
def connected(remote: SftpRemote) -> Iterator[tuple[Wire, bool]]:
    """A wire to the remote, and whether its server is to be treated with patience (it is not OpenSSH's)."""
    # Opening a locked key, or asking a command for a password, takes its time, which the loop has not.
    secrets = {id(host): _secrets(host, remote) for host in _way(remote)}
    stack = AsyncExitStack()
    try:
        wire, server = aio.run(_wired(remote, secrets, stack))
        yield wire, "OpenSSH" not in server
    finally:
        aio.end(stack.aclose())


def shown_by(remote: SftpRemote) -> str:
    """The host key that the remote shows now, as it is pinned; nobody is logged in there."""
    secrets = {id(host): _secrets(host, remote) for host in _way(remote)[:-1]}
    return aio.run(_shown(remote, secrets))


def _way(remote: SftpRemote) -> list[Host]:
    """Every host that is logged in to, the remote last."""
    way: list[Host] = [remote]
    while way[0].jump is not None:
        way.insert(0, way[0].jump)
    return way


def _secrets(host: Host, remote: SftpRemote) -> dict[str, Any]:
    """What logs in to `host`, as asyncssh takes it."""
    has_own = host.password or host.key or host.agent or host.ssh_config
    login = host if has_own else remote
    secrets: dict[str, Any] = {"password": host.password.reveal() if host.password else None}
    if login.key is not None:
        secrets["client_keys"] = [_opened(login.key, login.passphrase)]
    elif login.ssh_config is None and not login.agent:
        secrets["client_keys"] = None
    if login.agent and not os.environ.get("SSH_AUTH_SOCK"):
        raise ConfigError("agent = true, but no ssh-agent is running here (SSH_AUTH_SOCK is not set)")
    secrets["agent"] = login.agent
    secrets["config"] = [str(login.ssh_config)] if login.ssh_config else None
    return secrets


def _opened(key: Secret, passphrase: Secret | None) -> asyncssh.SSHKey:
    name = key.file or key.env or (key.command or ("",))[0]
    try:
        return asyncssh.import_private_key(key.reveal_bytes(), passphrase.reveal() if passphrase else None)
    except asyncssh.KeyEncryptionError as error:
        raise ConfigError(f"key: the passphrase does not open {name}") from error
    except (asyncssh.KeyImportError, UnicodeDecodeError) as error:
        hint = " (a .ppk of PuTTY is turned into one by `puttygen -O private-openssh`)" if "assphrase" not in str(error) else ""
        raise ConfigError(f"key: {name} is no private key that can be used: {error}{hint}") from error


async def _wired(remote: SftpRemote, secrets: dict[int, dict[str, Any]], stack: AsyncExitStack) -> tuple[Wire, str]:
    connection = None
    for host in _way(remote):
        connection = await _logged_in(host, remote, secrets[id(host)], connection, stack)
    assert connection is not None  # noqa: S101 - the way has at least one host
    where = _where(remote)
    wire = Wire(asyncio.get_running_loop(), where, remote.timeout)
    with telling(where, remote.user, remote.timeout):
        async with asyncio.timeout(remote.timeout):
            await connection.create_session(lambda: wire, subsystem="sftp", encoding=None, window=_WINDOW, max_pktsize=_PACKET)
            await wire.greet()
    return wire, str(connection.get_extra_info("server_version", ""))


async def _logged_in(
    host: Host, remote: SftpRemote, secrets: dict[str, Any], tunnel: asyncssh.SSHClientConnection | None, stack: AsyncExitStack
) -> asyncssh.SSHClientConnection:
    where = _where(host)
    options = _options(host, remote, secrets)
    if secrets["agent"]:
        options["client_keys"] = [*options.get("client_keys", ()), *await _agent_keys(stack)]
    with telling(where, host.user, remote.timeout):
        keys = await _known(host, options)
        seen: list[asyncssh.SSHKey] = []
        offers = keys.offers(host.algorithms.host_keys)
        failed: Exception | None = None
        for offer in offers:
            doorman = hostkeys.Doorman(keys.fingerprints)
            more = {"known_hosts": keys.trusted, "server_host_key_algs": offer, "client_factory": lambda at=doorman: at}
            try:
                connection = await asyncssh.connect(**options, **more, **await _through(remote, host, tunnel))
            except (asyncssh.HostKeyNotVerifiable, asyncssh.KeyExchangeFailed, asyncssh.ConnectionLost, ConnectionError) as error:
                # A server without a key of the wanted type may hang up before it says so.
                if len(offers) == 1 and not _of_host_key(error):
                    raise
                failed = error
            else:
                stack.push_async_callback(_leave, connection)
                return connection
            if doorman.seen is not None:
                seen.append(doorman.seen)
        if failed is not None and not seen and not _of_host_key(failed):
            raise failed
    raise hostkeys.wrong(where, keys, seen, spell(str(failed).encode()))


def _of_host_key(error: Exception) -> bool:
    return isinstance(error, asyncssh.HostKeyNotVerifiable) or (isinstance(error, asyncssh.KeyExchangeFailed) and "host key" in str(error))


async def _agent_keys(stack: AsyncExitStack) -> list[asyncssh.SSHKeyPair]:
    at = os.environ["SSH_AUTH_SOCK"]
    try:
        agent = await stack.enter_async_context(asyncssh.connect_agent(at))
        return list(await agent.get_keys())
    except (OSError, asyncssh.Error) as error:
        raise ConfigError(f"agent = true, but no ssh-agent answers at {at} (SSH_AUTH_SOCK): {error}") from error


def _options(host: Host, remote: SftpRemote, secrets: dict[str, Any]) -> dict[str, Any]:
    """What asyncssh wants to know, but for the host key."""
    beat = remote.keepalive
    given = {name: secrets[name] for name in ("password", "client_keys", "config") if name in secrets}
    options: dict[str, Any] = given | {
        "host": host.host,
        "connect_timeout": remote.timeout,
        "login_timeout": remote.timeout,
        "keepalive_interval": beat,
        "keepalive_count_max": max(1, math.ceil(remote.timeout / beat)) if beat else 1,
        "encryption_algs": [*_CIPHERS, *host.algorithms.ciphers],
        "gss_host": None,
        "x509_trusted_certs": None,
    }
    if host.port or not secrets["config"]:
        options["port"] = host.port or 22
    if host.user:
        options["username"] = host.user
    if not secrets["config"]:
        options["agent_path"] = None
    extra = {"kex_algs": host.algorithms.kex, "mac_algs": host.algorithms.macs, "signature_algs": host.algorithms.signatures}
    return options | {name: "+" + ",".join(more) for name, more in extra.items() if more}


async def _known(host: Host, options: dict[str, Any]) -> hostkeys.HostKeys:
    if not options["config"] or host.host_key or host.known_hosts or host.insecure:
        return hostkeys.known(host, host.host, host.port or 22, None)
    # An SSH configuration may give the host another name, another port, and another file of known hosts.
    read = await asyncssh.SSHClientConnectionOptions.construct(
        config=options["config"], host=host.host, port=host.port or (), client_keys=None
    )
    files = read.known_hosts if isinstance(read.known_hosts, list) else []
    return hostkeys.known(host, read.host_key_alias or read.host, read.port, [str(file) for file in files])


async def _through(remote: SftpRemote, host: Host, tunnel: asyncssh.SSHClientConnection | None) -> dict[str, Any]:
    """How to reach the host: through the hosts before it, through the proxy, or directly."""
    if tunnel is not None:
        return {"tunnel": tunnel}
    if remote.proxy is None:
        return {}
    from transload.remotes.proxied import dial

    line = await asyncio.to_thread(dial, remote.proxy, remote.proxy_password, host.host, host.port or 22, remote.timeout)
    line.setblocking(False)
    return {"sock": line}


async def _shown(remote: SftpRemote, secrets: dict[int, dict[str, Any]]) -> str:
    async with AsyncExitStack() as stack:
        tunnel = None
        for host in _way(remote)[:-1]:
            tunnel = await _logged_in(host, remote, secrets[id(host)], tunnel, stack)
        config = [str(remote.ssh_config)] if remote.ssh_config else None
        with telling(_where(remote), remote.user, remote.timeout):
            async with asyncio.timeout(remote.timeout):
                key = await asyncssh.get_server_host_key(
                    remote.host,
                    remote.port or (() if config else 22),
                    config=config,
                    server_host_key_algs=hostkeys.HostKeys(None, frozenset(), "").offers(remote.algorithms.host_keys)[0],
                    **await _through(remote, remote, tunnel),
                )
    if key is None:
        raise ConfigError(f"{_where(remote)} shows no host key")
    return hostkeys.line(key)


async def _leave(connection: asyncssh.SSHClientConnection) -> None:
    connection.close()
    try:
        async with asyncio.timeout(_FAREWELL):
            await connection.wait_closed()
    except TimeoutError:
        connection.abort()


def _where(host: Host) -> str:
    return f"{host.host}:{host.port or 22}"
