"""One promotion at a time, across checkouts and machines that share a tracking server.

A file lock holds back other processes of this checkout. Between checkouts the registry itself decides: the
name of a registered model is unique, so of two that make `syncdreamer-promotion-lock-000007` exactly one
succeeds. The highest number is the lock; its tags say who holds it, until when, and whether it was released.
A holder that died is outlived after `LEASE_S`. Numbers only grow: a late process that makes an old number
anew sees the higher one and gives way.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from components.core.errors import TemporaryFailure
from components.tracking.ledger import Ledger
from components.tracking.runs import Tracker
from components.tracking.store import told

PREFIX = "syncdreamer-promotion-lock-"
LEASE_S = 300.0
"""A promotion takes seconds; longer than this its holder is taken for dead."""
WAIT_S = 120.0
POLL_S = 0.5


@contextmanager
def exclusive(tracker: Tracker, ledger: Ledger, wait_s: float = WAIT_S) -> Iterator[None]:
    """Holds the ledger and the aliases for one writer, here and elsewhere.

    Raises:
        TemporaryFailure: another one held them for longer than `wait_s`; the message says who.
    """
    with ledger.locked():
        number = _acquire(tracker, wait_s)
        try:
            yield
        finally:
            with told():
                tracker.client.set_registered_model_tag(_name(number), "released", "true")


def _name(number: int) -> str:
    return f"{PREFIX}{number:06d}"


def _acquire(tracker: Tracker, wait_s: float) -> int:
    from mlflow.exceptions import MlflowException

    owner = f"{socket.gethostname()}:{os.getpid()}"
    end = time.monotonic() + wait_s
    while True:
        locks = _locks(tracker)
        last = max(locks, default=0)
        tags = locks.get(last, {})
        free = not tags or tags.get("released") or float(tags.get("until", 0)) < time.time()
        if free:
            wanted = {"owner": owner, "until": f"{time.time() + LEASE_S:.0f}"}
            try:
                tracker.client.create_registered_model(
                    _name(last + 1), wanted, "Holds back other promotions; no model. Do not delete."
                )
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            else:
                now = _locks(tracker)
                if max(now) == last + 1:
                    _clear(tracker, [number for number in now if number <= last])
                    return last + 1
                _clear(tracker, [last + 1])
        if time.monotonic() > end:
            raise TemporaryFailure(f"another promotion is under way, held by {tags.get('owner')}; try again")
        if not free:
            time.sleep(POLL_S)


def _locks(tracker: Tracker) -> dict[int, dict[str, str]]:
    with told():
        found = tracker.client.search_registered_models(f"name LIKE '{PREFIX}%'")
    return {int(model.name.removeprefix(PREFIX)): dict(model.tags) for model in found}


def _clear(tracker: Tracker, numbers: list[int]) -> None:
    """Removes locks; another process may have removed them already."""
    from mlflow.exceptions import MlflowException

    for number in numbers:
        with suppress(MlflowException):
            tracker.client.delete_registered_model(_name(number))
