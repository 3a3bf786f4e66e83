from __future__ import annotations

import threading
import time

from transload.engine.news import News


def test_what_was_told_before_the_wait_is_not_missed():
    news = News()
    heard = news.heard
    news.tell()
    assert news.more(heard, lambda: False)


def test_what_is_told_during_the_wait_ends_it():
    news = News()
    telling = threading.Timer(0.02, news.tell)
    telling.start()
    assert news.more(news.heard, lambda: False)
    telling.join()


def test_nobody_waits_for_ever_nor_past_the_end():
    news = News()
    assert not news.more(news.heard, lambda: True)
    assert not news.more(news.heard, lambda: False)


def test_only_where_more_has_come_the_next_batch_waits_for_more():
    news, begun = News(), time.monotonic()
    news.gather(news.heard, begun)
    quick = time.monotonic() - begun
    heard = news.heard
    news.tell()
    news.gather(heard, begun)
    assert quick < 0.1 <= time.monotonic() - begun
