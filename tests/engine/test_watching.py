"""`watch`: a folder in which something comes is looked at at once, whatever the interval."""

from __future__ import annotations

import os
import shutil
import threading

import pytest

from tests.crash.scene import Scene, held
from tests.crash.until import until
from tests.engine.byhand import Yard
from transload.config import Config
from transload.engine.watching import Watching

pytestmark = pytest.mark.xdist_group("tests/engine/test_up.py")
WATCHED = 'remote = "src", settle = "0s", every = "1h", watch = true'


class Ears:
    """What a watch has told of."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.there = threading.Event()

    def look(self, route: str) -> None:
        self.heard.append(route)
        self.there.set()

    def hears(self) -> bool:
        found = self.there.wait(10)
        self.there.clear()
        return found


@pytest.fixture
def watched(tmp_path, monkeypatch):
    monkeypatch.setattr("transload.engine.watching._PAUSE", 0.2)
    made = []

    def watched(text: str) -> tuple[Ears, Watching]:
        (tmp_path / "transload.toml").write_text(text)
        ears = Ears()
        watching = Watching(ears.look)
        made.append(watching)
        watching.change(Config.load(tmp_path / "transload.toml"))
        assert ears.hears()
        return ears, watching

    yield watched
    for one in made:
        one.close()


def _config(tmp_path, source: str = "", name: str = "r", more: str = "") -> str:
    for folder in ("src", "dst"):
        (tmp_path / folder).mkdir(exist_ok=True)
    places = "".join(f'[remotes.{name}]\nkind = "folder"\npath = "{name}"\n' for name in ("src", "dst"))
    route = '[[routes]]\nname = "%s"\nfrom = { remote = "src", watch = true%s }\nto = [{ remote = "dst" }]\n'
    return f'[transload]\ndata = "data"\n{places}' + route % (name, source) + more


@pytest.fixture
def ears(watched, tmp_path):
    return watched(_config(tmp_path))[0]


def test_a_file_that_is_written_is_heard(ears, tmp_path):
    (tmp_path / "src" / "a.csv").write_text("a")
    assert ears.hears()
    assert {"r"} == set(ears.heard)


def test_a_file_that_is_moved_in_is_heard(ears, tmp_path):
    (tmp_path / "a.csv").write_text("a")
    os.rename(tmp_path / "a.csv", tmp_path / "src" / "a.csv")
    assert ears.hears()


def test_a_file_in_a_folder_that_was_made_just_now_is_heard(ears, tmp_path):
    (tmp_path / "src" / "in" / "deep").mkdir(parents=True)
    assert ears.hears()
    (tmp_path / "src" / "in" / "deep" / "a.csv").write_text("a")
    assert ears.hears()


def test_a_name_that_is_no_text_is_heard_and_the_next_too(ears, tmp_path):
    base = os.fsencode(tmp_path / "src")
    for name in (b"\xff\xfe.csv", b"line\nbreak"):
        with open(base + b"/" + name, "wb"):
            pass
        assert ears.hears()
    os.mkdir(base + b"/\xff")
    assert ears.hears()
    with open(base + b"/\xff/a.csv", "wb"):
        pass
    assert ears.hears()


def test_a_folder_that_is_replaced_by_another_is_watched_again(ears, tmp_path):
    shutil.rmtree(tmp_path / "src")
    (tmp_path / "src").mkdir()
    # Nobody knows what came before it was watched: it is looked at in any case.
    assert ears.hears()
    (tmp_path / "src" / "a.csv").write_text("a")
    assert ears.hears()


def test_a_folder_that_is_not_there_yet_is_watched_when_it_is(watched, tmp_path):
    ears, watching = watched(_config(tmp_path))
    (tmp_path / "transload.toml").write_text(_config(tmp_path, ', path = "later"'))
    watching.change(Config.load(tmp_path / "transload.toml"))
    (tmp_path / "src" / "later").mkdir()
    assert ears.hears()


def test_two_routes_that_watch_one_folder_both_hear(watched, tmp_path):
    other = _config(tmp_path, name="other")
    ears, _ = watched(_config(tmp_path) + other[other.index("[[routes]]") :])
    (tmp_path / "src" / "a.csv").write_text("a")
    until(lambda: {"r", "other"} == set(ears.heard))


def test_another_config_is_another_watch(watched, tmp_path):
    ears, watching = watched(_config(tmp_path))
    (tmp_path / "transload.toml").write_text(_config(tmp_path).replace("watch = true", "watch = false"))
    watching.change(Config.load(tmp_path / "transload.toml"))
    until(lambda: not watching._watches)
    (tmp_path / "src" / "a.csv").write_text("a")
    assert not ears.there.wait(0.3)


def test_where_nothing_more_can_be_watched_it_is_said_and_the_rest_goes_on(tmp_path, monkeypatch, capsys, watched):
    ears, watching = watched(_config(tmp_path))

    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "inotify watch limit reached")

    monkeypatch.setattr(watching._observer, "schedule", refuse)
    (tmp_path / "src" / "below").mkdir()
    (tmp_path / "transload.toml").write_text(_config(tmp_path, ', path = ["", "below"]'))
    watching.change(Config.load(tmp_path / "transload.toml"))
    said = []
    until(lambda: said.append(capsys.readouterr().err) or "max_user_watches" in "".join(said))
    (tmp_path / "src" / "a.csv").write_text("a")
    assert ears.hears()


def test_up_takes_what_comes_into_a_watched_folder_at_once(folder, place):
    scene = Scene(folder, place("folder"), {"target": place("folder")}, every="1h", quick=True)
    scene.write()
    text = scene.config.read_text()
    assert 'every = "1h"' in text
    scene.config.write_text(text.replace('every = "1h"', 'every = "1h", watch = true'))
    with scene.running("up"):
        for number in range(3):
            scene.plant({b"%d.csv" % number: b"data"})
            until(lambda number=number: b"%d.csv" % number in held(scene.targets["target"]))


def test_a_paused_route_is_not_looked_at(tmp_path):
    it = Yard(tmp_path, source=WATCHED)
    looks = it.hand.ledger.looks
    looks.declare(["r"])
    looks.pause("r", paused=True)
    looks.reschedule("r", 1)
    it.put("a.csv")
    it.hand.work_off()
    it.hand.close()
    assert {} == it.delivered
