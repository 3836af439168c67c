"""What a gate found, and the table of rows that broke an expectation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from components.core.files import read_json
from components.core.params import Params

if TYPE_CHECKING:
    import pandas as pd

Status = Literal["pass", "warn", "fail"]
QUARANTINE_COLUMNS = ("clip_id", "rule", "value", "allowed", "file")
SHOWN_CLIPS = 5
SHOWN_LENGTH = 24


class Row(Params):
    """A row that broke an expectation, and the value that did."""

    clip_id: str
    value: str

    def told(self) -> str:
        """The clip, with its value if that is short enough to read."""
        return f"{self.clip_id} ({self.value})" if 0 < len(self.value) <= SHOWN_LENGTH else self.clip_id


class Finding(Params):
    """One expectation's outcome.

    observed: share of failing rows in [0, 1]; for an absolute check the figure or the number of rows
        itself (None: not there). warn, fail: the largest shares allowed; for an absolute check the bounds
        are told in `allowed`.
    n: rows looked at; failed: rows that broke it; first: the first of them.
    """

    name: str
    expectation: str
    table: str
    column: str | None
    observed: float | None
    warn: float | None
    fail: float | None
    allowed: str
    status: Status
    n: int
    failed: int
    first: tuple[Row, ...] = ()
    problem: str = ""

    def told(self) -> str:
        """One line for people: expectation, observed, allowed, first offenders."""
        where = f" on {self.column}" if self.column else ""
        text = f"{self.name} ({self.expectation}{where}): "
        if self.problem:
            return text + self.problem
        if self.fail is None:
            shown = "nothing" if self.observed is None else f"{self.observed:.4g}"
            return text + f"observed {shown}, allowed {self.allowed}"
        text += f"observed {self.observed or 0:.1%} of {self.n} rows failing, allowed {self.fail:.1%}"
        return text + (f"; first: {', '.join(row.told() for row in self.first)}" if self.first else "")


class Verdict(Params):
    """A gate's decision. `passed` is False exactly when an expectation has failed.

    subjects: judged file (relative to the workspace) → its SHA-256.
    quarantine: the table of failing rows, relative to the workspace; quarantined: its number of clips.
    """

    schema_version: int = 1
    gate: str
    passed: bool
    expectations: tuple[Finding, ...]
    subjects: dict[str, str]
    quarantine: str
    quarantined: int

    @property
    def failures(self) -> tuple[Finding, ...]:
        """The findings that stop the pipeline."""
        return tuple(f for f in self.expectations if f.status == "fail")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings beyond their warn rate only."""
        return tuple(f for f in self.expectations if f.status == "warn")

    def refusal(self) -> str:
        """The message of the refusal."""
        lines = [
            f"gate {self.gate} refused: {len(self.failures)} of {len(self.expectations)} expectations "
            f"failed; quarantine table: {self.quarantine} ({self.quarantined} clips)"
        ]
        return "\n".join(lines + [f"  {finding.told()}" for finding in self.failures])


def read_verdict(path: Path) -> Verdict:
    """Reads artifacts/gates/<name>/verdict.json.

    Raises:
        InputError: the file is missing or is not JSON.
    """
    return Verdict.model_validate(read_json(path))


def first_rows(table: pd.DataFrame, mask: pd.Series | None, column: str | None) -> tuple[Row, ...]:
    """The first failing rows that belong to a clip."""
    if mask is None or "clip_id" not in table:
        return ()
    rows = table.loc[mask].head(SHOWN_CLIPS)
    values = rows[column] if column in rows else rows["clip_id"].map(lambda _: "")
    ids = rows["clip_id"]
    return tuple(
        Row(clip_id=str(clip), value="" if column == "clip_id" else _short(value))
        for clip, value in zip(ids, values, strict=True)
    )


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def quarantine_rows(
    rule: str, table: pd.DataFrame, mask: pd.Series, column: str | None, allowed: str
) -> pd.DataFrame:
    """The failing rows of one rule, as strings: clip_id, rule, value, allowed, file."""
    import pandas as pd

    rows = table.loc[mask]
    size = len(rows)

    def text(name: str | None) -> pd.Series:
        if name is None or name not in rows:
            return pd.Series([""] * size, dtype="string")
        return rows[name].astype("string").fillna("").reset_index(drop=True)

    constant = {"rule": rule, "allowed": allowed}
    parts = {"clip_id": text("clip_id"), "value": text(column), "file": text("file")}
    parts |= {name: pd.Series([value] * size, dtype="string") for name, value in constant.items()}
    return pd.DataFrame(parts)[list(QUARANTINE_COLUMNS)]
