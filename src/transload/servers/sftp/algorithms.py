"""Which algorithms are offered: none that ssh-audit calls weak.

Of each list the client's order decides, not ours. OpenSSH's has ChaCha20 and AES-CTR before AES-GCM, which costs us half of what they
do: so a client that has AES-GCM is shown nothing else.
"""

from __future__ import annotations

from typing import NamedTuple

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
OLD_MAC = ("hmac-sha2-256", "hmac-sha2-512")
"""For clients that have none of those: curl's library knows no other before 2023."""
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


class Offer(NamedTuple):
    """What a client can do, as far as we choose by it."""

    encryption: frozenset[bytes]
    mac: frozenset[bytes]


NO_OFFER = Offer(frozenset(), frozenset())


def encryption(offer: Offer) -> list[bytes]:
    """What such a client is offered."""
    ours = [one.encode() for one in ENCRYPTION]
    return [one for one in ours if one in offer.encryption and b"-gcm@" in one] or ours


def mac(offer: Offer) -> list[bytes]:
    """The same for MACs, which only those need that have no AES-GCM."""
    ours = [one.encode() for one in MAC]
    return ours if not offer.mac or offer.mac.intersection(ours) else [one.encode() for one in OLD_MAC]


def offered(kexinit: bytes) -> Offer:
    """What a client's SSH_MSG_KEXINIT offers; nothing where it is garbled, which asyncssh will say itself."""
    at, lists = 17, []
    for _ in range(6):
        size = int.from_bytes(kexinit[at : at + 4], "big")
        lists.append(frozenset(kexinit[at + 4 : at + 4 + size].split(b",")))
        at += 4 + size
    return Offer(lists[2], lists[4])
