from __future__ import annotations

import hashlib

import pytest
from pydantic import ValidationError

from transload.errors import Rejected
from transload.model import Name
from transload.steps.rename import Rename

MOMENT = 1_700_000_000_000_000


@pytest.mark.parametrize(
    ("to", "name"),
    [
        ("{folder}/{stem}.txt", "in/a.txt"),
        ("{name}", "a.csv"),
        ("{route}/{source.modified:%Y/%m/%d}/{name}", "r/2023/11/14/a.csv"),
        ("{stem}-{sha256:8}{suffix}", f"a-{hashlib.sha256(b'x').hexdigest()[:8]}.csv"),
        ("{stem}.v{version:02}{suffix}", "a.v03.csv"),
        ("{station}_{name}", "OBS_a.csv"),
        ("{{{name}}}", "{a.csv}"),
    ],
)
def test_the_bytes_go_on_under_the_name_that_the_template_makes(bench, to, name):
    file = bench.file(b"x", "in/a.csv", modified=MOMENT, version=3, groups={"station": "OBS"})
    assert {name: b"x"} == bench.does(Rename(to=to), file)
    assert (None, MOMENT) == (bench.outputs[0].path, bench.outputs[0].modified)


def test_now_is_when_it_was_first_seen_whenever_it_is_tried(bench):
    file = bench.file(b"x", received=MOMENT + 123_456)
    assert {"20231114T221320.123456"} == bench.does(Rename(to="{now:%Y%m%dT%H%M%S.%f}"), file).keys()


@pytest.mark.parametrize("name", [b"\xff\xfe.csv", "new\nline", "-lead", "%46", "👍\u202e", "a;b*c", "back\\slash", "x" * 255])
def test_odd_names_come_through_whole(bench, name):
    bench.does(Rename(to="out/{name}"), b"x", name)
    assert Name("out") / Name(name) == bench.outputs[0].name


@pytest.mark.parametrize(
    ("groups", "reason"),
    [
        ({}, "{station} matched nothing in this name"),
        ({"station": ".."}, "is not a safe name: the part '..' is not allowed"),
        ({"station": "a/b"}, "{station} would name a folder of its own"),
        ({"station": ""}, "is not a safe name: it has an empty part"),
        ({"station": "a\0"}, "is not a safe name: it holds a NUL"),
    ],
)
def test_a_name_that_would_not_be_safe_is_refused(bench, groups, reason):
    with pytest.raises(Rejected) as told:
        bench.does(Rename(to="x/{station}/{name}"), bench.file(b"x", groups=groups))
    assert reason in str(told.value)


@pytest.mark.parametrize("to", ["", "/etc/{name}", "../{name}", "{nothing here}", "{name", "a/", "{name:5}", 5, None])
def test_a_template_that_cannot_be_one_is_said(to):
    with pytest.raises(ValidationError):
        Rename(to=to)


def test_the_settings_can_be_written_down():
    assert {"kind": "rename", "to": "{name}"} == Rename(to="{name}").model_dump()
    assert "string" == Rename.model_json_schema()["properties"]["to"]["type"]
