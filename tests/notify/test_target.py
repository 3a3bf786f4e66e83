"""A target's settings: one way each, and what cannot be used is said when they are read."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from transload.notice import EVENTS, Notice
from transload.notify import Target

CANARY = "canary-4711"
URL = {"env": "SLACK_URL"}


def _notice(event: str) -> Notice:
    return Notice(event, "acl", "a.csv", "why", 1, "k")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "wants exactly one of url, webhook, command"),
        ({"url": URL, "command": ["x"]}, "wants exactly one of url, webhook, command"),
        ({"url": URL, "secret": {"env": "S"}}, "has a secret but no webhook to sign for"),
        ({"url": f"slack://{CANARY}"}, "a secret is written as a reference"),
        ({"command": []}, "at least 1 item"),
        ({"webhook": f"http://example.com/{CANARY}"}, "wants https://"),
        ({"webhook": f"ftp://example.com/{CANARY}"}, "wants an address that begins with https://"),
        ({"webhook": f"https://me:{CANARY}@example.com/"}, "holds a login"),
        ({"webhook": f"https://[{CANARY}"}, "is no address"),
        ({"webhook": {"env": "A", "file": "b"}}, "wants exactly one of env, file, command"),
        ({"url": URL, "on": ["quarantine"]}, "Input should be 'quarantined'"),
        ({"url": URL, "on": []}, "at least 1 item"),
        ({"url": URL, "title": "{evnt}"}, "{evnt} is no field; there are event, route, count, file, reason, source, time"),
        ({"url": URL, "text": "{file!r}"}, "{file!r} is no field"),
        ({"url": URL, "text": "{file.x}"}, "{file.x} is no field"),
        ({"url": URL, "text": "a } b"}, "a single } stands for nothing; write }} for the character"),
        ({"url": URL, "rate": 0}, "greater than or equal to 1"),
        ({"url": URL, "group": "soon"}, "wants a time such as"),
        ({"url": URL, "colour": "red"}, "not permitted"),
    ],
)
def test_what_cannot_be_used_is_refused_and_no_secret_is_shown(settings, said):
    with pytest.raises(ValidationError) as told:
        Target(**settings)
    assert said in str(told.value)
    assert CANARY not in str(told.value)


def test_a_target_is_told_of_its_events():
    everything = Target(url=URL)
    assert all(everything.wants(_notice(event)) for event in EVENTS)
    some = Target(url=URL, on=["late", "recovered"])
    assert [True, False, True] == [some.wants(_notice(event)) for event in ("late", "failed", "recovered")]


def test_where_shows_no_secret():
    assert "an Apprise URL" == Target(url=URL).where()
    assert "webhook example.com" == Target(webhook=f"https://example.com/{CANARY}").where()
    assert "webhook 127.0.0.1" == Target(webhook=f"http://127.0.0.1:8080/{CANARY}").where()
    assert "a webhook" == Target(webhook={"env": "HOOK"}).where()
    assert "command /bin/tell" == Target(command=["/bin/tell", CANARY]).where()
