"""Delivering: one whole copy of each arrival at each destination, and never two."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from transload import crash
from transload.errors import Conflict, Missing, Transient, TransloadError, Unreachable
from transload.ledger import Lost, Trouble
from transload.ledger.origins import Origin, Origins
from transload.model import DeliveryState, Parcel, Receipt, Staged, Verify, to_datetime
from transload.names import Facts, marker, versioned
from transload.owed import groups_of
from transload.parcels import call_for, key_of, parcel_for
from transload.protocols import HOOK

if TYPE_CHECKING:
    from transload.config import To
    from transload.ledger import Claim, Due
    from transload.protocols import Writer
    from transload.workplace import Workplace


def deliver(work: Workplace, claim: Claim) -> None:
    """Make the deliveries of a claim; each ends delivered, tried again later, or failed with a reason."""
    Delivering(work, claim).go()


class Delivering:
    """One claim's parcels on their way out."""

    def __init__(self, work: Workplace, claim: Claim) -> None:
        """The deliveries of `claim`."""
        self._work, self._claim, self._route = work, claim, work.route(claim.route)
        self._settle = self._route.after != "keep"
        self._targets: dict[str, To] = {to.id: to for to in self._route.destinations}
        self._dues: dict[int, Due] = {}
        self._hand: dict[int, Due] = {}
        self._done = 0
        self._hook = claim.remote.startswith(HOOK)
        self._origins: Mapping[int, Origin] = {}

    def go(self) -> None:
        """All of them, over one connection; what was in hand when it broke waits, the others are due again at once."""
        work, remote = self._work, self._claim.remote
        self._dues = {due.id: due for due in self._sorted_out(work.ledger.deliveries.due(self._claim.id))}
        if not self._dues:
            return
        if self._hook:
            self._origins = Origins(work.ledger.database).of([due.arrival for due in self._dues.values()])
        connected = False
        try:
            with work.open(remote) as session:
                connected = True
                self._settle_doubts(session)
                self._make(session)
            work.answers(remote)
        except Lost:
            raise
        except TransloadError as error:
            if not connected or not self._done:
                work.away(remote, self._route, error)
            if connected:
                self._troubled([Trouble(one.id, str(error), work.later(self._route, one.attempts)) for one in self._hand.values()])

    def _sorted_out(self, dues: Sequence[Due]) -> list[Due]:
        """Without those whose name a newer version took, and those whose destination the config has no more."""
        over = [due for due in dues if due.superseded]
        if over:
            self._work.ledger.deliveries.superseded(self._claim.id, over, settle=self._settle)
        lost = [due for due in dues if not due.superseded and due.target not in self._targets]
        reason = "the route no longer has this destination; put it back, or skip the arrival"
        self._troubled([Trouble(due.id, reason) for due in lost])
        return [due for due in dues if not due.superseded and due.target in self._targets]

    def _make(self, session: Writer) -> None:
        todo = [due for due in self._dues.values() if due.state is DeliveryState.OWED]
        left = [due for due in todo if due.tried is not None]
        for due in left:
            session.sweep(key_of(due.id, due.tried or 0), due.name)
        if left:
            self._work.ledger.deliveries.swept(self._claim.id, [due.id for due in left])
        crash.point("put")
        staged: list[Staged] = []
        for one in session.stage(self._parcels(todo)):
            if one.error is None:
                staged.append(one)
            else:
                self._refused(one.parcel.delivery, one.error)
            crash.point("staging")
        crash.point("staged")
        self._publish(session, staged)

    def _parcels(self, dues: Sequence[Due]) -> Iterator[Parcel]:
        for due in dues:
            if self._work.stopping():
                return
            self._hand[due.id] = due
            crash.point("sending")
            yield self._parcel(due)

    def _parcel(self, due: Due) -> Parcel:
        how = (self._work, self._claim.id, self._route, self._targets[due.target], due)
        return call_for(*how, self._origins.get(due.arrival)) if self._hook else parcel_for(*how)

    def _publish(self, session: Writer, staged: Sequence[Staged]) -> None:
        if not staged:
            return
        self._work.ledger.deliveries.staged(self._claim.id, staged)
        crash.point("noted")
        self._publish_now(session, staged)

    def _publish_now(self, session: Writer, staged: Sequence[Staged]) -> None:
        """Give them their names; what the destination would not do is looked into when all others are done."""
        sent = {one.parcel.delivery: one for one in staged}
        done: list[Receipt] = []
        doubtful: list[tuple[Staged, TransloadError]] = []
        for receipt in session.publish(staged):
            if receipt.error is None and self._hook:
                # Noted at once: after a death as few calls as can be are made again.
                self._finish(session, [receipt])
            elif receipt.error is None:
                done.append(receipt)
                crash.point("renamed")
            else:
                doubtful.append((sent[receipt.parcel.delivery], receipt.error))
        crash.point("published")
        self._finish(session, done)
        for one, error in doubtful:
            self._settle_one(session, one, error)

    def _finish(self, session: Writer, done: Sequence[Receipt]) -> None:
        done = self._marked(session, [one for one in (self._verified(session, receipt) for receipt in done) if one is not None])
        crash.point("marked")
        pairs = [(self._dues[one.parcel.delivery], one) for one in done]
        if pairs:
            self._work.ledger.deliveries.delivered(self._claim.id, pairs, settle=self._settle)
            crash.point("delivered")
        for due, _ in pairs:
            self._hand.pop(due.id, None)
        self._done += len(pairs)
        self._work.told("delivered", len(pairs), sum(due.size for due, _ in pairs))

    def _verified(self, session: Writer, receipt: Receipt) -> Receipt | None:
        """The receipt with at least the level that the route wants: where the writer could not reach it, the file is read back."""
        parcel = receipt.parcel
        if receipt.verified.rank >= parcel.verify.rank:
            return receipt
        found = session.hash(parcel.name)
        if found == parcel.sha256:
            return replace(receipt, verified=Verify.READ_BACK)
        message = f"what is there under {parcel.name.text} is not what was sent (sha256 {found or 'of nothing'})"
        self._refused(parcel.delivery, Unreachable(message))
        return None

    def _marked(self, session: Writer, done: Sequence[Receipt]) -> list[Receipt]:
        """Write the marker objects that are asked for; a file whose marker fails is not delivered yet."""
        parcels = [parcel for one in done if (parcel := self._marker(session, one.parcel)) is not None]
        if not parcels:
            return list(done)
        failed: dict[int, TransloadError] = {}
        staged = []
        for put in session.stage(iter(parcels)):
            if put.error is None:
                staged.append(put)
            else:
                failed[put.parcel.delivery] = put.error
        crash.point("marking")
        failed |= {one.parcel.delivery: one.error for one in session.publish(staged) if one.error is not None}
        for number, error in failed.items():
            self._refused(number, error)
        return [one for one in done if one.parcel.delivery not in failed]

    def _marker(self, session: Writer, parcel: Parcel) -> Parcel | None:
        due = self._dues[parcel.delivery]
        template = self._targets[due.target].marker
        if template is None:
            return None
        name, key = marker(template, self._facts(due), parcel.name), key_of(parcel.delivery, self._claim.id)
        if parcel.key != key:
            # What an earlier try left is not gone on with: its server may still be holding it.
            session.sweep(f"{parcel.key}-m", name)
        return Parcel(parcel.delivery, f"{key}-m", name, "", 0, _EMPTY, replace=True)

    def _facts(self, due: Due) -> Facts:
        """What a marker's name may be made of; the same for every try."""
        groups = groups_of(self._route.source, due.source, due.path)
        return Facts(due.source, self._route.name, to_datetime(due.first_seen), due.modified, due.sha256, due.version, groups)

    def _settle_doubts(self, session: Writer) -> None:
        """Those that were staged when a try ended without a word: published or not, the destination tells."""
        doubts = [due for due in self._dues.values() if due.state is DeliveryState.STAGED]
        staged = []
        for due in doubts:
            self._hand[due.id] = due
            parcel = self._parcel(due)
            staged.append(Staged(replace(parcel, key=due.key or parcel.key), due.token or "", parcel.verify))
        if staged:
            self._publish_now(session, staged)

    def _settle_one(self, session: Writer, staged: Staged, error: TransloadError) -> None:
        """Publishing was refused: the file may be there already (ours), another may have the name, or the temporary one is gone."""
        parcel = staged.parcel
        due = self._dues[parcel.delivery]
        there = session.look(parcel.name)
        same = there is not None and there.size in (None, parcel.size) and session.hash(parcel.name) == parcel.sha256
        if same:
            session.sweep(parcel.key, parcel.name)
            self._finish(session, [Receipt(parcel, Verify.HASH)])
        elif isinstance(error, Missing) and due.state is DeliveryState.STAGED:
            # Neither the temporary file of that try nor the final one: it is put again.
            self._dues[due.id] = due._replace(state=DeliveryState.OWED)
        elif isinstance(error, Missing):
            message = f"its temporary file was gone before it was given the name {parcel.name.text}: does somebody take such files away?"
            self._refused(parcel.delivery, Transient(message))
        elif isinstance(error, Conflict) and there is not None:
            self._taken(session, staged, due)
        else:
            self._refused(parcel.delivery, error)

    def _taken(self, session: Writer, staged: Staged, due: Due) -> None:
        """A file that the ledger does not know has the name: the route's policy decides."""
        to = self._targets[due.target]
        parcel = staged.parcel
        session.sweep(parcel.key, parcel.name)
        if to.conflict == "version":
            name = self._work.ledger.deliveries.renamed(self._claim.id, due, lambda number: versioned(parcel.name, number))
            self._dues[due.id] = due._replace(name=name, state=DeliveryState.OWED)
            self._again(session, self._dues[due.id])
            return
        message = f"another file already has the name {parcel.name.text} at {self._claim.remote}"
        self._refused(due.id, Conflict(message))

    def _again(self, session: Writer, due: Due) -> None:
        self._dues[due.id] = due
        staged = [one for one in session.stage(self._parcels([due])) if one.error is None or self._refused(due.id, one.error)]
        self._publish(session, staged)

    def _refused(self, number: int, error: TransloadError) -> bool:
        due = self._dues[number]
        self._hand.pop(number, None)
        self._done += 1
        self._troubled([self._work.trouble(number, self._route, due.attempts, error)])
        return False

    def _troubled(self, troubles: Sequence[Trouble]) -> None:
        if troubles:
            self._work.ledger.deliveries.troubled(self._claim.id, troubles, settle=self._settle)


_EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
