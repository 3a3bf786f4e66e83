"""Host keys, read from files that nobody else may read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import asyncssh
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from transload.errors import ConfigError
from transload.servers.keys import refuse_open

_LEAST_RSA = 2048


def load(paths: Sequence[Path]) -> list[asyncssh.SSHKey]:
    """The private keys in `paths`; raises ConfigError, in one line, for the first that cannot or must not be used."""
    return [_read(path) for path in paths]


def _read(path: Path) -> asyncssh.SSHKey:
    refuse_open(path)
    try:
        key = asyncssh.import_private_key(path.read_bytes())
    except asyncssh.KeyEncryptionError as error:
        raise ConfigError(f"{path} is locked with a passphrase, which a server cannot type") from error
    except (asyncssh.KeyImportError, OSError) as error:
        raise ConfigError(f"{path} is no private SSH key") from error
    if key.algorithm == b"ssh-dss":
        raise ConfigError(f"{path} is a DSA key, which no client takes any more")
    pyca = key.pyca_key
    if isinstance(pyca, RSAPrivateKey) and pyca.key_size < _LEAST_RSA:
        raise ConfigError(f"{path} has {pyca.key_size} bits, fewer than the {_LEAST_RSA} that clients want")
    return key
