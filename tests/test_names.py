from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transload.errors import Rejected
from transload.model import Name, to_micros
from transload.names import DEFAULT, Facts, Template, TemplateFault, dated, marker, versioned

NOW = datetime(2026, 3, 4, 5, 6, 7, 89, tzinfo=UTC)
FACTS = Facts(
    name=Name("in/deep/report.tar.gz"),
    route="acl",
    now=NOW,
    modified=to_micros(datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)),
    sha256="ab" * 32,
    version=3,
    groups={"site": "tartu"},
)

PARTS = st.binary(min_size=1, max_size=40).filter(lambda raw: raw not in (b".", b"..") and not set(raw) & set(b"/\0"))
NAMES = st.lists(PARTS, min_size=1, max_size=4).map(lambda parts: Name(b"/".join(parts)))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("{name}", "report.tar.gz"),
        ("{stem}-x{suffix}", "report.tar-x.gz"),
        ("{folder}/{name}", "in/deep/report.tar.gz"),
        ("a/{folder}/{name}", "a/in/deep/report.tar.gz"),
        ("{route}/{name}", "acl/report.tar.gz"),
        ("{now:%Y-%m-%d}/{now:%H:%M:%S.%f}/{name}", "2026-03-04/05:06:07.000089/report.tar.gz"),
        ("{now}", "20260304T050607Z"),
        ("{source.modified:%Y/%m/%d}/{name}", "2025/01/02/report.tar.gz"),
        ("{sha256}", "ab" * 32),
        ("{sha256:8}", "abababab"),
        ("{stem}.{version}", "report.tar.3"),
        ("{stem}.{version:03}", "report.tar.003"),
        ("data/{site}/raw/{name}", "data/tartu/raw/report.tar.gz"),
        ("{{{name}}}", "{report.tar.gz}"),
        ("plain", "plain"),
    ],
)
def test_a_template_says_what_a_file_is_called(text, name):
    assert Name(name) == Template(text).render(FACTS)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("{folder}/{name}", "a.csv"),
        ("x/{folder}/{name}", "x/a.csv"),
        ("x{folder}/{name}", "x/a.csv"),
        ("{folder}{name}", "a.csv"),
    ],
)
def test_an_empty_folder_leaves_no_slash_behind(text, name):
    assert Name(name) == Template(text).render(Facts(Name("a.csv")))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "is empty"),
        ("/x/{name}", "is relative to the remote's path: leave the first / away"),
        ("x/", "must end with a file's name, such as {name}"),
        ("x/{folder}", "must end with a file's name, such as {name}"),
        ("{folder}", "must end with a file's name, such as {name}"),
        ("../{name}", "must not hold empty parts, . or .."),
        ("a//{name}", "must not hold empty parts, . or .."),
        ("a/./{name}", "must not hold empty parts, . or .."),
        ("a\0", "must not hold empty parts, . or .."),
        ("{name", "a single { stands for nothing; write {{ for the character"),
        ("name}", "a single } stands for nothing; write }} for the character"),
        ("{}", "{} is no field"),
        ("{source.size}", "{source.size} is no field"),
        ("{0}", "{0} is no field"),
        ("{name.raw}", "{name.raw} is no field"),
        ("{now:%Q}", "{now:%Q}: not a time format"),
        ("{now:%}", "{now:%}: not a time format"),
        ("{name:8}", "{name:8}: only times"),
        ("{sha256:65}", "{sha256:65}: only times"),
        ("{version:>99}", "{version:>99}: only times"),
        ("{site:3}", "{site:3}: only times"),
    ],
)
def test_a_template_that_cannot_be_used_is_refused_at_once(text, fault):
    with pytest.raises(TemplateFault) as told:
        Template(text)
    assert str(told.value).startswith(fault)


def test_what_a_template_needs_is_known():
    template = Template("lake/{now:%Y}/{site}/{stem}.csv")
    assert frozenset({"now", "site", "stem"}) == template.fields
    assert frozenset({"site"}) == template.groups
    assert ("lake", True, ".csv") == (template.root, template.folders, template.tail)
    assert ("", False, "") == (Template("{name}").root, Template("{name}").folders, Template("{name}").tail)
    assert ("a/b", False, "c") == (Template("a/b/c").root, Template("a/b/c").folders, Template("a/b/c").tail)


def test_templates_of_the_same_text_are_equal():
    assert Template("{name}") == Template("{name}")
    assert Template("{name}") != Template("{stem}")


def test_times_are_in_utc():
    east = NOW.astimezone(timezone(timedelta(hours=9)))
    assert Name("05") == Template("{now:%H}").render(Facts(Name("a"), now=east))


@pytest.mark.parametrize("modified", [None, 10**20, -(10**20)])
def test_a_time_that_is_not_told_or_no_date_is_now(modified):
    assert Name("2026") == Template("{source.modified:%Y}").render(Facts(Name("a"), now=NOW, modified=modified))


@pytest.mark.parametrize("value", ["..", ".", "", "a/b", "/etc/passwd", "../../x", "a\0b"])
def test_a_hostile_group_is_rejected(value):
    with pytest.raises(Rejected):
        Template("data/{site}/x").render(Facts(Name("a"), groups={"site": value}))


def test_groups_cannot_make_a_way_up_together():
    with pytest.raises(Rejected):
        Template("{a}{b}/x").render(Facts(Name("x"), groups={"a": ".", "b": "."}))


def test_a_group_that_matched_nothing_is_rejected():
    with pytest.raises(Rejected, match="site"):
        Template("{site}").render(Facts(Name("a")))


@given(NAMES)
def test_the_default_name_is_the_file_s_own_byte_for_byte(name):
    assert name == DEFAULT.render(Facts(name))


@given(NAMES, st.sampled_from(["{name}", "x/{stem}-{version}{suffix}", "{folder}/{sha256:8}/{name}", "{route}/{folder}/{name}"]))
def test_every_name_is_rendered_safely_and_keeps_its_bytes(name, text):
    rendered = Template(text).render(Facts(name, route="r", sha256="0" * 64))
    assert rendered == Name(rendered.raw)
    assert name.stem in rendered.raw
    assert rendered.raw.endswith(name.suffix)


@given(st.text(max_size=30), st.text(max_size=10))
def test_any_text_and_group_is_a_safe_name_or_refused(text, group):
    try:
        rendered = Template(f"root/{{site}}{text}").render(Facts(Name("a"), groups={"site": group}))
    except (TemplateFault, Rejected):
        return
    assert rendered.raw.startswith(b"root/")
    assert rendered == Name(rendered.raw)


@given(NAMES, st.integers(2, 10**6))
def test_a_version_keeps_folder_and_suffix_and_stays_within_255_bytes(name, version):
    other = versioned(name, version)
    assert name.folder == other.folder
    assert len(other.base) <= 255
    assert b".v%d" % version in other.base
    assert other.raw.endswith(name.suffix)


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("name.csv", "name.v2.csv"),
        ("a/b/name.csv", "a/b/name.v2.csv"),
        ("name", "name.v2"),
        (".hidden", ".hidden.v2"),
        ("a.tar.gz", "a.tar.v2.gz"),
        ("x" * 255, "x" * 252 + ".v2"),
        ("x" * 251 + ".csv", "x" * 248 + ".v2.csv"),
        ("é" * 127 + "x", "é" * 126 + ".v2"),
        ("x." + "y" * 253, "x." + "y" * 250 + ".v2"),
    ],
)
def test_the_second_version_of_a_name(name, other):
    assert Name(other) == versioned(Name(name), 2)


@given(st.text(alphabet="aé漢😀", min_size=1, max_size=200).map(lambda text: text.encode()[:255].decode(errors="ignore")))
def test_a_shortened_name_is_still_utf_8(text):
    assert versioned(Name(text), 12).is_text


def test_versions_of_a_name_are_all_different():
    name = Name("x" * 255)
    assert 100 == len({versioned(name, number).raw for number in range(100)})


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("{name}.done", "lake/2026/a.v2.csv.done"),
        ("{stem}.ok", "lake/2026/a.v2.ok"),
        ("done/{name}", "done/a.v2.csv"),
        ("{folder}/{name}.done", "lake/2026/a.v2.csv.done"),
    ],
)
def test_a_marker_lies_beside_what_was_delivered_unless_it_names_a_folder(text, name):
    assert Name(name) == marker(Template(text), Facts(Name("a.csv")), Name("lake/2026/a.v2.csv"))


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/out", "/out"),
        ("/out/{now:%Y%m%d}", "/out/20260304"),
        ("{now-1d:%Y%m%d}/x", "20260303/x"),
        ("{now-6h:%Y%m%d}", "20260303"),
        ("{odd}/{now}", "{odd}/{now}"),
    ],
)
def test_a_folder_may_hold_the_date(text, path):
    assert path == dated(text, NOW)


@pytest.mark.parametrize(
    ("name", "suffix", "other"),
    [
        ("in/a.csv", ".TXT", "in/a.TXT"),
        ("a.tar.gz", ".zip", "a.tar.zip"),
        ("in.d/a", ".csv", "in.d/a.csv"),
        (".hidden", ".csv", ".hidden.csv"),
        ("a.csv", "", "a"),
        (b"\xff.csv", ".caf\u00e9", b"\xff.caf\xc3\xa9"),
    ],
)
def test_a_name_with_another_suffix(name, suffix, other):
    assert Name(other) == Name(name).with_suffix(suffix)


@pytest.mark.parametrize("suffix", ["csv", ".", "./x", ".a/b", "/../x"])
def test_what_is_no_suffix_is_said(suffix):
    with pytest.raises(ValueError, match="is no suffix"):
        Name("a.csv").with_suffix(suffix)
    with pytest.raises(Rejected, match="a NUL"):
        Name("a.csv").with_suffix(".\0")
