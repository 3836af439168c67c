"""Progress for people: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

T = TypeVar("T")
LOG_INTERVAL_S = 10.0


def say(message: str) -> None:
    """One line on standard error, at once."""
    print(message, file=sys.stderr, flush=True)


def track(items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
    """Yields `items`; shows a rich bar on a terminal, else a line every ten seconds and at the end."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import track as bar

        yield from bar(items, description=label, total=total, console=Console(stderr=True))
        return
    begin = last = time.monotonic()
    done = 0
    for item in items:
        yield item
        done += 1
        now = time.monotonic()
        if now - last >= LOG_INTERVAL_S:
            last = now
            say(f"  {label}: {done}{f'/{total}' if total else ''} after {now - begin:.0f} s")
    say(f"  {label}: {done} in {time.monotonic() - begin:.1f} s")
