"""An ablation as a few small files that can lie in a repository: README.md, ablation.json, pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.core.files import write_json, write_text

PLACE = "pictures"
WIDEST = 1000
"""Longer side of a kept picture, px."""


def keep(result: Mapping[str, Any], pictures: Sequence[tuple[str, str, Path]], folder: Path) -> Path:
    """Writes the table, the words and the pictures into `folder`; returns the README.

    Args:
        result: what leaderboard.json holds.
        pictures: (title, explanation, file).
    """
    from PIL import Image

    kept = []
    for title, note, source in pictures:
        target = folder / PLACE / f"{source.stem}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(source) as picture:
            small = picture.convert("RGB")
        small.thumbnail((WIDEST, WIDEST), Image.Resampling.LANCZOS)
        small.save(target, "JPEG", quality=82, optimize=True)
        kept.append((title, note, f"{PLACE}/{target.name}"))
    write_json(
        folder / "ablation.json",
        {name: result[name] for name in ("ablation", "rows", "missing", "protocol")},
    )
    return write_text(folder / "README.md", markdown(result, kept))


def markdown(result: Mapping[str, Any], pictures: Sequence[tuple[str, str, str]]) -> str:
    """The ablation as Markdown; pictures: (title, explanation, path beside the text)."""
    ablation = result["ablation"]
    lines = [
        "# Ablations", "", result["lead"],
        "Written by `syncdreamer ablate` (`docs/comparison.md` says how); nothing is edited by hand.", "",
        "## What the differences say", "",
        *(f"- {each}" for each in ablation["words"]), "",
        "“Significant” means both: the interval of the difference, clips *and* trainings resampled, leaves "
        "out 0, and sign flips over clips do so after Holm over the whole table.", "",
        "## With and without", "",
        "| part | figure | without | with | difference | interval | p | reading |",
        "|---|---|--:|--:|--:|---|--:|---|",
    ]  # fmt: skip
    for row in ablation["rows"]:
        network = f" ({row['network']})" if row.get("network") else ""
        cells = (
            row["part"], row["title"] + network, row["without_shown"], row["with_shown"],
            row["difference_shown"], row["interval"], row["p_shown"], row["reading"],
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", f"{ablation['published']}", ""]
    if ablation["prompts"]:
        names = ablation["prompt_names"]
        lines += [
            "## Enhanced, manual and minimal prompts", "",
            "The same trainings, clips and noise; only the text differs.", "",
            f"| figure | {' | '.join(names)} | enhanced against minimal |",
            f"|---|{'--:|' * len(names)}---|",
            *(
                f"| {row['title']} | {' | '.join(row['cells'])} | {row['reading']} |"
                for row in ablation["prompts"]
            ),
            "",
        ]  # fmt: skip
    if pictures:
        lines += ["## Pictures", ""]
        for title, note, path in pictures:
            lines += [f"**{title}.** {note}", "", f"![{title}]({path})", ""]
    lines += ["## Protocol", ""]
    for name, value in result["protocol"].items():
        lines.append(f"- **{name.replace('_', ' ')}**: {_plain(value)}")
    return "\n".join(lines) + "\n"


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{name} {_plain(each)}" for name, each in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return str(value)
