"""Steps that are functions in Python: `@step("shout")` makes `{ kind = "shout" }` of one."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import create_model

from transload.errors import Busy, ConfigError, TransloadError
from transload.model import Name, spell
from transload.secret import scrub
from transload.steps.base import FileView, Output, Scratch, Step

F = TypeVar("F", bound=Callable[[FileView, Scratch], Iterable[Output]])
_KIND = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_SHOWN = 300
_NO_BYTE = re.compile("[\ud800-\udc7f\udd00-\udfff]")
"""Lone surrogates that stand for no byte."""

_steps: dict[str, type[FunctionStep]] = {}


class FunctionStep(Step):
    """A function of your own."""

    splits: ClassVar[bool] = True

    function: ClassVar[Callable[[FileView, Scratch], Iterable[Output]]]

    def __call__(self, file: FileView, work: Scratch) -> Iterator[Output]:
        """What the function lets on.

        Raises what it raises of Transload's errors. Any other is a mistake in it, not in the file: Busy, so that the
        file is there when the mistake is mended.
        """
        outputs: Any = None
        try:
            outputs = iter(type(self).function(file, work))
            for output in outputs:
                if not isinstance(output, Output):
                    raise TypeError(f"it yields {type(output).__name__}, not what work.keep or work.write gave")
                if not isinstance(output.name, Name):
                    raise TypeError(f"it gives a file the name {output.name!r}, which is no transload Name")
                yield output
        except (TransloadError, GeneratorExit):
            raise
        except BaseException as error:  # also SystemExit: it would end the worker's thread, and nobody would go on
            raise Busy(f"the function of {self.kind} broke: {_shown(error)}") from error
        finally:
            if hasattr(outputs, "close"):
                outputs.close()


def step(name: str) -> Callable[[F], F]:
    """Decorate a function of (file, work) that yields what goes on: the steps `{ kind = name }` call it.

    It yields `work.keep(file)`, what `work.write` gave, several of them or none; raises Rejected for a bad file. It is
    called again after a crash, so that the same file must give the same. Functions of modules named in [transload]
    modules are there in every process. ConfigError for a name that cannot be one, or that another function has.
    """
    if not _KIND.fullmatch(name):
        raise ConfigError(f"{name!r} cannot be the name of a step: at most 64 letters, digits, _, . and -")

    def register(function: F) -> F:
        there = _steps.get(name)
        if there is not None and _place(there.function) != _place(function):
            raise ConfigError(f'there is a step "{name}" already: {_place(there.function)}')
        kind: Any = (Literal[name], name)
        made = create_model(name, __base__=FunctionStep, __module__=function.__module__, __doc__=_said(function), kind=kind)
        made.function = staticmethod(function)
        _steps[name] = made
        return function

    return register


def registered() -> Mapping[str, type[Step]]:
    """The steps that are functions, by the kind they are used as."""
    return MappingProxyType(_steps)


def forget(name: str) -> None:
    """There is no such step any more."""
    _steps.pop(name, None)


def _said(function: Callable[..., Any]) -> str:
    """Its documentation, or that it has none."""
    return inspect.getdoc(function) or f"The function {_place(function)}."


def _place(function: Callable[..., Any]) -> str:
    return f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', function)}"


def _shown(error: BaseException) -> str:
    text = _NO_BYTE.sub("?", " ".join(scrub(str(error)).split()))
    shown = spell(text.encode("utf-8", "surrogateescape"))[:_SHOWN]
    return f"{type(error).__name__}: {shown}" if shown else type(error).__name__
