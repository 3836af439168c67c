"""Model cards and data cards, written at registration from what was measured; they travel with the model.

Nothing here is prose about a model in general: every line is a fact of this version, its data or its gates.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.core.files import read_parquet, write_text
from components.core.paths import Workspace
from components.tracking.registry import AVATAR, ENHANCER, find_pair
from components.tracking.runs import Tracker
from components.tracking.store import told

if TYPE_CHECKING:
    import pandas as pd

    from components.tracking.registry import Pair

FOLDER = "cards"
CARD_TAG = "card"
LONGEST_DESCRIPTION = 5000
TITLES = {AVATAR: "SyncDreamer avatar generator", ENHANCER: "SyncDreamer prompt enhancer"}
USES = {
    AVATAR: "One reference portrait, speech and a text become a talking video with that speech.",
    ENHANCER: "A portrait and a short instruction become the detailed text that the generator follows.",
}
LIMITS = {
    AVATAR: (
        "Only for people who agreed to be shown. Every file that `syncdreamer generate` writes bears signed "
        "content credentials that say AI-generated.",
        "Learnt from the clips of the data card and from nothing else: faces, voices, framings and light "
        "that are rare there are untested.",
    ),
    ENHANCER: (
        "Its reward came from a judge network; it is no measure of what people prefer.",
        "Actions outside the training vocabulary are copied or dropped.",
    ),
}


def model_card(name: str, version: str, pair: Pair, facts: Mapping[str, Any]) -> str:
    """Markdown: what it is for, what it was made from, how it did, and with which networks that was measured.

    facts: what lineage noted (data, git, lock, params, parents).
    """
    other = next(n for n in TITLES if n != name)
    lines = [
        f"# {TITLES[name]}, version {version}",
        "",
        USES[name],
        "",
        "| | |",
        "|---|---|",
        f"| content (SHA-256) | `{pair.digests[name]}` |",
        f"| belongs with | {other} {pair.versions[other]} (pair `{pair.id}`) |",
        f"| code | `{facts.get('git') or 'no git revision'}` |",
        f"| data | `{facts.get('data') or 'not tracked'}`, see the data card |",
        f"| dvc.lock (SHA-256) | `{facts.get('lock') or 'none'}` |",
        f"| training run | `{facts.get('run_id') or pair.run_id}` |",
        "",
        "## Figures",
        "",
        f"Measured on the frozen set `{pair.frozen or 'not named'}`; 95% bootstrap intervals over clips. "
        "A figure of a stand-in network bears its name and digest, never the official metric's.",
        "",
        "| metric | value | interval | n | network |",
        "|---|---|---|---|---|",
    ]
    for metric, figure in pair.metrics.items():
        low, high = figure.get("low"), figure.get("high")
        span = f"{_shown(low)} … {_shown(high)}" if low is not None else ""
        cells = (
            metric,
            _shown(figure.get("value")),
            span,
            _shown(figure.get("n")),
            figure.get("network") or "",
        )
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "## Gates", "", "| gate | passed |", "|---|---|"]
    lines += [f"| {gate} | {'yes' if passed else 'no'} |" for gate, passed in pair.gates.items()]
    lines += ["", "## Limits", "", *(f"- {limit}" for limit in LIMITS[name])]
    parents = facts.get("parents") or {}
    if parents:
        lines += ["", "## Made from", "", "| stage | output (DVC md5) |", "|---|---|"]
        lines += [f"| {stage} | `{digest}` |" for stage, digest in parents.items()]
    return "\n".join(lines) + "\n"


def data_card(workspace: Workspace, data: str, withdrawn: int) -> str:
    """Markdown about the clips that the models of this workspace learnt from, from the manifest.

    data: DVC's digest of data/raw. withdrawn: tombstones that were heeded.

    Raises:
        InputError: the manifest is missing.
    """
    table = read_parquet(workspace.artifacts("curate", "manifest.parquet"))
    kept = table[table["decision"] == "keep"]
    lines = [
        "# Data card",
        "",
        f"Revision `{data or 'not tracked'}` of data/raw; {len(table)} clips looked at, {len(kept)} kept "
        f"({float(kept['duration'].sum()) / 60:.1f} minutes), {kept['identity'].nunique()} people, "
        f"{withdrawn} withdrawals heeded (tombstones.jsonl).",
        "",
        "People are told apart by a face model; their names here are labels, not names. Splits are by person "
        "and by recording: nobody in test was trained on.",
        "",
        *_counts("Sources", kept, ["source", "licence", "consent"]),
        *_counts("Splits", kept, ["split"]),
        *_counts("Framings", kept, ["framing"]),
        *_counts("Delivery", kept, ["delivery"]),
    ]
    reasons = table.loc[table["decision"] != "keep", "reasons"].fillna("").str.split(";").explode()
    lines += ["## Rejected", "", "| reason | clips |", "|---|---|"]
    lines += [f"| {reason} | {count} |" for reason, count in reasons[reasons != ""].value_counts().items()]
    return "\n".join(lines) + "\n"


def _counts(title: str, table: pd.DataFrame, columns: Sequence[str]) -> list[str]:
    heads = [*columns, "clips", "people", "minutes"]
    lines = [f"## {title}", "", f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for key, rows in table.groupby(list(columns), sort=True, dropna=False):
        people, minutes = rows["identity"].nunique(), float(rows["duration"].sum()) / 60
        lines.append(f"| {' | '.join(map(str, key))} | {len(rows)} | {people} | {minutes:.1f} |")
    return [*lines, ""]


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def write_cards(
    tracker: Tracker, versions: Mapping[str, str], facts: Mapping[str, Mapping[str, Any]], withdrawn: int = 0
) -> dict[str, str]:
    """Writes both cards beside each registered model and as the version's description; name → model card.

    The cards lie in the logged model itself (`cards/` beside MLmodel), so whoever downloads the model has
    them. They are written again when the evidence changed.
    """
    pair = find_pair(tracker, versions)
    data = str(facts[AVATAR].get("data", ""))
    about = data_card(tracker.workspace, data, withdrawn)
    written = {}
    for name, version in versions.items():
        card = model_card(name, str(version), pair, facts[name])
        with told(), tempfile.TemporaryDirectory(prefix="syncdreamer-cards-") as folder:
            write_text(Path(folder) / "MODEL_CARD.md", card)
            write_text(Path(folder) / "DATA_CARD.md", about)
            model_id = tracker.client.get_model_version(name, str(version)).tags.get("model_id", "")
            tracker.client.log_model_artifacts(model_id, folder, FOLDER)
            tracker.client.update_model_version(name, str(version), description=card[:LONGEST_DESCRIPTION])
        written[name] = card
    return written
