"""What asyncssh and the network say, in our own words, by what to do about it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import asyncssh

from transload.errors import Busy, ConfigError, Denied, TransloadError, Unreachable
from transload.model import spell

_CHANNELS: dict[int, type[TransloadError]] = {
    asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED: Denied,
    asyncssh.OPEN_RESOURCE_SHORTAGE: Busy,
    asyncssh.OPEN_CONNECT_FAILED: Unreachable,
}


@contextmanager
def telling(where: str, user: str, timeout: float) -> Iterator[None]:
    """Translate what is raised while `where` is connected to and logged in to."""
    try:
        yield
    except TransloadError:
        raise
    except asyncssh.PermissionDenied as error:
        raise Denied(
            f"{where}: the login of {user or 'the local user'} is refused (wrong password or key, or not a way that the server takes)"
        ) from error
    except asyncssh.KeyExchangeFailed as error:
        raise Denied(f"{where}: no common algorithm; an old server may need `algorithms`: {_said(error)}") from error
    except asyncssh.ChannelOpenError as error:
        raise _CHANNELS.get(error.code, Denied)(f"{where}: the server opens no SFTP channel: {_said(error)}") from error
    except asyncssh.DisconnectError as error:
        kind = Busy if error.code == asyncssh.DISC_TOO_MANY_CONNECTIONS else Unreachable
        raise kind(f"{where}: {_said(error)}") from error
    except TimeoutError as error:
        raise Unreachable(f"{where}: no answer within {timeout:g} s") from error
    except (asyncssh.ConfigParseError, asyncssh.KeyImportError, ValueError) as error:
        raise ConfigError(f"{where}: {_said(error)}") from error
    except socket.gaierror as error:
        raise Unreachable(f"{where}: the name does not resolve: {error.strerror}") from error
    except OSError as error:
        raise Unreachable(f"{where}: {error.strerror or _said(error)}") from error


def _said(error: Exception) -> str:
    return spell(str(error).encode("utf-8", "surrogateescape")[:500])
