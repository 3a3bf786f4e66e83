"""Processing: what has arrived goes through its route's steps; what comes out is owed, all of it or nothing."""

from __future__ import annotations

import errno
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from transload import crash
from transload.config.kinds import STEPS
from transload.desk import Desk, Piece, Shelf
from transload.errors import Busy, ConfigError, Full, LedgerAway, Missing, Rejected, TransloadError, Unreachable, Waiting
from transload.ledger import Lost, Received, Trouble, now
from transload.ledger.processing import Done, Made
from transload.model import Entry, Name
from transload.owed import Owing
from transload.steps import Verdict
from transload.units import printable
from transload.workplace import steps_at

if TYPE_CHECKING:
    from transload.ledger import Claim
    from transload.ledger.processing import Item
    from transload.model import Spooled
    from transload.steps import Step
    from transload.workplace import Workplace

_GROUP = 64
_GROUP_SECONDS = 0.25
_BEHIND = 60_000_000
"""How far (microseconds) behind the others a file is tried again that nobody answered, at most."""
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_NOTHING = "its steps let nothing of it on"


def process(work: Workplace, claim: Claim) -> None:
    """Take the files of a claim through their steps; each ends owed, split, held with a time, quarantined, skipped or failed."""
    Processing(work, claim).go()


@contextmanager
def _telling() -> Iterator[None]:
    """A disk that fails, or no descriptor that is left, says nothing of the file."""
    try:
        yield
    except OSError as error:
        raise (Full if error.errno in _NO_ROOM else Busy)(f"its steps cannot go on: {error.strerror or error}") from error


class Processing:
    """One claim's files on their way through the steps."""

    def __init__(self, work: Workplace, claim: Claim) -> None:
        """The files of `claim`."""
        self._work, self._claim, self._route = work, claim, work.route(claim.route)
        self._owing = Owing(self._route)
        self._recipes: dict[str, Sequence[Step]] = {}
        self._done: list[Done] = []
        self._spooled: list[Spooled] = []
        self._since = 0.0
        self._away: tuple[Item, Unreachable] | None = None
        self._waits: Counter[str] = Counter()
        self._shelf = Shelf(work, claim)

    def go(self) -> None:
        """All of them, one after another."""
        items = self._work.ledger.processing.items(self._claim.id)
        left = deque(items)
        with self._shelf:
            looked_up = 0
            while left and not self._work.stopping():
                if not looked_up:
                    looked_up = min(_GROUP, len(left))
                    self._shelf.look_up([item.sha256 for item in islice(left, looked_up)], anew=True)
                self._one(left.popleft())
                looked_up -= 1
                if self._away is not None:
                    break
            self._flush()
        if self._away is not None:
            self._hold(*self._away)
        elif items and not left:
            self._work.answers(steps_at(self._work.node, self._route.name))
        for reason, files in self._waits.items():
            self._work.say(self._route, Trouble(0, reason, until=0), files=files)

    def _hold(self, item: Item, error: Unreachable) -> None:
        """Nobody answered for one of them: the others do not wait for the same silence, each by itself."""
        work, route, reason = self._work, self._route, printable(str(error))
        place = steps_at(work.node, route.name)
        trip = work.ledger.fleet.trips().get(place)
        if trip is not None and trip.next_try is not None and trip.next_try > now():
            # Another batch, in hand at the same time, has heard the same silence.
            until, given_up = trip.next_try, work.once and trip.failures >= route.attempts
        else:
            until, given_up = work.away(place, route, Unreachable(reason))
        spent = route.attempts if given_up else 1
        # Should it be to blame for the silence, the others go first when it is over.
        alone = max(work.later(route, item.attempts), until + min(until - now(), _BEHIND))
        work.ledger.processing.troubled(self._claim.id, [Trouble(item.id, reason, alone, spent)])
        work.ledger.processing.wait(self._claim.id, route.name, work.node, reason, until, spent=spent if work.once else 0)

    def _one(self, item: Item) -> None:
        work, route = self._work, self._route
        trouble: Trouble | None = None
        bad = ""
        with Desk(work, self._claim, item, self._shelf) as desk:
            try:
                self._have(item)
                self._admit(desk, item)
                with _telling():
                    self._add(self._through(desk, item), desk)
                crash.point("processed")
            except Lost:
                raise
            except Rejected as error:
                bad = printable(str(error))
            except Waiting as error:
                if now() >= error.until:
                    bad = printable(f"{error}: it never came")
                else:
                    until = min(error.until, work.later(route, item.attempts))
                    # A run looks once: what is not there soon will come with a later one.
                    trouble = Trouble(item.id, printable(str(error)), until, spent=int(work.once))
            except Unreachable as error:
                self._away = item, error
            except TransloadError as error:
                trouble = self._means(item, error)
        if bad or trouble is not None or self._away is not None:
            self._shelf.write_down()
        if bad:
            self._keep_apart(item, bad)
        elif trouble is not None:
            work.ledger.processing.troubled(self._claim.id, [trouble])

    def _means(self, item: Item, error: TransloadError) -> Trouble:
        """What becomes of it; of those that begin to wait the log hears together, and nothing of those that go on to."""
        trouble = self._work.means(item.id, self._route, item.attempts, error)
        if trouble.until is None:
            self._work.say(self._route, trouble)
        elif trouble.reason != item.reason:
            self._waits[trouble.reason] += 1
        return trouble

    def _keep_apart(self, item: Item, reason: str) -> None:
        """A copy of its own first, then the ledger."""
        work = self._work
        vault = work.vault
        try:
            with vault.keeping(item.sha256, Path(work.spool.path(item.sha256))):
                crash.point("kept apart")
                work.ledger.quarantine.put(self._claim.id, item.id, work.node, reason)
        except (Lost, LedgerAway):
            raise
        except TransloadError as error:
            # It must not fail for good: the spool keeps its bytes only for as long as it waits for its steps.
            wrong = Busy(str(error)) if isinstance(error, ConfigError) else error
            work.ledger.processing.troubled(self._claim.id, [self._means(item, wrong)])
            return
        vault.changed()

    def _have(self, item: Item) -> None:
        """What was kept apart longer than the spool keeps bytes has only the copy there."""
        work = self._work
        if work.spool.has(item.sha256):
            return
        if not work.vault.has(item.sha256):
            message = "its bytes are no longer here, neither in the spool nor in the quarantine"
            raise Missing(message)
        try:
            work.vault.back(item.sha256, work.spool)
        except ConfigError as error:
            raise Busy(str(error)) from error
        except Rejected as error:
            # The copy is bad, which says nothing of the file.
            raise Missing(str(error)) from error

    def _admit(self, desk: Desk, item: Item) -> None:
        """What was refused when it came goes no further, unless somebody has answered for it; then its hook is told of it at last."""
        if not item.refused:
            return
        if not item.released:
            raise Rejected(item.refused)
        desk.note(Verdict("released", "goes on", {"in spite of": item.refused}))
        owed = self._owing.told(item.entry, item.sha256, item.version)
        if owed:
            got = Received(item.id, item.entry, desk.first.spooled, owed)
            self._work.ledger.processing.told(self._claim.id, self._route.name, got)

    def _through(self, desk: Desk, item: Item) -> Done | None:
        """What comes out of the last step; None for nothing."""
        pieces = [desk.first]
        for step in self._steps(item.recipe):
            desk.lay_out(pieces)
            pieces = [made for piece in self._looked_up(pieces) for made in desk.does(step, piece)]
        if not pieces:
            return None
        groups = desk.first.view.groups
        if len(pieces) == 1 and pieces[0].is_whole(item):
            return Done(item, self._owing.stepped(item.entry.name, item.entry.modified, item.sha256, item.version, groups))
        return Done(item, made=[self._made(item, piece, groups) for piece in pieces])

    def _looked_up(self, pieces: Sequence[Piece]) -> Iterator[Piece]:
        """Them, with what is known of many at once."""
        for at in range(0, len(pieces), _GROUP):
            some = pieces[at : at + _GROUP]
            if len(some) > 1:
                self._shelf.look_up([piece.view.sha256 for piece in some])
            yield from some

    def _made(self, item: Item, piece: Piece, groups: Mapping[str, str]) -> Made:
        """An arrival of its own, whose path shows what it came out of."""
        name, modified = piece.view.name, piece.view.modified
        outer = item.entry
        shown = Name(outer.name.raw + b"!/" + name.raw)
        entry = Entry(outer.folder, shown, piece.spooled.size, modified, outer.precision, settles=outer.settles, link=outer.link)
        return Made(entry, piece.spooled, self._owing.stepped(name, modified, piece.spooled.sha256, item.version, groups))

    def _steps(self, recipe: str) -> Sequence[Step]:
        """The steps that it was received under, whatever the route says by now."""
        if recipe not in self._recipes:
            current = self._route.recipe
            same = current is not None and current[0] == recipe
            self._recipes[recipe] = self._route.steps if same else self._older(recipe)
        return self._recipes[recipe]

    def _older(self, recipe: str) -> Sequence[Step]:
        try:
            tables = self._work.ledger.processing.recipe(recipe)
            context = {"folder": self._work.config.file.parent, "secrets": True}
            return [STEPS.find(str(table["kind"])).model_validate(table, context=context) for table in tables]
        except (ValueError, LookupError) as error:
            message = "the steps that it was received under are not to be had any more: skip it, or have it fetched again"
            raise ConfigError(message) from error

    def _add(self, done: Done | None, desk: Desk) -> None:
        if done is None:
            self._shelf.write_down()
            trouble = Trouble(desk.item.id, _NOTHING, state="skipped")
            self._work.ledger.processing.troubled(self._claim.id, [trouble])
            return
        if not self._done:
            self._since = time.monotonic()
        self._done.append(done)
        self._spooled += desk.keep_bytes(made.spooled for made in done.made or ())
        if len(self._done) >= _GROUP or time.monotonic() - self._since > _GROUP_SECONDS:
            self._flush()

    def _flush(self) -> None:
        """Bytes first, then the ledger: what is owed is there."""
        self._shelf.write_down()
        if not self._done:
            return
        done, self._done = self._done, []
        spooled, self._spooled = self._spooled, []
        work = self._work
        with work.spool.accepting():
            work.spool.commit(spooled)
            work.ledger.processing.done(self._claim.id, self._route.name, work.node, done, settle=self._route.after != "keep")
        crash.point("owed")
