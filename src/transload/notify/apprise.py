"""Apprise: Slack, Teams, mail and some hundred others behind one kind of URL, which is a secret as a whole."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from transload.errors import Busy, ConfigError, Denied, Refused, TransloadError, Unreachable
from transload.notify import webhook
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
    webhook.hush(_LOUD)
    try:
        import apprise
    except ImportError as error:
        raise ConfigError("url: the package apprise is not installed") from error
    service = _service(url.reveal().strip())
    try:
        # A little longer than it is waited for, so that what is said does not hang on who is first.
        service.socket_connect_timeout = service.socket_read_timeout = timeout + 1
        sender = apprise.Apprise(asset=service.asset)
        sender.add(service)
        result = sender.notify(
            body=message.text, title=message.title, notify_type=_mood(message), body_format=apprise.NotifyFormat.TEXT, timeout=timeout
        )
        said = [entry.message for entry in result.logs()]
    except Exception as error:  # noqa: BLE001 - what a service's plugin raises, and says, is its own; it may hold the URL
        raise Unreachable(f"{_who(service)}: {type(error).__name__}") from None
    if not result:
        raise _failure(_who(service), said, timed_out=result.status is apprise.AppriseResultStatus.TIMEOUT)


def _service(url: str) -> NotifyBase:
    """What sends for this URL; nothing of the URL is shown."""
    import apprise

    try:
        asset = apprise.AppriseAsset(
            async_mode=False, allow_templates=False, service_timeout=0, storage_mode=apprise.PersistentStoreMode.MEMORY
        )
        asset.http_redirects = False
        service = apprise.Apprise.instantiate(url, asset=asset)
    except Exception as error:  # noqa: BLE001 - the same
        raise ConfigError(f"url: Apprise cannot use it: {type(error).__name__}") from None
    if service is None:
        raise ConfigError("url: is none that Apprise knows, or something is missing in it")
    if not service.verify_certificate:
        raise ConfigError("url: must not hold verify=no: certificates are always verified")
    return service


def _failure(who: str, said: list[str], *, timed_out: bool) -> TransloadError:
    # Apprise only says that it failed; which status came stands in what it would have logged.
    statuses = [int(found[1]) for line in said if (found := _STATUS.search(line))]
    if timed_out:
        return Unreachable(f"{who} did not answer in time")
    if not statuses or len(statuses) < len(said):
        return next((one for one in _answers(who, statuses) if isinstance(one, Busy)), Unreachable(f"{who} did not take it"))
    answers = _answers(who, statuses)
    return next((one for one in answers if isinstance(one, Busy)), answers[0])


def _answers(who: str, statuses: list[int]) -> list[Busy | Denied | Refused]:
    return [webhook.answered(who, status) for status in statuses]


def _who(service: NotifyBase) -> str:
    return scrub(str(service.service_name))


def _mood(message: Message) -> str:
    events = {one.event for one in message.notices}
    if events & _BAD:
        return "failure"
    return "success" if events <= _GOOD else "warning"
