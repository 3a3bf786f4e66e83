from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transload.model import Name
from transload.patterns import PatternFault, Patterns, compiled, disjoint, group_names


@pytest.mark.parametrize(
    ("pattern", "name", "hit"),
    [
        ("*", "a/b.csv", True),
        ("*.csv", "a/b.csv", True),
        ("*.csv", "b.CSV", False),
        ("*.csv", "b.csv.part", False),
        ("b*", "a/b.csv", True),
        ("a*", "a/b.csv", False),
        ("b.csv", "b.csv", True),
        ("b.csv", "xb.csv", False),
        ("x.part", "y.part", False),
        ("?.csv", "b.csv", True),
        ("?.csv", "bb.csv", False),
        ("[a-c].csv", "b.csv", True),
        ("[!a-c].csv", "b.csv", False),
        ("[]].csv", "].csv", True),
        ("[!]].csv", "].csv", False),
        ("[[]x", "[x", True),
        ("[^a]", "^", True),
        ("a/*.csv", "a/b.csv", True),
        ("a/*.csv", "a/b/c.csv", False),
        ("a/**", "a/b/c.csv", True),
        ("**/c.csv", "a/b/c.csv", True),
        ("**/c.csv", "c.csv", True),
        ("**/b/*", "a/b/c", True),
        ("a/?/c", "a/b/c", True),
        ("a+b(c).csv", "a+b(c).csv", True),
        ("*\n*", "a\nb", True),
        ("(?i).*roll(\\d+)\\.CSV", "x/HomeRoll12.csv", True),
        ("(?i).*roll(\\d+)\\.CSV", "HomeRoll12.csv.gz", False),
        ("(?:a|b)/.*", "a/x/y", True),
        ("(?:a|b)", "x/a", True),
        ("(?s).*", "a\nb", True),
    ],
)
def test_a_pattern_is_asked_about_the_last_part_or_about_the_whole_name(pattern, name, hit):
    assert hit == (Name(name) in Patterns([pattern]))
    text = name if "/" in pattern else name.rpartition("/")[2]
    assert hit == bool(compiled(pattern).fullmatch(text))


def test_one_of_several_patterns_is_enough():
    patterns = Patterns(["*.csv", "a/*", "x*", "(?i)readme", "[0-9]*z"])
    for name in ("b.csv", "a/x.bin", "xyz", "README", "1z"):
        assert Name(name) in patterns
    for name in ("b.csvx", "b/a", "1a"):
        assert Name(name) not in patterns


def test_capitals_count_unless_they_are_folded():
    assert Name("A.TMP") not in Patterns(["*.tmp"])
    assert Name("A.TMP") in Patterns(["*.tmp"], fold=True)
    assert Name("a.tmp") in Patterns(["*.TMP", "X*", "?.q"], fold=True)
    assert Name("A.Q") in Patterns(["?.q"], fold=True)


def test_no_patterns_match_nothing():
    assert Name("a") not in Patterns([])


def test_names_that_are_not_utf_8_are_matched_as_bytes():
    assert Name(b"caf\xe9.csv") in Patterns(["caf?.csv"])
    assert Name(b"\xff\xfe.csv") in Patterns(["(?s)..\\.csv"])


@pytest.mark.parametrize(
    ("pattern", "fault"),
    [
        ("", "is empty; * matches every name"),
        ("a[b", "the [ at character 2 has no ]; write [[] for the character ["),
        ("[z-a]", "is no glob: bad character range z-a at position 1"),
        ("(?P<a", "is no regular expression: missing >, unterminated name at position 4"),
        ("(?z)", "is no regular expression: unknown extension ?z at position 1"),
    ],
)
def test_a_pattern_that_cannot_be_used_is_refused(pattern, fault):
    with pytest.raises(PatternFault) as told:
        Patterns([pattern])
    assert fault == str(told.value)


def test_named_groups_come_from_the_first_pattern_that_has_some_and_matches():
    patterns = Patterns(["*.txt", "(?P<site>[a-z]+)_(?P<day>\\d+)?\\.csv", "(?P<whole>a/.*)"])
    assert {"site": "tartu", "day": "12"} == patterns.groups(Name("x/tartu_12.csv"))
    assert {"site": "tartu", "day": ""} == patterns.groups(Name("tartu_.csv"))
    assert {"whole": "a/b"} == patterns.groups(Name("a/b"))
    assert {} == patterns.groups(Name("b.txt"))
    assert frozenset({"site", "day"}) == group_names("(?P<site>.)(?P<day>.)")
    assert frozenset() == group_names("*.csv")


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        ("*.csv", "*.xml", True),
        ("*.csv", "*.gz", True),
        ("*.csv.gz", "*.gz", False),
        ("a*", "b*", True),
        ("a*", "ab*", False),
        ("a*", "*b", False),
        ("*", "*.csv", False),
        ("a.csv", "b.csv", True),
        ("a.csv", "a.csv", False),
        ("*[ab]", "*[cd]", False),
        ("*.csv", "(?i).*\\.xml", False),
        ("a/*.csv", "*.xml", False),
        ("*?", "*x", False),
    ],
)
def test_globs_are_apart_only_when_their_ends_show_it(one, other, apart):
    assert apart == disjoint(one, other)
    assert apart == disjoint(other, one)


@given(
    st.text(alphabet="ab.*?[]", min_size=1, max_size=6),
    st.text(alphabet="ab.*?[]", min_size=1, max_size=6),
    st.text(alphabet="ab.[]", min_size=1, max_size=8),
)
def test_no_name_matches_two_patterns_that_are_apart(one, other, name):
    try:
        both = compiled(one).fullmatch(name) and compiled(other).fullmatch(name)
        apart = disjoint(one, other)
    except PatternFault:
        return
    assert not (both and apart)


@given(
    st.lists(st.text(alphabet="ab.*?", min_size=1, max_size=6), min_size=1, max_size=4),
    st.text(alphabet="ab.AB", min_size=1, max_size=8),
    st.booleans(),
)
def test_the_quick_ways_say_the_same_as_the_slow_ones(patterns, name, fold):
    slow = any(compiled(text, fold=fold).fullmatch(name) for text in patterns)
    assert slow == Patterns(patterns, fold=fold).hit(name, name)


@given(st.text(max_size=20))
def test_any_text_is_a_pattern_or_refused(text):
    try:
        pattern = compiled(text)
    except PatternFault:
        return
    assert isinstance(pattern, re.Pattern)
