"""Thresholds are a query: what others would keep and reject, from the scores of the manifest alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from components.core.errors import InputError
from components.curation.decide import REASONS, decide
from components.curation.params import Limits

if TYPE_CHECKING:
    import pandas as pd


def parsed(limits: Limits, changes: Sequence[str]) -> Limits:
    """`limits` with `name=value` applied.

    Raises:
        InputError: a name is unknown (the nearest is named) or a value is out of range.
    """
    import difflib

    import yaml
    from pydantic import ValidationError

    values: dict[str, Any] = limits.model_dump()
    for change in changes:
        name, equals, text = change.partition("=")
        if not equals or name not in values:
            near = difflib.get_close_matches(name, values, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known are: {', '.join(values)}"
            raise InputError(f"{change!r} is not name=value of a threshold{hint}")
        values[name] = yaml.safe_load(text)
    try:
        return Limits.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"{first['loc'][0]}: {first['msg']}") from error


def redecide(manifest: pd.DataFrame, audio: pd.Series, limits: Limits) -> pd.DataFrame:
    """The decision of every manifest row under `limits`; `audio` says by source whether sound is required.

    Duplicates stay what they are: which of two clips is the copy does not depend on a threshold, unless the
    one that is kept now would be rejected.
    """
    scores = manifest.assign(audio=manifest["source"].map(audio).fillna("required"))
    verdict = decide(scores, limits, manifest["repairs"].fillna("").str.startswith("readmitted"))
    copies = (manifest["duplicate_of"].notna() & (verdict["decision"] == "keep")).to_numpy()
    verdict.loc[copies, ["decision", "reasons"]] = ["reject", "duplicate"]
    return verdict


def compare(
    manifest: pd.DataFrame, inventory: pd.DataFrame, now: Limits, then: Limits, show: int
) -> list[str]:
    """Lines about what changes between two sets of thresholds."""
    audio = inventory.drop_duplicates("source").set_index("source")["audio"]
    before, after = redecide(manifest, audio, now), redecide(manifest, audio, then)
    minutes = manifest["duration"].fillna(0) / 60

    def kept(verdict: pd.DataFrame) -> str:
        keep = verdict["decision"] == "keep"
        return f"{int(keep.sum())} of {len(verdict)} clips, {minutes[keep].sum():.1f} min"

    lines = [f"kept now:  {kept(before)}", f"kept then: {kept(after)}"]
    first, second = (each["reasons"].str.split(";").explode().value_counts() for each in (before, after))
    for reason in REASONS:
        one, two = int(first.get(reason, 0)), int(second.get(reason, 0))
        if one != two:
            lines.append(f"  {reason}: {one} → {two}")
    changed = (before["decision"] != after["decision"]).to_numpy()
    rows, verdicts = manifest[changed].head(show), after[changed].head(show)
    for name, file, decision, reasons in zip(
        rows["clip_id"], rows["file"], verdicts["decision"], verdicts["reasons"], strict=True
    ):
        lines.append(f"  {name}  {decision:6}  {reasons or '-'}  {file}")
    return lines
