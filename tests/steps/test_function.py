from __future__ import annotations

import asyncio

import pytest
from pydantic import ValidationError

from transload.errors import Busy, ConfigError, Rejected, Unreachable
from transload.model import Name
from transload.secret import Secret
from transload.steps import Step
from transload.steps.function import forget, registered, step


@pytest.fixture(autouse=True)
def _none_stays():
    before = set(registered())
    yield
    for name in set(registered()) - before:
        forget(name)


def _made(function, name="try"):
    step(name)(function)
    return registered()[name](kind=name)


def test_a_function_is_a_step_under_its_name(bench):
    @step("shout")
    def shout(file, work):
        """Make it loud."""
        with file.open() as opened:
            yield work.write(Name(file.name.raw + b".TXT"), opened.read().upper(), modified=file.modified)

    kind = registered()["shout"]
    assert issubclass(kind, Step)
    assert ("Make it loud.", "shout") == (kind.__doc__, kind().kind)
    assert {"a.csv.TXT": b"QUIET"} == bench.does(kind.model_validate({"kind": "shout"}), b"quiet")
    assert "shout" == kind.model_json_schema()["properties"]["kind"]["const"]
    assert callable(shout)


def test_it_may_let_on_several_or_none_and_need_be_no_generator(bench):
    assert {} == bench.does(_made(lambda file, work: [], "none"), b"x")
    both = _made(lambda file, work: [work.keep(file), work.write(Name("b"), b"y")], "both")
    assert {"a.csv": b"x", "b": b"y"} == bench.does(both, b"x")


@pytest.mark.parametrize("error", [Rejected("bad"), Unreachable("away"), ConfigError("edit")])
def test_our_own_errors_come_through_as_they_are(bench, error):
    def function(file, work):
        yield work.keep(file)
        raise error

    with pytest.raises(type(error)) as told:
        bench.does(_made(function), b"x")
    assert error is told.value


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("two\nlines\x1b[0m"), "the function of try broke: ValueError: two lines%1B[0m"),
        (KeyError("x"), "the function of try broke: KeyError: 'x'"),
        (RuntimeError(), "the function of try broke: RuntimeError"),
        (OSError("\udcff"), "the function of try broke: OSError: %FF"),
        (OSError("\ud800"), "the function of try broke: OSError: ?"),
        (SystemExit(1), "the function of try broke: SystemExit: 1"),
        (asyncio.CancelledError(), "the function of try broke: CancelledError"),
    ],
)
@pytest.mark.parametrize("late", [False, True])
def test_a_mistake_in_the_function_is_no_verdict_on_the_file(bench, error, text, late):
    def generator(file, work):
        yield work.keep(file)
        raise error

    def function(file, work):
        raise error

    with pytest.raises(Busy) as told:
        bench.does(_made(generator if late else function), b"x")
    assert (text, error) == (str(told.value), told.value.__cause__)


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (lambda file, work: None, "TypeError: 'NoneType' object is not iterable"),
        (lambda file, work: [b"bytes"], "TypeError: it yields bytes, not what work.keep or work.write gave"),
        (lambda file: [], "TypeError: .* takes 1 positional argument but 2 were given"),
        (lambda file, work: [None], "TypeError: it yields NoneType"),
        (lambda file, work: [work.write("x.csv", b"1")], "TypeError: it gives a file the name 'x.csv', which is no transload Name"),
        (lambda file, work: 1 / 0, "ZeroDivisionError: division by zero"),
    ],
)
def test_an_answer_that_is_none_is_a_mistake(bench, function, text):
    with pytest.raises(Busy, match=text):
        bench.does(_made(function), b"x")


def test_no_secret_gets_into_the_message(bench, monkeypatch):
    monkeypatch.setenv("HIDDEN", "hunter22222")

    def function(file, work):
        raise ValueError("login with " + Secret(env="HIDDEN").reveal())

    with pytest.raises(Busy) as told:
        bench.does(_made(function), b"x")
    assert "the function of try broke: ValueError: login with ***" == str(told.value)


def test_a_long_message_is_cut(bench):
    with pytest.raises(Busy) as told:
        bench.does(_made(lambda file, work: int("x" * 10_000)), b"x")
    assert 400 > len(str(told.value))


def test_what_the_function_holds_is_let_go_when_the_work_is_put_back(bench):
    closed = []

    def function(file, work):
        try:
            yield work.keep(file)
            yield work.keep(file)
        finally:
            closed.append(True)

    outputs = _made(function)(bench.file(b"x"), bench)
    next(outputs)
    outputs.close()
    assert [True] == closed


def test_a_name_belongs_to_one_function():
    def first(file, work):
        yield work.keep(file)

    def second(file, work):
        yield work.keep(file)

    step("mine")(first)
    step("mine")(first)
    with pytest.raises(ConfigError, match=r'there is a step "mine" already: .*first'):
        step("mine")(second)
    forget("mine")
    step("mine")(second)


@pytest.mark.parametrize("name", ["", "a b", "1", "x" * 65, "ä", "a\n"])
def test_a_name_that_cannot_be_one_is_said(name):
    with pytest.raises(ConfigError, match="cannot be the name of a step"):
        step(name)


def test_it_takes_no_settings():
    kind = type(_made(lambda file, work: []))
    for wrong in ({"kind": "other"}, {"loud": True}):
        with pytest.raises(ValidationError):
            kind.model_validate(wrong)
    assert "The function " in kind.__doc__
