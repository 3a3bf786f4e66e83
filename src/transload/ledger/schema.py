"""The ledger's tables: one row per arrival and delivery, and an event for every change of state.

Times are microseconds since 1970 in UTC; names are raw bytes; every other text is safe to show.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    literal_column,
    text,
)

# SQLite counts rows only in a column of type INTEGER; PostgreSQL wants the wide one.
IDENTITY = BigInteger().with_variant(Integer, "sqlite")

tables = MetaData()

arrivals = Table(
    "arrivals",
    tables,
    Column("id", IDENTITY, primary_key=True),
    Column("route", String, nullable=False),
    Column("source", String, nullable=False),
    Column("path", LargeBinary, nullable=False),
    Column("version", Integer, nullable=False, server_default="1"),
    Column("folder", String, nullable=False, server_default=""),
    Column("link", Text),
    Column("text", Text, nullable=False),
    Column("state", String, nullable=False),
    Column("reason", Text),
    Column("size", BigInteger),
    Column("modified", BigInteger),
    Column("precision", Float, nullable=False, server_default="1"),
    Column("etag", Text),
    Column("sha256", String),
    Column("same_as", BigInteger),
    Column("node", String),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("next_try", BigInteger),
    Column("deaths", Integer, nullable=False, server_default="0"),
    Column("claim", BigInteger),
    Column("settle", String, nullable=False, server_default="none"),
    Column("settle_claim", BigInteger),
    Column("first_seen", BigInteger, nullable=False),
    Column("updated", BigInteger, nullable=False),
    Column("upload", BigInteger),
    Column("parent", BigInteger),
    Column("recipe", String),
    UniqueConstraint("path", "route", "source", "version", name="arrivals_identity"),
    sqlite_autoincrement=True,
)
"""One version of one file. `text` is the path's safe spelling, `link` what to fetch if not the path, `same_as` an
earlier arrival with the same bytes, `node` where the bytes lie, `deaths` how often a process died with it in hand, `upload`
which upload to our own servers it was, `parent` the arrival that it was made of, `recipe` the steps that it was received under."""

Index("arrivals_claim", arrivals.c.claim, sqlite_where=arrivals.c.claim.is_not(None), postgresql_where=arrivals.c.claim.is_not(None))
unsettled = arrivals.c.settle.in_((literal_column("'owed'"), literal_column("'begun'")))
Index("arrivals_settling", arrivals.c.route, arrivals.c.id, sqlite_where=unsettled, postgresql_where=unsettled)
Index(
    "arrivals_settle_claim",
    arrivals.c.settle_claim,
    sqlite_where=arrivals.c.settle_claim.is_not(None),
    postgresql_where=arrivals.c.settle_claim.is_not(None),
)
Index(
    "arrivals_bytes",
    arrivals.c.sha256,
    arrivals.c.same_as,
    sqlite_where=arrivals.c.sha256.is_not(None),
    postgresql_where=arrivals.c.sha256.is_not(None),
)
Index("arrivals_parent", arrivals.c.parent, sqlite_where=arrivals.c.parent.is_not(None), postgresql_where=arrivals.c.parent.is_not(None))
Index("arrivals_by_state", arrivals.c.state, arrivals.c.route, arrivals.c.id)
Index("arrivals_by_text", arrivals.c.text)
_kept_waiting = text("state = 'received' and reason is not null")
Index("arrivals_waiting", arrivals.c.route, arrivals.c.id, sqlite_where=_kept_waiting, postgresql_where=_kept_waiting)

known = Table(
    "known",
    tables,
    Column("route", String, primary_key=True),
    Column("source", String, primary_key=True),
    Column("path", LargeBinary, primary_key=True),
    Column("arrival", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),
    Column("taken", Boolean, nullable=False),
    Column("size", BigInteger),
    Column("modified", BigInteger),
    Column("precision", Float, nullable=False),
    Column("etag", Text),
    sqlite_with_rowid=False,
)
"""What the last look at a source remembers: the latest version of each path. `taken` once its bytes were received or it was
skipped for good; a settled (removed, moved) path is forgotten here, so that a new file of that name is new."""

deliveries = Table(
    "deliveries",
    tables,
    Column("id", IDENTITY, primary_key=True),
    Column("arrival", BigInteger, nullable=False),
    Column("target", String, nullable=False),
    Column("route", String, nullable=False),
    Column("remote", String, nullable=False),
    Column("name", LargeBinary, nullable=False),
    Column("text", Text, nullable=False),
    Column("required", Boolean, nullable=False),
    Column("state", String, nullable=False),
    Column("reason", Text),
    Column("replace", Boolean, nullable=False, server_default="0"),
    Column("verified", String),
    Column("etag", Text),
    Column("token", Text),
    Column("key", String),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("next_try", BigInteger),
    Column("deaths", Integer, nullable=False, server_default="0"),
    Column("claim", BigInteger),
    Column("tried", BigInteger),
    Column("updated", BigInteger, nullable=False),
    UniqueConstraint("arrival", "target", name="deliveries_identity"),
)
"""One arrival owed to one remote. `token` and `key` are what the last staging left, to settle a doubt with; `tried` is the
claim of a try that ended badly and may have left a temporary file."""

# SQLite takes a partial index only for a condition with the very words of it, not with parameters: these are to be used.
still_open = deliveries.c.state.in_((literal_column("'owed'"), literal_column("'staged'")))
Index("deliveries_open", deliveries.c.route, deliveries.c.remote, deliveries.c.id, sqlite_where=still_open, postgresql_where=still_open)
_first = text("state in ('owed', 'staged') and replace")
Index("deliveries_first", deliveries.c.remote, deliveries.c.name, deliveries.c.id, sqlite_where=_first, postgresql_where=_first)
has_failed = deliveries.c.state == literal_column("'failed'")
Index("deliveries_failed", deliveries.c.route, deliveries.c.arrival, sqlite_where=has_failed, postgresql_where=has_failed)
Index(
    "deliveries_claim", deliveries.c.claim, sqlite_where=deliveries.c.claim.is_not(None), postgresql_where=deliveries.c.claim.is_not(None)
)

names = Table(
    "names",
    tables,
    Column("remote", String, primary_key=True),
    Column("name", LargeBinary, primary_key=True),
    Column("arrival", BigInteger, nullable=False),
    Column("target", String, nullable=False),
    sqlite_with_rowid=False,
)
"""Which arrival (0: a file that is not ours) holds which name at which destination: claimed when a delivery is owed, so that two
never write one name."""

events = Table(
    "events",
    tables,
    Column("id", IDENTITY, primary_key=True),
    Column("arrival", BigInteger, nullable=False),
    Column("target", String),
    Column("at", BigInteger, nullable=False),
    Column("what", String, nullable=False),
    Column("detail", Text),
    Index("events_of", "arrival", "id"),
)
"""Every change of state, appended and never edited."""

_bad = text("what in ('failed', 'quarantined', 'infected')")
Index("events_bad", events.c.at, events.c.id, sqlite_where=_bad, postgresql_where=_bad)

claims = Table(
    "claims",
    tables,
    Column("id", IDENTITY, primary_key=True),
    Column("kind", String, nullable=False),
    Column("route", String, nullable=False),
    Column("remote", String, nullable=False),
    Column("worker", String, nullable=False),
    Column("begun", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)
"""A batch in a worker's hands; gone when it is done. Its number fences off zombies, so it is never used twice."""

passes = Table(
    "passes",
    tables,
    Column("route", String, primary_key=True),
    Column("paused", Boolean, nullable=False, server_default="0"),
    Column("next_run", BigInteger),
    Column("claim", BigInteger),
    Column("asked", BigInteger),
    Column("started", BigInteger),
    Column("ended", BigInteger),
    Column("seen", BigInteger, nullable=False, server_default="0"),
    Column("wanted", BigInteger, nullable=False, server_default="0"),
    Column("note", Text),
    Column("error", Text),
)
"""A route's looks at its source: when the next is due, who is at it, what the last one found. `asked` is a look asked for by hand."""

remotes = Table(
    "remotes",
    tables,
    Column("name", String, primary_key=True),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("next_try", BigInteger),
    Column("since", BigInteger),
    Column("reason", Text),
)
"""A remote that cannot be reached at present, and when it is tried again."""

workers = Table(
    "workers",
    tables,
    Column("id", String, primary_key=True),
    Column("node", String, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("host", String, nullable=False),
    Column("role", String, nullable=False),
    Column("started", BigInteger, nullable=False),
    Column("beat", BigInteger, nullable=False),
)
"""Every live process; the row goes with it, or is taken away by the one that finds it dead."""

audit = Table(
    "audit",
    tables,
    Column("id", IDENTITY, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("who", String, nullable=False),
    Column("what", String, nullable=False),
    Column("subject", Text, nullable=False),
    Column("reason", Text),
)
"""What people did by hand: pause, skip, retry, adopt."""

uploads = Table(
    "uploads",
    tables,
    Column("id", IDENTITY, primary_key=True),
    Column("user", String, nullable=False),
    Column("path", LargeBinary, nullable=False),
    Column("text", Text, nullable=False),
    Column("state", String, nullable=False),
    Column("reason", Text),
    Column("size", BigInteger, nullable=False),
    Column("modified", BigInteger),
    Column("sha256", String, nullable=False),
    Column("node", String, nullable=False),
    Column("taken", Boolean, nullable=False, server_default="0"),
    Column("judge", BigInteger),
    Column("protocol", String, nullable=False),
    Column("client", String, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("updated", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)
"""Every whole file that a client of our servers was told "yes" for. `state` is here (in the user's home under `path`) or gone; `taken`
once a route made an arrival of it, else `reason` says why none did yet, and `judge` when it is to be judged anew."""

is_here = uploads.c.state == literal_column("'here'")
Index("uploads_here", uploads.c.user, uploads.c.path, unique=True, sqlite_where=is_here, postgresql_where=is_here)
is_untaken = text("state = 'here' and not taken")
Index("uploads_untaken", uploads.c.sha256, sqlite_where=is_untaken, postgresql_where=is_untaken)

users = Table(
    "users",
    tables,
    Column("name", String, primary_key=True),
    Column("account", Text, nullable=False),
    Column("changed", BigInteger, nullable=False),
)
"""Who may come in by our servers: the account as JSON (its password only as a hash), and when it was last changed."""

bans = Table(
    "bans",
    tables,
    Column("address", String, primary_key=True),
    Column("strikes", Integer, nullable=False),
    Column("last", BigInteger, nullable=False),
    Column("until", BigInteger),
    Column("reason", Text),
)
"""Addresses from which wrong logins came: how many in a row, and until when they are refused."""
