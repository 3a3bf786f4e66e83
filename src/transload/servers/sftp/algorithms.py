"""Which algorithms are offered: none that ssh-audit calls weak.

Of each list the client's order decides, not ours. OpenSSH's own puts ChaCha20 first, which costs us twice what AES-GCM does, and
every OpenSSH since 2013 has AES: so it is not shown ChaCha20. All others are.
"""

from __future__ import annotations

from asyncssh.kex import get_kex_algs

_KEX = (
    "mlkem768x25519-sha256",
    "sntrup761x25519-sha512",
    "sntrup761x25519-sha512@openssh.com",
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group18-sha512",
    "diffie-hellman-group-exchange-sha256",
)
KEX = tuple(one for one in _KEX if one.encode() in get_kex_algs())
"""Those after quantum computers are there where the library for them is."""
ENCRYPTION = (
    "aes128-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
    "aes256-gcm@openssh.com",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
)
_OPENSSH = b"SSH-2.0-OpenSSH_"
MAC = ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com")
SIGNATURES = (
    "ssh-ed25519",
    "sk-ssh-ed25519@openssh.com",
    "ecdsa-sha2-nistp256",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
)
"""Of users' keys."""


def encryption(client_version: bytes) -> list[bytes]:
    """What a client that calls itself so is offered."""
    shown = [one for one in ENCRYPTION if not (client_version.startswith(_OPENSSH) and one.startswith("chacha20"))]
    return [one.encode() for one in shown]
