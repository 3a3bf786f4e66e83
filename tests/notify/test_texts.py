"""Notices become messages: each notice in exactly one, grouped, and not more than an hour may have."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from transload.notice import EVENTS, Notice
from transload.notify import Target, messages
from transload.secret import Secret

URL = {"env": "SLACK_URL"}
SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
NOW = 1_700_000_000 * SECOND


def _notice(number: int = 1, event: str = "quarantined", route: str = "acl", at: int = NOW, **more: str) -> Notice:
    told = {"subject": f"in/{number}.csv", "reason": "EICAR was found", "key": f"{event}/{route}/{number}", "source": "carrier", **more}
    return Notice(event=event, route=route, at=at, **told)


def _one(target: Target, *notices: Notice):
    told = messages(notices, target, NOW + HOUR, [])
    assert ((), None) == (told.wait, told.until)
    (message,) = told.send
    return message


def test_several_files_become_one_message_with_their_count_and_the_first_ten():
    message = _one(Target(url=URL, text="{file}: {reason}"), *(_notice(number) for number in range(10, 35)))
    assert "Transload: acl: quarantined (25)" == message.title
    assert [*(f"in/{number}.csv: EICAR was found" for number in range(10, 20)), "and 15 more"] == message.text.split("\n")
    assert 25 == len(message.notices)
    assert (25, 25) == (json.loads(message.body)["count"], len(json.loads(message.body)["notices"]))


def test_a_message_tells_source_file_reason_and_time():
    message = _one(Target(url=URL), _notice())
    assert "quarantined: in/1.csv: EICAR was found [route acl, from carrier, 2023-11-14 22:13:20 UTC]" == message.text


def test_a_title_names_three_and_counts_the_others():
    target = Target(url=URL, title="{{{route}}} {file}: {count}", text="{route} {source}")
    assert "{acl} in/1.csv, in/2.csv, in/3.csv and 1 more: 4" == _one(target, *(_notice(number) for number in range(1, 5))).title
    assert ("{-} in/1.csv: 1", "- -") == (_one(target, _notice(route="", source="")).title, _one(target, _notice(route="", source="")).text)


def test_what_a_partner_named_cannot_add_fields_lines_or_hidden_characters():
    message = _one(Target(url=URL, text="{file}: {reason}"), _notice(subject="{reason} {0}", reason="two\nlines\x1b[1m \u202egnp.exe"))
    assert "{reason} {0}: two lines [1m gnp.exe" == message.text
    assert 600 > len(_one(Target(url=URL, text="{reason}"), _notice(reason="x" * 100_000)).text)
    assert "two lines" in json.loads(_one(Target(url=URL), _notice(reason="two\nlines")).body)["notices"][0]["reason"]


def test_a_secret_that_found_its_way_into_a_reason_is_not_told(monkeypatch):
    monkeypatch.setenv("A_SECRET", "canary-4711-canary")
    Secret(env="A_SECRET").reveal()
    message = _one(Target(url=URL), _notice(reason="530 no login for canary-4711-canary"))
    assert b"canary" not in message.body
    assert "no login for ***" in message.text


def test_what_is_the_same_is_said_once():
    message = _one(Target(url=URL), _notice(), _notice(at=NOW + SECOND))
    assert ("Transload: acl: quarantined (1)", 1, 2) == (message.title, len(message.text.split("\n")), len(message.notices))
    assert 1 == json.loads(message.body)["count"]


def test_a_message_has_an_id_of_its_own():
    one, other = _one(Target(url=URL), _notice(1), _notice(2)), _one(Target(url=URL), _notice(1))
    assert one.id == _one(Target(url=URL), _notice(2), _notice(1)).id != other.id


def test_notices_wait_for_others_of_their_event_and_route():
    target = Target(url=URL, group="1m")
    early, late, other = _notice(1), _notice(2, at=NOW + 50 * SECOND), _notice(3, route="sensors", at=NOW + 30 * SECOND)
    assert ((), (early, other, late), NOW + MINUTE) == (
        (told := messages([early, late, other], target, NOW + 59 * SECOND, [])).send,
        tuple(sorted(told.wait, key=lambda one: one.at)),
        told.until,
    )
    told = messages([other, late, early], target, NOW + MINUTE, [])
    assert ([(early, late)], (other,), NOW + 90 * SECOND) == ([one.notices for one in told.send], told.wait, told.until)
    assert 1 == len(messages([early], Target(url=URL, group="0s"), NOW, []).send)


def test_what_is_over_the_rate_is_summed_up_in_the_last_message():
    target = Target(url=URL, rate=3, group="0s", text="{route}")
    told = messages([_notice(1, route=f"r{number}", at=NOW + number) for number in range(6)], target, NOW + 9, [])
    assert ["r0", "r1", "r2\nr3\nr4\nr5"] == [one.text for one in told.send]
    assert "Transload: r2, r3, r4 and 1 more: quarantined (4)" == told.send[-1].title
    assert ((), None) == (told.wait, told.until)


def test_what_is_over_the_rate_waits_until_an_hour_after_the_oldest():
    target = Target(url=URL, rate=2, group="0s")
    notice = _notice()
    sent = [NOW - HOUR - 1, NOW - 30 * MINUTE, NOW - 10 * MINUTE, NOW - 20 * MINUTE]
    assert ((), (notice,), NOW + 40 * MINUTE) == messages([notice], target, NOW, sent)
    assert 1 == len(messages([notice], target, NOW + 40 * MINUTE, sent).send)


def test_a_clock_that_was_ahead_holds_nothing_back():
    target = Target(url=URL, rate=1)
    assert 1 == len(messages([_notice(at=NOW + 400 * 24 * HOUR)], target, NOW, [NOW + HOUR]).send)


def test_nothing_is_nothing():
    assert ((), (), None) == messages([], Target(url=URL), NOW, [NOW])


_notices = st.lists(
    st.tuples(st.integers(0, 3 * HOUR), st.sampled_from(EVENTS[:3]), st.sampled_from(["", "a", "b"]), st.integers(0, 20)), max_size=40
)


@settings(max_examples=40, deadline=None)
@given(_notices, st.sampled_from(["0s", "10s", "1m", "30m"]), st.integers(1, 5), st.randoms(use_true_random=False))
def test_every_notice_is_in_exactly_one_message_in_the_end(drawn, group, rate, random):
    target = Target(url=URL, group=group, rate=rate)
    to_come = sorted((_notice(key, event, route, NOW + at, subject=str(n)) for n, (at, event, route, key) in enumerate(drawn)), key=_at)
    every, waiting, sent, told, now = list(to_come), [], [], [], NOW
    for _ in range(1000):
        while to_come and to_come[0].at <= now:
            waiting.append(to_come.pop(0))
        random.shuffle(waiting)
        turn = messages(waiting, target, now, sent)
        assert sorted(waiting, key=hash) == sorted([*turn.wait, *(one for message in turn.send for one in message.notices)], key=hash)
        assert (turn.until is None) == (not turn.wait)
        away = [message for message in turn.send if random.random() < 0.2]
        arrived = [message for message in turn.send if message not in away]
        told += arrived
        sent += [now] * len(arrived)
        waiting = [*turn.wait, *(one for message in away for one in message.notices)]
        assert len([at for at in sent if at > now - HOUR]) <= rate
        if turn.until is not None:
            assert turn.until > now
            assert messages(turn.wait, target, turn.until, sent).send or away
        nexts = [at for at in (turn.until, to_come[0].at if to_come else None, now + SECOND if away else None) if at is not None]
        if not nexts:
            break
        now = min(nexts)
    assert not waiting
    assert sorted(every, key=hash) == sorted((one for message in told for one in message.notices), key=hash)


def _at(one: Notice) -> int:
    return one.at


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=80))
def test_any_template_is_refused_or_filled(text):
    try:
        target = Target(url=URL, title=text, text=text)
    except ValueError:
        return
    assert isinstance(_one(target, _notice()).text, str)


def test_ten_thousand_notices_are_one_message_of_ten_lines():
    message = _one(Target(url=URL), *(_notice(number) for number in range(10_000)))
    assert 11 == len(message.text.split("\n"))
    assert len(message.body) < 1_000_000
