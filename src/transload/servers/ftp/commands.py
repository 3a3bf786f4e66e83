"""All commands, and how a line is turned over to one of them."""

from __future__ import annotations

from transload.errors import TransloadError
from transload.servers.ftp import changing, entering, looking, moving, talking
from transload.servers.ftp.answers import told, told_of_name
from transload.servers.ftp.command import MUST, NONE, Command
from transload.servers.ftp.session import Session

_OLD = {b"XPWD": b"PWD", b"XCWD": b"CWD", b"XCUP": b"CDUP", b"XMKD": b"MKD", b"XRMD": b"RMD"}
COMMANDS: dict[bytes, Command] = {
    **entering.COMMANDS,
    **talking.COMMANDS,
    **looking.COMMANDS,
    **changing.COMMANDS,
    **moving.COMMANDS,
}
COMMANDS |= {old: COMMANDS[new] for old, new in _OLD.items()}
COMMANDS[b"HELP"] = talking.helper(COMMANDS)
_MOVING = frozenset({b"STOR", b"APPE", b"STOU", b"RETR", b"LIST", b"NLST", b"MLSD"})
_NAMING = frozenset({b"STOR", b"APPE", b"STOU"})


def do(session: Session, verb: bytes, rest: bytes) -> None:
    """Do what one line says, and answer."""
    command = COMMANDS.get(verb)
    if command is None:
        session.strange(b"500 There is no such command")
    elif b"\0" in rest:
        session.say(b"501 No name holds a NUL")
    elif not command.anybody and session.visit is None:
        session.strange(b"530 Log in first")
    elif (command.argument is MUST and not rest) or (command.argument is NONE and rest):
        session.say((b"501 " + verb + b" " + command.syntax).rstrip())
    else:
        try:
            command.do(session, rest)
        except TransloadError as error:
            session.say((told_of_name if verb in _NAMING else told)(error))
            if verb in _MOVING:
                session.drop_data()
