"""Who is there: USER, PASS, REIN, QUIT; and how the line is protected: AUTH, PBSZ, PROT, CCC."""

from __future__ import annotations

from transload import log
from transload.accounts import Login
from transload.errors import Busy, TransloadError
from transload.servers.base import Visit
from transload.servers.ftp.command import MAY, MUST, Command
from transload.servers.ftp.session import Session

_WRONG = 3
"""Wrong logins until the line is cut."""
_ENCRYPTED = b"530 This server wants TLS: AUTH TLS first"


def user(session: Session, name: bytes) -> None:
    """Say who it is; a certificate that proves it is enough."""
    if session.hall.settings.tls == "required" and not session.wire.secure:
        session.say(_ENCRYPTED)
        return
    if session.visit is not None:
        session.leave()
    session.user = _text(name)
    if session.hall.settings.anonymous and session.user.lower() == "ftp":
        session.user = "anonymous"
    if session.certificate is None:
        session.say(b"331 Password, please")
        return
    _admit(session, None, b"232 Welcome: your certificate says who you are", b"331 Password, please")


def password(session: Session, secret: bytes) -> None:
    """Prove it."""
    if session.hall.settings.tls == "required" and not session.wire.secure:
        session.say(_ENCRYPTED)
    elif session.visit is not None:
        session.say(b"202 You are in already")
    elif not session.user:
        session.say(b"503 USER first")
    else:
        _admit(session, _text(secret), b"230 Welcome", b"530 Login incorrect")


def _admit(session: Session, secret: str | None, yes: bytes, no: bytes) -> None:
    gate = session.hall.gate
    protocol = "ftps" if session.wire.secure else "ftp"
    login = Login(protocol, session.address, session.user, password=secret, certificate=session.certificate)

    def admitted(found: Visit | TransloadError) -> None:
        if isinstance(found, TransloadError):
            _refused(session, login, found, no)
        elif session.closed:
            found.close()
        else:
            session.visit, session.wrong = found, 0
            session.go_on(yes)

    session.aside(session.hall.logins, lambda: gate.admit(login), admitted)


def _refused(session: Session, login: Login, error: TransloadError, no: bytes) -> None:
    if login.password is None and not isinstance(error, Busy):
        session.go_on(no)  # a certificate alone was not enough: the password may be
        return
    log.get("transload.ftp").info("login refused", address=session.address, reason=str(error))
    session.user = ""
    if isinstance(error, Busy):
        session.end(b"421 Not now: too many sessions, or no one can log in")
        return
    session.wrong += 1
    if session.wrong < _WRONG:
        session.go_on(no)
    elif not session.closed:
        session.end(no + b"; goodbye")


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def reinitialize(session: Session, _: bytes) -> None:
    """As it was at the beginning; TLS stays."""
    session.leave()
    session.say(b"220 Ready for another user")


def goodbye(session: Session, _: bytes) -> None:
    """Part."""
    session.end(b"221 Goodbye")


def auth(session: Session, how: bytes) -> None:
    """TLS from now on. Whoever has said more already meant it to be heard in clear: that is never looked at."""
    how = how.upper()
    if session.hall.contexts is None or session.hall.settings.tls == "off":
        session.strange(b"502 There is no TLS here")
    elif session.wire.secure:
        session.say(b"503 It is TLS already")
    elif how not in (b"TLS", b"TLS-C", b"SSL", b"TLS-P"):
        session.say(b"504 AUTH TLS")
    elif session.buffered:
        session.end(b"421 Nothing is to be said between AUTH and TLS; goodbye")
    else:
        if session.visit is not None:
            session.leave()
        session.say(b"234 TLS, please")
        session.protected = how in (b"SSL", b"TLS-P")
        session.secure()


def pbsz(session: Session, _: bytes) -> None:
    """TLS has no such size; but it must be said."""
    if session.wire.secure:
        session.pbsz = True
        session.say(b"200 PBSZ=0")
    else:
        session.say(b"503 AUTH first")


def prot(session: Session, level: bytes) -> None:
    """Whether data connections speak TLS."""
    level = level.upper()
    if not session.wire.secure:
        session.say(b"503 AUTH first")
    elif not session.pbsz:
        session.say(b"503 PBSZ first")
    elif level == b"P":
        session.protected = True
        session.say(b"200 Data connections are protected")
    elif level == b"C" and session.only_protected:
        session.say(b"534 Data connections must be protected here")
    elif level == b"C":
        session.protected = False
        session.say(b"200 Data connections are in clear")
    else:
        session.say(b"536 PROT P or PROT C" if level in (b"S", b"E") else b"504 PROT P or PROT C")


def clear(session: Session, _: bytes) -> None:
    """No: TLS stays."""
    session.say(b"534 TLS stays" if session.wire.secure else b"533 It is in clear")


COMMANDS = {
    b"USER": Command(user, MUST, b"user", anybody=True),
    b"PASS": Command(password, MAY, b"password", anybody=True),
    b"REIN": Command(reinitialize),
    b"QUIT": Command(goodbye, anybody=True),
    b"AUTH": Command(auth, MUST, b"TLS", anybody=True),
    b"PBSZ": Command(pbsz, MUST, b"0", anybody=True),
    b"PROT": Command(prot, MUST, b"P|C", anybody=True),
    b"CCC": Command(clear, anybody=True),
}
