"""The functions in Python that are hooks, by route."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from transload.errors import ConfigError
from transload.protocols import Arrived

F = TypeVar("F", bound=Callable[[Arrived], Any])
TIMEOUT = 60.0


class Function(NamedTuple):
    """A function that is told, and for how many seconds a call of it is waited for."""

    call: Callable[[Arrived], Any]
    timeout: float


_functions: dict[str, Function] = {}


def on_received(route: str, *, timeout: float = TIMEOUT) -> Callable[[F], F]:
    """Decorate the function that is told of each arrival of `route`; ConfigError when another one is told already.

    It is called with an `Arrived`, at least once for each; one that raises, or does not return within `timeout` seconds, is
    asked again later. Functions of modules named in [transload] modules are there in every process.
    """

    def register(function: F) -> F:
        there = _functions.get(route)
        if there is not None and _name(there.call) != _name(function):
            message = f'the route "{route}" has a hook already: {_name(there.call)}'
            raise ConfigError(message)
        _functions[route] = Function(function, timeout)
        return function

    return register


def registered(route: str) -> bool:
    """Whether a function is told of what arrives by that route."""
    return route in _functions


def function_of(route: str) -> Function:
    """The function that is told; ConfigError when there is none (any more)."""
    try:
        return _functions[route]
    except KeyError:
        raise ConfigError(f'this process knows no function for the route "{route}": name its module in [transload] modules') from None


def forget(route: str) -> None:
    """No function is told of that route any more."""
    _functions.pop(route, None)


def of_module(module: str) -> list[str]:
    """The routes whose functions are in that module."""
    return [route for route, function in _functions.items() if getattr(function.call, "__module__", "") == module]


def _name(function: Callable[..., Any]) -> str:
    return f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', function)}"
