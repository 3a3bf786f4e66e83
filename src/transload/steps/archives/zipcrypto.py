"""The old encryption of zip files (APPNOTE 6.1), which is weak, slow, and what partners send."""

from __future__ import annotations

import zlib

_TABLE = [zlib.crc32(bytes([one]), 0xFFFFFFFF) ^ 0xFFFFFFFF for one in range(256)]


class Decrypter:
    """Turns a member's bytes back, in their order."""

    def __init__(self, password: bytes) -> None:
        self._keys = (0x12345678, 0x23456789, 0x34567890)
        for byte in password:
            self._turn(byte)

    def _turn(self, byte: int) -> None:
        one, two, three = self._keys
        one = (one >> 8) ^ _TABLE[(one ^ byte) & 0xFF]
        two = ((two + (one & 0xFF)) * 134775813 + 1) & 0xFFFFFFFF
        self._keys = one, two, (three >> 8) ^ _TABLE[(three ^ (two >> 24)) & 0xFF]

    def __call__(self, data: bytes) -> bytes:
        """The plain bytes."""
        table, (one, two, three) = _TABLE, self._keys
        plain = bytearray(data)
        for at, byte in enumerate(data):  # written out: this line is met once for every byte
            mask = (three | 2) & 0xFFFF
            plain[at] = clear = byte ^ (((mask * (mask ^ 1)) >> 8) & 0xFF)
            one = (one >> 8) ^ table[(one ^ clear) & 0xFF]
            two = ((two + (one & 0xFF)) * 134775813 + 1) & 0xFFFFFFFF
            three = (three >> 8) ^ table[(three ^ (two >> 24)) & 0xFF]
        self._keys = one, two, three
        return bytes(plain)
