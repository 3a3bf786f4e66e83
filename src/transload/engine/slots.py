"""Slots: a limit per remote that holds over all workers, by DBOS's partitioned queues. What lies in its tables may be lost."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

from dbos import DBOS, DBOSClient, DBOSConfig, SetEnqueueOptions, SetWorkflowID
from dbos import Serializer as DbosSerializer
from sqlalchemy import Engine, create_engine, event

from transload.ledger.database import FROZEN, set_pragma

_LIVE = ["ENQUEUED", "PENDING"]
_NAME = "transload"
_VERSION = "transload-1"
_POLL, _REST = 0.05, 1.0
"""Seconds between two looks into a queue, while there is work and after."""


class Json(DbosSerializer):
    """Plain JSON: nothing in the queue's tables is ever executed."""

    def serialize(self, data: Any) -> str:
        return json.dumps(data, default=str)

    def deserialize(cls, serialized_data: str) -> Any:  # noqa: N805
        return json.loads(serialized_data)

    def name(self) -> str:
        return "transload_json"


_serve: Callable[[str], None] | None = None


@DBOS.workflow(name="serve")
def serve(remote: str) -> None:
    """Hold one slot of `remote` and work there, batch after batch, until nothing is due or its time is up."""
    if _serve is not None:
        _serve(remote)


class Slots:
    """The queue side of one worker process."""

    def __init__(
        self,
        url: str,
        worker: str,
        connections: Mapping[str, int],
        work: Callable[[str], None],
        *,
        threads: int,
    ) -> None:
        """Join the queues at `url`; `work` is called in a thread for every slot that this process gets."""
        global _serve  # noqa: PLW0603
        _serve = work
        logging.getLogger("dbos").setLevel(logging.ERROR)
        config: DBOSConfig = {
            "name": _NAME,
            "system_database_url": url,
            "executor_id": worker,
            "application_version": _VERSION,
            "serializer": Json(),
            "log_level": "ERROR",
            "console_log_level": "ERROR",
            "max_executor_threads": threads,
            "use_listen_notify": False,
            "sys_db_idle_transaction_timeout_sec": FROZEN,
            "notification_listener_polling_interval_sec": 0.25,
        }
        self._engine = _local(url) if url.startswith("sqlite") else None
        if self._engine is not None:
            config["system_database_engine"] = self._engine
        self._connections = connections
        self._threads = threads
        # Queues that are made after the launch are served up to a second later, so they are made before it.
        DBOS.migrate(url)
        client = DBOSClient(system_database_url=url, serializer=Json(), application_name=_NAME)
        for count in sorted(set(connections.values())):
            client.register_queue(_queue(count), **self._limits(count))
        client.destroy()
        DBOS(config=config)
        DBOS.launch()

    def limit(self, connections: Mapping[str, int]) -> None:
        """How many slots each remote has; one queue per number, as a queue has one limit for all its partitions."""
        for count in sorted(set(connections.values()) - set(self._connections.values())):
            DBOS.register_queue(_queue(count), **self._limits(count))
        self._connections = connections

    def pace(self, *, quick: bool) -> None:
        """Have all workers look into the queues often, or seldom: a look costs as much where there is nothing."""
        seconds = _POLL if quick else _REST
        for count in set(self._connections.values()):
            queue = DBOS.retrieve_queue(_queue(count))
            if queue is not None and queue.polling_interval_sec != seconds:
                queue.set_polling_interval_sec(seconds)

    def _limits(self, count: int) -> dict[str, Any]:
        workers = max(self._threads, count)
        return {
            "partition_concurrency": count,
            "worker_concurrency": workers,
            "polling_interval_sec": _POLL,
            "on_conflict": "always_update",
        }

    def live(self) -> tuple[dict[str, int], dict[str, list[str]]]:
        """How many slots are waiting or at work for each remote, and by which worker the working ones are held."""
        waiting: dict[str, int] = {}
        held: dict[str, list[str]] = {}
        for status in DBOS.list_workflows(status=_LIVE, name="serve", load_input=False, load_output=False):
            remote = status.queue_partition_key or ""
            waiting[remote] = waiting.get(remote, 0) + 1
            if status.status == "PENDING":
                held.setdefault(status.executor_id or "", []).append(status.workflow_id)
        return waiting, held

    def ask(self, remote: str, count: int) -> None:
        """Have `count` more slots of `remote` served, by whichever worker is free."""
        for _ in range(count):
            with SetWorkflowID(str(uuid4())), SetEnqueueOptions(queue_partition_key=remote):
                DBOS.enqueue_workflow(_queue(self._connections[remote]), serve, remote)

    def free(self, workflows: list[str]) -> None:
        """Give back the slots of dead workers."""
        DBOS.cancel_workflows(workflows)

    def forget(self) -> None:
        """Throw away what is remembered of slots that ended."""
        done = DBOS.list_workflows(status=["SUCCESS", "ERROR", "CANCELLED"], name="serve", load_input=False, load_output=False, limit=10000)
        if done:
            DBOS.delete_workflows([status.workflow_id for status in done])

    def close(self) -> None:
        """Leave the queues; the calling process has seen to it that no slot of its own is at work."""
        DBOS.destroy(workflow_completion_timeout_sec=0)
        if self._engine is not None:
            self._engine.dispose()


def _local(url: str) -> Engine:
    """An engine whose loss costs nothing: no sync per commit, as the ledger is what counts."""
    engine = create_engine(url, connect_args={"timeout": 30})

    @event.listens_for(engine, "connect")
    def _settings(connection: Any, _record: Any) -> None:
        for pragma in ("journal_mode=wal", "synchronous=normal"):
            set_pragma(connection, pragma)

    return engine


def _queue(connections: int) -> str:
    return f"remotes-{connections}"
