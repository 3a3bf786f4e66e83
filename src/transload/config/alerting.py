"""What a config says about alerts and can only be asked as a whole: targets that must exist, rows that somebody must count."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Any

from transload.config.route import Route
from transload.errors import ConfigError
from transload.explain import Faults, Place, meant
from transload.notify import Target

_COUNTING = ("format",)
"""The steps that count rows."""


def check_alerts(routes: Mapping[int, Route], targets: Any, faults: Faults) -> None:
    """Note every target that there is not, and every expectation that could never be met."""
    names = list(targets) if isinstance(targets, dict) else []
    for index, route in routes.items():
        place: Place = ("routes", index)
        for at, name in enumerate(route.notify or ()):
            if name not in names:
                hint = meant(name, names) or (f"there are {', '.join(sorted(names))}" if names else "[notify.NAME] makes one")
                faults.add((*place, "notify", at), f'there is no target "{name}"', hint)
        _check_expected(route, (*place, "expect"), faults)


def _check_expected(route: Route, place: Place, faults: Faults) -> None:
    expect = route.expect
    if expect is None:
        return
    if expect.empty and route.source.server:
        faults.add((*place, "empty"), "is for routes that look; what our servers receive comes by itself", "write every or by")
    if expect.counts_rows() and not any(step.kind in _COUNTING for step in route.steps):
        key = "min_rows" if expect.min_rows is not None else "max_rows"
        faults.add((*place, key), "wants a step that counts rows", '{ kind = "format" }')


def check_targets(targets: Mapping[str, Target], faults: Faults) -> None:
    """Note every target that could not be told anything."""
    for name, target in targets.items():
        if target.command is not None and shutil.which(target.command[0]) is None:
            faults.add(("notify", name, "command"), f'there is no program "{target.command[0]}"', "give its whole path")


def check_urls(targets: Mapping[str, Target], faults: Faults) -> None:
    """Note every URL that Apprise cannot use: for who asks for a check, as Apprise takes its time to begin."""
    for name, target in targets.items():
        if target.url is not None and not target.url.fault():
            try:
                target.try_url()
            except ConfigError as error:
                faults.add(
                    ("notify", name, "url"), str(error).removeprefix("url: "), "Apprise's documentation lists the URLs of all services"
                )
