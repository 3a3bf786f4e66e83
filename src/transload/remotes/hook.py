"""Hooks: who is told of each arrival. The functions in Python, by route."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from transload.errors import ConfigError
from transload.protocols import Arrived

F = TypeVar("F", bound=Callable[[Arrived], Any])
_functions: dict[str, Callable[[Arrived], Any]] = {}


def on_received(route: str) -> Callable[[F], F]:
    """Decorate the function that is told of each arrival of `route`; ConfigError when another one is told already.

    It is called with an `Arrived`, at least once for each; one that raises is called again later. Functions of modules named
    in [transload] modules are there in every process.
    """

    def register(function: F) -> F:
        there = _functions.get(route)
        if there is not None and _name(there) != _name(function):
            message = f'the route "{route}" has a hook already: {_name(there)}'
            raise ConfigError(message)
        _functions[route] = function
        return function

    return register


def registered(route: str) -> bool:
    """Whether a function is told of what arrives by that route."""
    return route in _functions


def _name(function: Callable[..., Any]) -> str:
    return f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', function)}"
