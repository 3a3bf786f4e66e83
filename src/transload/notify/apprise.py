"""Apprise: Slack, Teams, mail and some hundred others behind one kind of URL, which is a secret as a whole."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from transload.errors import ConfigError, Transient, TransloadError, Unreachable
from transload.notify.asking import answered, hush, within
from transload.secret import Secret, scrub

if TYPE_CHECKING:
    from apprise import NotifyBase

    from transload.notify.texts import Message

_LOUD = ("apprise", "urllib3", "requests_oauthlib", "oauthlib")
_STATUS = re.compile(r"\berror=(\d{3})\b")
_BAD = frozenset(("quarantined", "failed"))
_GOOD = frozenset(("recovered",))


def send(url: Secret, message: Message, timeout: float) -> None:
    """Send it by the service that the URL names; raises Unreachable, Busy, Denied, Refused, or ConfigError for a bad URL.

    Services that tell no status count as Unreachable when they fail. Redirects are not followed.
    """
    told = service(url)
    said = within(timeout, _who(told), lambda: _told(told, message, timeout))
    if said:
        raise _failure(_who(told), said)


def _told(service: NotifyBase, message: Message, timeout: float) -> list[str]:
    """Tell it; what Apprise said of it if that failed."""
    import apprise

    try:
        # Its own 4 s are too short, and with its own deadline it would hold up the end of this process.
        service.socket_connect_timeout = service.socket_read_timeout = timeout + 1
        sender = apprise.Apprise(asset=service.asset)
        sender.add(service)
        result = sender.notify(
            body=message.text, title=message.title, notify_type=_mood(message), body_format=apprise.NotifyFormat.TEXT, timeout=0
        )
        return [] if result else [entry.message for entry in result.logs()] or ["nothing"]
    except Exception as error:  # noqa: BLE001 - what a service's plugin raises, and says, is its own; it may hold the URL
        raise Unreachable(f"{_who(service)}: {type(error).__name__}") from None


def service(url: Secret) -> NotifyBase:
    """What sends for this URL; ConfigError says what is wrong with it, and shows nothing of it."""
    hush(_LOUD)
    told = url.reveal().strip()
    try:
        import apprise
    except ImportError as error:
        raise ConfigError("url: the package apprise is not installed") from error
    try:
        asset = apprise.AppriseAsset(
            async_mode=False, allow_templates=False, service_timeout=0, storage_mode=apprise.PersistentStoreMode.MEMORY
        )
        asset.http_redirects = False
        made = apprise.Apprise.instantiate(told, asset=asset)
    except Exception as error:  # noqa: BLE001 - the same
        raise ConfigError(f"url: Apprise cannot use it: {type(error).__name__}") from None
    if made is None:
        raise ConfigError("url: is none that Apprise knows, or something is missing in it")
    if not made.verify_certificate:
        raise ConfigError("url: must not hold verify=no: certificates are always verified")
    return made


def _failure(who: str, said: list[str]) -> TransloadError:
    # Apprise only says that it failed; which status came stands in what it would have logged.
    statuses = [int(found[1]) for line in said if (found := _STATUS.search(line))]
    answers: list[TransloadError] = [answered(who, status) for status in statuses]
    if len(answers) < len(said):
        answers.append(Unreachable(f"{who} cannot be reached, or did not take it"))
    return next((one for one in answers if isinstance(one, Transient)), answers[0])


def _who(service: NotifyBase) -> str:
    return scrub(str(service.service_name))


def _mood(message: Message) -> str:
    events = {one.event for one in message.notices}
    if events & _BAD:
        return "failure"
    return "success" if events <= _GOOD else "warning"
