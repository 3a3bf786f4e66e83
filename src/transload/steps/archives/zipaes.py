"""The newer encryption of zip files: AES as WinZip writes it, AE-1 and AE-2 (https://www.winzip.com/en/support/aes-encryption/)."""

from __future__ import annotations

from typing import BinaryIO, NamedTuple

from transload.errors import Busy, Rejected

FIELD = 0x9901
CODE = 10
_ROUNDS = 1000
_BLOCK = 16


class Told(NamedTuple):
    """What the extra field says: whether the checksum is there too (AE-1), how strong it is (1 to 3), how the bytes are packed."""

    raw: bytes
    checked: bool
    strength: int
    method: int

    @property
    def before(self) -> int:
        """How many bytes come before the member's own: the salt, and two that tell a wrong password, mostly."""
        return 4 * (self.strength + 1) + 2


def told(field: bytes) -> Told:
    """Read the extra field; raises Rejected for one that nobody writes."""
    version, maker, strength = int.from_bytes(field[:2], "little"), field[2:4], field[4:5]
    if len(field) != 7 or version not in (1, 2) or maker != b"AE" or strength not in (b"\1", b"\2", b"\3"):
        raise Rejected("is encrypted in a way that is not opened")
    return Told(field, version == 1, strength[0], int.from_bytes(field[5:], "little"))


class AesDecrypter:
    """Turns a member's bytes back, in their order, and vouches for them at the end."""

    def __init__(self, file: BinaryIO, how: Told, password: bytes) -> None:
        """Read what stands before the bytes; raises Busy when the password is wrong."""
        # Asked for here: most archives are not encrypted, and these take room that libarchive may need.
        import hmac
        from hashlib import pbkdf2_hmac

        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        head, length = file.read(how.before), 8 * (how.strength + 1)
        keys = pbkdf2_hmac("sha1", password, head[:-2], _ROUNDS, 2 * length + 2)
        if not hmac.compare_digest(keys[-2:], head[-2:]):
            raise Busy("is encrypted: the password is wrong")
        # The counter counts in the other byte order than CTR mode does: its blocks are made here.
        self._cipher = Cipher(algorithms.AES(keys[:length]), modes.ECB()).encryptor()  # noqa: S305
        self._code = hmac.new(keys[length : 2 * length], digestmod="sha1")
        self._same = hmac.compare_digest
        self._next, self._rest = 1, b""

    def __call__(self, data: bytes) -> bytes:
        """The plain bytes."""
        self._code.update(data)
        count = -(-(len(data) - len(self._rest)) // _BLOCK)
        blocks = b"".join([one.to_bytes(_BLOCK, "little") for one in range(self._next, self._next + count)])
        self._next += count
        mask = self._rest + self._cipher.update(blocks)
        self._rest = mask[len(data) :]
        return (int.from_bytes(data) ^ int.from_bytes(mask[: len(data)])).to_bytes(len(data))

    def vouches(self, code: bytes) -> bool:
        """Whether `code`, which stands after them, is that of the bytes and the password."""
        return self._same(self._code.digest()[:CODE], code)
