"""Which algorithms are offered: none that ssh-audit calls weak.

Of each list the client's order decides, not ours. OpenSSH's has ChaCha20 and AES-CTR before AES-GCM, which costs us half of what they
do: so a client that has AES-GCM is shown nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence

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


def encryption(theirs: Sequence[bytes]) -> list[bytes]:
    """What a client that can do `theirs` is offered."""
    ours = [one.encode() for one in ENCRYPTION]
    fast = [one for one in ours if one in theirs and b"-gcm@" in one]
    return fast or ours


def offered(kexinit: bytes) -> list[bytes]:
    """The encryption that a client offers, from its SSH_MSG_KEXINIT; nothing where that is garbled, which asyncssh will say itself."""
    at = 17
    for _ in range(2):
        at += 4 + int.from_bytes(kexinit[at : at + 4], "big")
    size = int.from_bytes(kexinit[at : at + 4], "big")
    return kexinit[at + 4 : at + 4 + size].split(b",")
