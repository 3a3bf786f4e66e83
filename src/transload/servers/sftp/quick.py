"""The short way of files' bytes through an SSH connection: it costs a third of asyncssh's own, which takes every packet apart by itself.

Only channel data sealed with AES-GCM goes it, on a connection that is logged in; all else, and whatever looks odd, is left to asyncssh. It
stands on asyncssh's insides (its names with an underscore), which is why it is in one place.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Sequence

import asyncssh
from asyncssh.crypto.cipher import GCMCipher
from asyncssh.encryption import GCMEncryption
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_DATA = 94
_TAG, _BLOCK = 16, 16
_LEAST = 4 + _BLOCK + _TAG
_COUNT = 0xFFFFFFFFFFFFFFFF
_LEAST_PAD, _SMALL = 4, 4096
_LENGTH = struct.Struct(">I")
_HEAD = struct.Struct(">BBII")
"""How much padding, what kind of packet, which channel, how many bytes."""

Bytes = bytes | bytearray | memoryview


class Taker(asyncssh.SSHServerChannel[bytes]):
    """A channel that takes data the short way."""

    def take(self, data: memoryview) -> None:
        """Hand on what has come, which is within the window."""
        raise NotImplementedError


class _Seal:
    """AES-GCM as asyncssh's cipher has it, whose counter is kept where asyncssh looks for it."""

    def __init__(self, cipher: GCMCipher) -> None:
        self.cipher = cipher
        self.aes = AESGCM(cipher._key)  # noqa: SLF001
        self.fixed = cipher._iv[:4]  # noqa: SLF001

    @property
    def count(self) -> int:
        return int.from_bytes(self.cipher._iv[4:], "big")  # noqa: SLF001


class Quick(asyncssh.SSHServerConnection):
    """A connection with the short way. Lives in the event loop."""

    _opens: _Seal | None = None
    _seals: _Seal | None = None

    # --- in

    def data_received(self, data: bytes, datatype: int | None = None) -> None:
        """Bytes came: channel data is handed on, and the rest is left to asyncssh, from the first other packet on."""
        if self._auth_complete and self._recv_handler == self._recv_pkthdr:
            seal = self._opens = _seal(self._recv_encryption, self._opens)
            if seal is not None and not self._decompressor:
                data = self._inpbuf + data if self._inpbuf else data
                self._inpbuf = b""
                rest = self._take(seal, data)
                if self._transport is None or rest == len(data):
                    return
                data = data[rest:] if rest else data
                if not self._is_whole(data):
                    self._inpbuf = data
                    return
        super().data_received(data, datatype)

    def _is_whole(self, data: bytes) -> bool:
        """Whether there is a whole packet, or something that asyncssh must look at."""
        length = int.from_bytes(data[:4], "big")
        return len(data) >= 4 and (length > self._max_recv_pktlen or len(data) >= 4 + length + _TAG)

    def _take(self, seal: _Seal, data: bytes) -> int:
        """Hand on the channel data at the beginning of `data`; where that ends."""
        view, at, end, channels, most = memoryview(data), 0, len(data), self._channels, self._max_recv_pktlen
        count, cipher, fixed, decrypt = seal.count, seal.cipher, seal.fixed, seal.aes.decrypt
        nonce = fixed + count.to_bytes(8, "big")
        while end - at >= _LEAST:
            length, body = _LENGTH.unpack_from(data, at)[0], at + 4
            stop = body + length + _TAG
            if stop > end or length < _BLOCK or length > most:
                break
            try:
                plain = decrypt(nonce, view[body:stop], view[at:body])
            except InvalidTag:
                break
            pad, kind, number, size = _HEAD.unpack_from(plain)
            chan = channels.get(number)
            if kind != _DATA or not size or 10 + size + pad != length or not isinstance(chan, Taker):
                break
            if chan._recv_state != "open" or size > chan._recv_window:  # noqa: SLF001
                break
            at, count = stop, (count + 1) & _COUNT
            cipher._iv = nonce = fixed + count.to_bytes(8, "big")  # noqa: SLF001
            self._recv_seq = (self._recv_seq + 1) & 0xFFFFFFFF
            self._auth_final = True
            chan.take(memoryview(plain)[10 : 10 + size])
            if self._transport is None:
                break
        return at

    # --- out

    def send_data(self, chan: int, pieces: Sequence[Bytes]) -> bool:
        """Send `pieces` of a channel's data, a packet each, in one go; False when that must be left to asyncssh."""
        seal = self._seals = _seal(self._send_encryption, self._seals)
        if seal is None or self._compressor or self._transport is None or not self._auth_complete or not self._kex_complete:
            return False
        if self._rekey_bytes_sent >= self._rekey_bytes or (self._rekey_seconds and time.monotonic() >= self._rekey_time):
            return False
        count, fixed, encrypt = seal.count, seal.fixed, seal.aes.encrypt
        out: list[bytes] = []
        for piece in pieces:
            size = len(piece)
            pad = _LEAST_PAD + -(10 + _LEAST_PAD + size) % _BLOCK
            sealed = 10 + size + pad
            length = sealed.to_bytes(4, "big")
            plain = b"".join((_HEAD.pack(pad, _DATA, chan, size), piece, os.urandom(pad)))
            out += (length, encrypt(fixed + count.to_bytes(8, "big"), plain, length))
            count = (count + 1) & _COUNT
            self._rekey_bytes_sent += sealed
        seal.cipher._iv = fixed + count.to_bytes(8, "big")  # noqa: SLF001
        self._send_seq = (self._send_seq + len(pieces)) & 0xFFFFFFFF
        if len(out) == 2 and len(out[1]) < _SMALL:
            self._transport.write(out[0] + out[1])
        else:
            self._transport.writelines(out)
        return True


def _seal(encryption: object, known: _Seal | None) -> _Seal | None:
    if type(encryption) is not GCMEncryption:
        return None
    cipher = encryption._cipher  # noqa: SLF001
    return known if known is not None and known.cipher is cipher else _Seal(cipher)
