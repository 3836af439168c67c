"""Errors that are meant for the person who reads them, each with the exit status of the command.

Exit statuses: 1 unexpected failure, 2 bad input or parameters, 3 a gate refused, 75 temporary (worth a
retry; `EX_TEMPFAIL` of sysexits.h), 124 out of time.
"""

from __future__ import annotations

EXIT_FAILURE = 1
EXIT_INPUT = 2
EXIT_GATE = 3
EXIT_TEMPORARY = 75
EXIT_TIMEOUT = 124


class SyncDreamerError(Exception):
    """A failure that is told in one line: what was wrong, where, what to do."""

    exit_code = EXIT_FAILURE


class InputError(SyncDreamerError):
    """The input or a parameter is wrong; running again without a change fails again."""

    exit_code = EXIT_INPUT


class GateRefused(SyncDreamerError):
    """A data or quality gate said no; never retried."""

    exit_code = EXIT_GATE


class TemporaryFailure(SyncDreamerError):
    """A service was away or throttled; the same call may succeed later."""

    exit_code = EXIT_TEMPORARY
