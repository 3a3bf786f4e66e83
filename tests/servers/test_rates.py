"""Rates, in a time that the test itself lets pass: the arithmetic is pure, and what waits for it is tested with the servers."""

from __future__ import annotations

import heapq
import random
import threading

import pytest

from transload.accounts import Limits
from transload.servers.pace import Bucket, Pace, Paces

BLOCK = 64 * 1024


class Time:
    """What passes only when the test says so."""

    now = 1000.0

    def __call__(self):
        return self.now


class Client:
    """Moves blocks of one size as quick as it may, or `every` so many seconds; wakes up to `late` seconds late."""

    def __init__(self, pace, block=BLOCK, every=0.0, late=0.0):
        self.pace, self.block, self.every, self.late, self.moved = pace, block, every, late, 0
        self.number = id(self)


def moved(time, clients, seconds=3.0, seed=1):
    """Let `clients` move what they can for so long; how much each had moved when it had waited for what it moved."""
    dice = random.Random(seed)
    end = time.now + seconds
    due = [(time.now, number) for number in range(len(clients))]
    heapq.heapify(due)
    for one in clients:
        one.moved = 0
    while due:
        time.now, number = heapq.heappop(due)
        client = clients[number]
        wait = client.pace.hold(client.number, client.block)
        back = time.now + max(wait + (client.late * dice.random() if wait else 0), client.every, 1e-6)
        if back > end:
            # The last block counts for the part of its time that has passed.
            client.moved += client.block * (end - time.now) / (back - time.now)
            continue
        client.moved += client.block
        heapq.heappush(due, (back, number))
    time.now = end
    return [one.moved for one in clients]


def paced(time, rate):
    return Pace(Bucket(rate, time))


@pytest.mark.parametrize("rate", [20_000, 300_000, 40_000_000])
@pytest.mark.parametrize("block", [1_400, BLOCK, 1 << 20])
def test_one_session_moves_at_its_rate(rate, block):
    time = Time()
    if block > rate * 3:
        block = rate // 4
    (count,) = moved(time, [Client(paced(time, rate), block)])
    assert rate * 3 == pytest.approx(count, rel=0.1)


@pytest.mark.parametrize("late", [0.002, 0.02, 0.1])
def test_a_client_that_wakes_late_is_not_made_slower_for_it(late):
    time = Time()
    (count,) = moved(time, [Client(paced(time, 300_000), 16_384, late=late)])
    assert 900_000 == pytest.approx(count, rel=0.1)


def test_what_was_not_used_for_an_hour_is_no_credit_for_a_burst():
    time = Time()
    pace = paced(time, 1_000_000)
    pace.hold(1, 1)
    time.now += 3600
    assert 3_000_000 == pytest.approx(sum(moved(time, [Client(pace)])), rel=0.1)


@pytest.mark.parametrize("count", [2, 8, 64])
def test_all_sessions_of_a_user_have_its_rate_together_and_each_its_share(count):
    time = Time()
    paces = Paces(clock=time)
    limits = Limits(upload_rate=8_000_000)
    counts = moved(time, [Client(paces.of("ann", limits)[0], BLOCK) for _ in range(count)], seconds=10)
    assert 80_000_000 == pytest.approx(sum(counts), rel=0.1)
    assert all(one == pytest.approx(80_000_000 / count, rel=0.15) for one in counts)


def test_a_session_that_moves_large_blocks_gets_no_more_than_one_with_small_ones():
    time = Time()
    pace = paced(time, 2_000_000)
    large, small = moved(time, [Client(pace, 256 * 1024), Client(pace, 16 * 1024)], seconds=10)
    assert 20_000_000 == pytest.approx(large + small, rel=0.1)
    assert large == pytest.approx(small, rel=0.15)


def test_what_a_slow_session_leaves_the_quick_ones_have():
    time = Time()
    pace = paced(time, 1_000_000)
    slow, *quick = moved(time, [Client(pace, 1000, every=0.05), Client(pace), Client(pace)], seconds=10)
    assert 200_000 == pytest.approx(slow, rel=0.1)
    assert 9_800_000 == pytest.approx(sum(quick), rel=0.1)
    assert quick[0] == pytest.approx(quick[1], rel=0.1)


def test_many_idle_sessions_cost_the_busy_one_nothing():
    time = Time()
    pace = paced(time, 1_000_000)
    clients = [Client(pace, 10, every=1.0) for _ in range(300)]
    *idle, busy = moved(time, [*clients, Client(pace)], seconds=10)
    assert 10_000_000 == pytest.approx(busy + sum(idle), rel=0.1)
    assert busy > 9_000_000


def test_a_connection_has_its_own_rate_within_its_users():
    time = Time()
    paces = Paces(clock=time)
    limits = Limits(upload_rate=1_000_000, connection_upload_rate=300_000)
    assert 900_000 == pytest.approx(sum(moved(time, [Client(paces.of("ann", limits)[0], 8192)])), rel=0.1)
    time.now += 10
    four = moved(time, [Client(paces.of("ann", limits)[0], 8192) for _ in range(4)])
    assert 3_000_000 == pytest.approx(sum(four), rel=0.1)
    assert all(one <= 990_000 for one in four)


def test_users_have_their_rates_apart_and_one_in_all():
    time = Time()
    paces = Paces(upload=2_000_000, clock=time)
    ann, bob = (paces.of(name, Limits(upload_rate=rate))[0] for name, rate in (("ann", 500_000), ("bob", 9_000_000)))
    anns, bobs = moved(time, [Client(ann, 16_384), Client(bob, 16_384)])
    assert 1_500_000 == pytest.approx(anns, rel=0.1)
    assert 4_500_000 == pytest.approx(bobs, rel=0.1)


def test_upload_and_download_do_not_hold_each_other_up():
    time = Time()
    up, down = Paces(clock=time).of("ann", Limits(upload_rate=100_000, download_rate=5_000_000))
    ups, downs = moved(time, [Client(up, 8192), Client(down)])
    assert 300_000 == pytest.approx(ups, rel=0.1)
    assert 15_000_000 == pytest.approx(downs, rel=0.1)


def test_without_a_rate_nobody_waits():
    up, down = Paces().of("ann", Limits(download_rate=1000))
    assert 0.0 == up.hold(1, 1 << 40)
    assert down.hold(1, 5000) > 1


def test_who_comes_back_at_once_does_not_begin_anew():
    time = Time()
    paces = Paces(clock=time)
    limits = Limits(upload_rate=100_000)
    stays, _ = paces.of("ann", limits)
    total = 0.0
    for number in range(20):
        total = paces.of("ann", limits)[0].hold(number, 10_000)
    assert 2.0 == pytest.approx(total, rel=0.1)
    assert stays.hold(99, 1) > 0


def test_a_rate_that_is_changed_holds_for_sessions_that_run():
    time = Time()
    paces = Paces(clock=time)
    first, _ = paces.of("ann", Limits(upload_rate=100_000))
    assert 300_000 == pytest.approx(sum(moved(time, [Client(first, 8192)])), rel=0.1)
    paces.of("ann", Limits(upload_rate=1_000_000))
    assert 3_000_000 == pytest.approx(sum(moved(time, [Client(first, 8192)])), rel=0.1)


def test_a_rate_for_all_that_comes_goes_and_changes_holds_for_sessions_that_run():
    time = Time()
    paces = Paces(clock=time)
    client = Client(paces.of("ann", Limits())[0], 8192)
    assert 0.0 == client.pace.hold(1, 1 << 30)
    for rate in (100_000, 1_000_000):
        paces.change(rate, None)
        time.now += 10
        assert rate * 3 == pytest.approx(sum(moved(time, [client])), rel=0.1)
    paces.change(None, 5)
    assert 0.0 == client.pace.hold(1, 1 << 30)


def test_threads_that_share_a_rate_are_counted_exactly():
    time = Time()
    bucket = Bucket(1000.0, time)
    threads = [threading.Thread(target=lambda number=number: [bucket.hold(number, 10) for _ in range(500)]) for number in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert 40.0 == pytest.approx(bucket.hold(0, 0) and max(bucket.hold(number, 0) for number in range(8)), rel=0.01)
