"""The commands about what is kept apart: quarantine ls, show, get, release, discard, rescan."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from transload.cli.base import (
    UNWELL,
    WELL,
    ConfigOption,
    JsonOption,
    app,
    clock,
    load,
    moment,
    reading,
    refuse_stranded,
    say,
    show_json,
    table,
    warn,
    who,
    writing,
)
from transload.cli.look import time_of
from transload.errors import ConfigError, Missing
from transload.units import show_size

if TYPE_CHECKING:
    from transload.config import Config
    from transload.ledger.quarantine import Apart
    from transload.quarantine import Vault
    from transload.rescan import Held

quarantine = typer.Typer(
    help="See what is kept apart, and decide what becomes of it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
_ALL = 2**31
app.add_typer(quarantine, name="quarantine")
Number = Annotated[int, typer.Argument(metavar="ID", help="The arrival's number, as `transload quarantine ls` shows it.")]
Why = Annotated[str, typer.Option("--why", metavar="REASON", help="The reason, for those who come later.")]


@quarantine.command()
def ls(
    route: Annotated[str | None, typer.Option(metavar="ROUTE", help="Of this route.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Kept apart since then: 2026-01-31, 2026-01-31T12:00, or 2h for two hours ago.")
    ] = None,
    config: ConfigOption = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Also what was released or discarded.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many at most.")] = 100,
    as_json: JsonOption = False,
) -> int:
    """List what is kept apart, the newest first."""
    loaded = load(config, secrets=False)
    state, of, begin = None if everything else "held", loaded.route(route).name if route else None, time_of("--since", since)
    with reading(loaded) as ledger:
        found = ledger.quarantine.list(state, limit + 1, route=of, since=begin) if ledger else ()
    more, found = len(found) > limit, found[:limit]
    if as_json:
        show_json([_document(one) for one in found])
    elif found:
        rows = [(str(one.arrival), one.state, clock(one.at), one.route, show_size(one.size), one.text, one.reason) for one in found]
        table(("ID", "STATE", "SINCE", "ROUTE", "SIZE", "PATH", "REASON"), rows, right=(0, 4))
        if more:
            say(f"these are the newest {limit:,}, and there are more: --limit")
    else:
        say("nothing is kept apart")
    return WELL


@quarantine.command()
def show(number: Number, config: ConfigOption = None, *, as_json: JsonOption = False) -> int:
    """Tell all that is known of one of them.

    Where it came from, its hash, why it is here, who decided what.
    """
    loaded = load(config, secrets=False)
    with reading(loaded) as ledger:
        if ledger is None:
            raise ConfigError(f"arrival {number} is not in quarantine: there is no ledger yet")
        one = _found(ledger.quarantine.get, number)
        row = ledger.view.arrival(number)
    if as_json:
        show_json(_document(one))
        return WELL
    say(f"{one.text}, version {one.version}, arrival {number} of {one.route}" + (f", from {row.source}" if row else ""))
    say(f"  kept apart since {clock(one.at)}: {one.reason}")
    say(f"  {show_size(one.size)}, sha256 {one.sha256}")
    vault = _vault(loaded)
    if one.state == "held" or vault.has(one.sha256):
        say(f"  its bytes: {vault.path(one.sha256)} on {one.node}")
    if one.decided is not None:
        say(f"  {one.state} on {clock(one.decided)} by {one.who}: {one.why}")
    return WELL


@quarantine.command()
def get(
    number: Number,
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="The new file; one that is there is never replaced.")],
    why: Why,
    config: ConfigOption = None,
    *,
    infected: Annotated[bool, typer.Option("--infected", help="Also what a scanner has called infected.")] = False,
) -> int:
    """Write the bytes of one to a file, to be looked at.

    For whoever may read the data folder, on the machine where they lie. The file is its owner's alone and cannot be executed; who
    asked, and why, is written down with the file's story.
    """
    loaded = load(config, secrets=False)
    reason = _said(why, "get")
    with writing(loaded) as ledger:
        one = _found(ledger.quarantine.get, number)
        verdict = ledger.processing.verdict("scan", one.sha256)
        if verdict is not None and verdict[0] == "infected" and not infected:
            raise ConfigError(
                f"quarantine get: {number} is infected ({verdict[1].get('signature', one.reason)}): --infected, if you mean it"
            )
        _vault(loaded).give(one.sha256, to.absolute(), lambda: ledger.quarantine.note(number, who(), "handed out", reason))
    say(f"{number}: {show_size(one.size)} written to {to}, sha256 {one.sha256}")
    return WELL


@quarantine.command()
def release(number: Number, why: Why, config: ConfigOption = None) -> int:
    """Let one go on, on your word.

    It goes through the steps that it was received under; what they have against it is written down, and does not stop it. That
    holds for this arrival alone: the same bytes that come again are judged as before.
    """
    from transload.app import Transload

    loaded = load(config, secrets=False)
    reason, vault = _said(why, "release"), _vault(loaded)
    with writing(loaded) as ledger, Transload(loaded) as transload:
        one = _found(ledger.quarantine.get, number)
        if one.state == "held":
            refuse_stranded(loaded, number, one.route)
            vault.back(one.sha256, transload.spool)
        try:
            ledger.quarantine.release(number, who(), reason)
        except Missing as error:
            warn(str(error))
            return UNWELL
    vault.changed()
    say(f"{number}: released, it goes on at the next run: {one.text}")
    return WELL


@quarantine.command()
def discard(number: Number, why: Why, config: ConfigOption = None) -> int:
    """Give one up for good.

    The file is skipped; its bytes are removed, unless another file with the same bytes is kept apart too. The ledger keeps its story.
    """
    loaded = load(config, secrets=False)
    reason = _said(why, "discard")
    with writing(loaded) as ledger:
        one = _found(ledger.quarantine.get, number)
        try:
            ledger.quarantine.discard(number, who(), reason)
        except Missing as error:
            warn(str(error))
            return UNWELL
        _vault(loaded).collect(ledger.quarantine.wanted, [one.sha256])
    say(f"{number}: discarded: {one.text}")
    return WELL


@quarantine.command("rescan")
def look_again(
    numbers: Annotated[
        list[int] | None, typer.Argument(metavar="ID", help="Which, as `transload quarantine ls` shows them; all by default.")
    ] = None,
    config: ConfigOption = None,
    *,
    as_json: JsonOption = False,
) -> int:
    """Scan what is kept apart again, with the signatures of now.

    Tells what is found; nothing is released by it, and what was once infected stays so for those bytes. Exits 1 unless all is clean.
    """
    from transload.cli.rescan import document_of, say_find
    from transload.rescan import Store, look_at_held

    loaded = load(config, secrets=False)
    documents, well = [], True
    with writing(loaded) as ledger, Store.opened(loaded) as store:
        apart = (
            [_held(ledger.quarantine.get, number) for number in dict.fromkeys(numbers)] if numbers else ledger.quarantine.list(limit=_ALL)
        )
        for one in look_at_held(loaded, ledger, store, apart, who()):
            well = well and one.found == "clean"
            told = _document(one.apart) | {"found": one.found, "told": one.told or None, "before": one.before or None}
            documents.append(told | {"delivered": [document_of(find) for find in one.delivered]})
            if not as_json:
                _say_held(one)
                for find in one.delivered:
                    say_find(find)
    if as_json:
        show_json(documents)
    elif not documents:
        say("nothing is kept apart")
    return WELL if well else UNWELL


def _say_held(one: Held) -> None:
    number, text, reason = one.apart.arrival, one.apart.text, one.apart.reason
    if one.found == "clean":
        say(f'{number}: now clean: transload quarantine release {number} --why "..." lets it on: {text} (kept apart: {reason})')
        if one.before:
            say(f"  the same bytes that come again stay infected: {one.before}")
    else:
        say(f"{number}: {'infected' if one.found == 'infected' else 'not scanned'}: {one.told}: {text} (kept apart: {reason})")


def _held(get: Any, number: int) -> Apart:
    one = _found(get, number)
    if one.state != "held":
        raise ConfigError(f"arrival {number} is not kept apart any more: it was {one.state} by {one.who}")
    return one


def _said(why: str, command: str) -> str:
    if not why.strip():
        raise ConfigError(f"quarantine {command}: --why wants a reason")
    return why.strip()


def _vault(config: Config) -> Vault:
    from transload.workplace import vault_of

    return vault_of(config)


def _found(get: Any, number: int) -> Apart:
    try:
        one: Apart = get(number)
    except Missing as error:
        raise ConfigError(f"{error}; transload quarantine ls shows what is") from error
    return one


def _document(one: Apart) -> dict[str, Any]:
    return one._asdict() | {"path": one.text, "at": moment(one.at), "decided": moment(one.decided) if one.decided else None}
