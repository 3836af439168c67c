"""How well curation's decisions agree with a generated corpus's truth (used by tests and benchmarks)."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from components.core.files import read_json, read_parquet
from components.core.paths import Workspace

OFFSET_SLACK = 1


@dataclass
class Accuracy:
    """Rates in 0 … 1; `wrong` tells each clip that did not get what was expected."""

    clean: float = 0.0
    faulty: float = 0.0
    kinds: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    offsets: float = 0.0
    offsets_judged: int = 0
    framing: float = 0.0
    leaked_people: int = 0
    shared_people: int = 0
    wrong: list[str] = field(default_factory=list)

    def told(self) -> str:
        """All of it in a few lines."""
        kinds = ", ".join(f"{kind} {rate:.2f} ({self.counts[kind]})" for kind, rate in self.kinds.items())
        lines = [
            f"clean {self.clean:.3f} ({self.counts['clean']}), faulty {self.faulty:.3f} "
            f"({self.counts['faulty']}); offsets within ±{OFFSET_SLACK} frame {self.offsets:.3f} "
            f"({self.offsets_judged}); framing {self.framing:.3f}; "
            f"people in test and another split {self.leaked_people}, in training and validation "
            f"{self.shared_people}",
            f"kinds: {kinds}",
        ]
        return "\n".join([*lines, *self.wrong])


def judge(workspace: Workspace) -> Accuracy:
    """Compares artifacts/curate/manifest.parquet with data/raw/truth.

    A rejected clip is right if the expected reason is among its reasons, a repaired one if the expected
    repair is; the duplicate of a pair may be either of the two.
    """
    table = read_parquet(workspace.artifacts("curate", "manifest.parquet"))
    by_file = dict(list(table.groupby("file")))
    right: dict[str, list[bool]] = defaultdict(list)
    framings, offsets = [], []
    found = Accuracy()
    splits: dict[object, set[str]] = defaultdict(set)
    for path in sorted(Path(workspace.truth).glob("*.json")):
        truth = read_json(path)
        rows = by_file[truth["file"]]
        outcome, reason = truth["expected"]["outcome"], truth["expected"]["reason"]
        kind = truth["fault"] or "clean"
        outcomes = set(rows["outcome"])
        told = ";".join([*rows["reasons"].fillna(""), *rows["repairs"].fillna("")]).split(";")
        good = outcomes == {outcome} and (kind in ("clean", "hard_cut") or reason in told)
        if kind == "hard_cut":
            good = good and len(rows) == 2
        right[kind].append(good)
        if not good:
            got = f"{'/'.join(sorted(outcomes))} {';'.join(filter(None, told))}"
            found.wrong.append(f"  {truth['file']}: {kind}, expected {outcome} {reason}, got {got}")
        kept = rows[rows["decision"] == "keep"]
        if len(kept) and truth.get("person") is not None:
            splits[truth["person"]] |= set(kept["split"])
        if kind in ("clean", "offset") and len(kept) == 1:
            row = kept.iloc[0]
            framings.append(row["framing"] == truth["framing"])
            planted = -truth["fault_details"]["offset_frames"] if kind == "offset" else 0
            if row["sync_confidence"] == row["sync_confidence"]:
                off = abs(row["sync_offset"] - planted) <= OFFSET_SLACK
                offsets.append(off)
                if not off:
                    found.wrong.append(f"  {truth['file']}: offset {row['sync_offset']}, planted {planted}")
            if not framings[-1]:
                found.wrong.append(f"  {truth['file']}: {row['framing']}, truth {truth['framing']}")
    faulty = [one for kind, each in right.items() if kind != "clean" for one in each]
    found.clean, found.faulty = rate(right["clean"]), rate(faulty)
    found.kinds = {kind: rate(each) for kind, each in sorted(right.items()) if kind != "clean"}
    found.counts = {kind: len(each) for kind, each in right.items()} | {"faulty": len(faulty)}
    found.offsets, found.offsets_judged = rate(offsets), len(offsets)
    found.framing = rate(framings)
    found.leaked_people = sum("test" in each and len(each) > 1 for each in splits.values())
    found.shared_people = sum({"train", "val"} <= each for each in splits.values())
    return found


def rate(values: list[bool]) -> float:
    """The share of true values; 1 of none."""
    return sum(values) / len(values) if values else 1.0
