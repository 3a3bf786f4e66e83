"""One SSH connection: asyncssh's, with what it leaves out: two proofs where both are wanted, and limits on what costs us much."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import asyncssh

from transload.errors import TransloadError
from transload.servers.base import Gate
from transload.servers.sftp import algorithms
from transload.servers.sftp.caller import Caller, spelled
from transload.servers.sftp.quick import Quick

_IGNORE, _SERVICE_REQUEST, _KEXINIT, _GROUP = 2, 5, 20, 31
_REKEYS = 10
_REKEY_SPAN = 60.0
_OFFER = 0.5
"""Seconds that a client has to offer its algorithms before it is offered ours."""
_BUFFERED = 1024 * 1024
_LEAST_GROUP = 4 + 2048 // 8
"""Bytes of the smallest group, its length before it."""


class Line(Quick):
    """A connection to our server. Lives in the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, options: asyncssh.SSHServerConnectionOptions, gate: Gate, lines: set[Line]) -> None:
        """A connection yet to be made; it is in `lines` as long as it lasts."""
        super().__init__(loop, options)
        self._gate, self._lines = gate, lines
        self._greeted = ""
        self._refused = False
        self._wire: asyncio.Transport | None = None
        self._rekeys: list[float] = []
        self._wait_for_offer: asyncio.TimerHandle | None = None
        self._offered = False

    @property
    def caller(self) -> Caller | None:
        """Who is at the other end."""
        owner = self.get_owner()
        return owner if isinstance(owner, Caller) else None

    # --- beginning and end

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody connects: the gate says whether to speak at all."""
        self._wire = transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        address = str(peer[0]) if peer else ""
        try:
            self._gate.greet("sftp", address)
        except TransloadError:
            self._refused = True
            transport.write(b"Not now, or not from there.\r\n")  # SSH allows lines before the greeting
            transport.close()
            self._force_close(None)
            return
        self._greeted = address
        self._lines.add(self)
        transport.set_write_buffer_limits(high=_BUFFERED)
        super().connection_made(transport)

    def data_received(self, data: bytes, datatype: int | None = None) -> None:
        """Bytes came."""
        if not self._refused:
            super().data_received(data, datatype)

    def connection_lost(self, exc: Exception | None = None) -> None:
        """The connection is over, for whatever reason."""
        self._left()
        super().connection_lost(exc)

    def _cleanup(self, exc: Exception | None) -> None:
        self._left()
        super()._cleanup(exc)

    def _left(self) -> None:
        if self._greeted:
            self._gate.gone("sftp", self._greeted)
            self._greeted = ""
            self._lines.discard(self)

    @property
    def lands(self) -> bool:
        """Whether something is being made durable that its client waits for."""
        caller = self.caller
        return caller is not None and any(talk.requests.landings for talk in caller.talks)

    def end(self, why: str) -> None:
        """End the session: nothing that is still open counts; what is being made durable is answered first."""
        caller = self.caller
        talks = tuple(caller.talks) if caller is not None else ()
        for talk in talks:
            talk.requests.cut(why)
        if not self.lands:
            self.disconnect(asyncssh.DISC_BY_APPLICATION, why)

    async def reload_config(self) -> None:
        """There are no files of OpenSSH's to read again."""

    # --- a client that does not read what we send is not read either

    def pause_writing(self) -> None:
        """What we send is not taken."""
        if self._wire is not None and not self._wire.is_closing():
            self._wire.pause_reading()

    def resume_writing(self) -> None:
        """It is again."""
        if self._wire is not None and not self._wire.is_closing():
            self._wire.resume_reading()

    # --- packets

    def _send_kexinit(self) -> None:
        """Offer our algorithms: the first time once the client has offered its own, for of what it can do we would choose the fastest."""
        if not self._session_id and self._wait_for_offer is None:
            self._wait_for_offer = self._loop.call_later(_OFFER, self._offer, algorithms.NO_OFFER)
        else:
            super()._send_kexinit()

    def _offer(self, theirs: algorithms.Offer) -> None:
        if self._offered or self._transport is None:
            return
        self._offered = True
        if self._wait_for_offer is not None:
            self._wait_for_offer.cancel()
        self._enc_algs, self._mac_algs = algorithms.encryption(theirs), algorithms.mac(theirs)
        super()._send_kexinit()

    def process_packet(self, pkttype: int, pktid: int, packet: Any) -> Any:
        """Act on a packet of the connection itself; a new key exchange costs us much more than the client that asks for it."""
        if pkttype == _SERVICE_REQUEST and self._auth_in_progress:
            self._next_service = b"ssh-userauth"  # some clients (paramiko) ask for it again before each proof
        if pkttype == _KEXINIT:
            self._offer(algorithms.offered(packet.get_full_payload()))
            now = self._loop.time()
            self._rekeys = [when for when in self._rekeys if now - when < _REKEY_SPAN] + [now]
            if len(self._rekeys) > _REKEYS:
                raise asyncssh.DisconnectError(asyncssh.DISC_PROTOCOL_ERROR, "Too many key exchanges")
        return super().process_packet(pkttype, pktid, packet)

    def send_packet(self, pkttype: int, *args: bytes, handler: Any = None) -> None:
        """Send a packet, without the empty one that asyncssh puts before each: that guards CBC, which we do not offer.

        Raises DisconnectError in place of a group for the key exchange that is too small, which asyncssh gives whoever asks for it.
        """
        if pkttype == _GROUP and self._kex is not None and b"group-exchange" in self._kex.algorithm and len(args[0]) < _LEAST_GROUP:
            raise asyncssh.DisconnectError(asyncssh.DISC_KEY_EXCHANGE_FAILED, "Groups of less than 2048 bits are not used here")
        if pkttype != _IGNORE:
            super().send_packet(pkttype, *args, handler=handler)

    # --- proofs

    async def validate_public_key(self, username: str, key_data: bytes, msg: bytes, signature: bytes) -> bool:
        """Whether the user may show that key, and, with a signature, whether it proves enough to come in."""
        caller = self.caller
        if caller is None or (signature and signature[4 : 4 + int.from_bytes(signature[:4], "big")] == b"ssh-rsa"):
            return False  # SHA-1
        if not await super().validate_public_key(username, key_data, msg, signature):
            if signature:
                caller.wrong()
            return False
        return not signature or await caller.proved(username, spelled(asyncssh.import_public_key(_line(key_data))))

    def send_userauth_failure(self, partial_success: bool) -> None:  # noqa: FBT001 - asyncssh calls it so
        """Tell that it is not enough: wrong, or (where key and password are wanted) right so far."""
        caller = self.caller
        if caller is not None and caller.partial:
            caller.partial, partial_success = False, True
        super().send_userauth_failure(partial_success)


def _line(key_data: bytes) -> bytes:
    from base64 import b64encode

    name = key_data[4 : 4 + int.from_bytes(key_data[:4], "big")]
    return name + b" " + b64encode(key_data)
