"""The leaderboard as one self-contained page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.core.files import write_text
from components.evaluation.comparison.catalogue import FIGURES, GROUPS, REFERENCE_ROWS, entry_of
from components.evaluation.comparison.scoring import Scored
from components.evaluation.report import figures, published
from components.evaluation.report.media import data_uri, encode

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SHOWN = 6
"""Cases with players: one a kind as far as there are."""
SIDE = 176
WORST = 5
WORST_BY = "sync_confidence"


def write_page(
    folder: Path,
    result: Mapping[str, Any],
    scored: Sequence[Scored],
    titles: Mapping[str, str],
    pictures: Sequence[tuple[str, str, Path]] = (),
    template: str = "compare.html.j2",
) -> Path:
    """Writes index.html into `folder`.

    Args:
        result: what leaderboard.json holds.
        titles: system → name for people; systems are shown in this order.
        pictures: (title, explanation, file) of figures below the tables.
    """
    from components.evaluation.report.build import environment

    page = environment().get_template(template)
    style, script = (
        (Path(__file__).parents[1] / "report" / "templates" / name).read_text(encoding="utf-8")
        for name in ("style.css", "compare.js")
    )
    text = page.render(
        style=style,
        script=script,
        result=result,
        titles=titles,
        groups=tables(result["rows"], titles, result.get("official", {}).get("rows", ())),
        published=published.PUBLISHED,
        published_columns=published.COLUMNS,
        breakdown=breakdown(result.get("breakdown", []), titles),
        robustness=curves(result.get("robustness", {}), titles),
        worst=_worst(scored, titles),
        players=players(scored, titles),
        pictures=[
            {"title": title, "note": note, "uri": data_uri(path)}
            for title, note, path in pictures
            if path.exists()
        ],
    )
    return write_text(folder / "index.html", text)


def tables(
    rows: Sequence[Mapping[str, Any]],
    titles: Mapping[str, str],
    official: Sequence[Mapping[str, Any]] = (),
) -> list[dict[str, Any]]:
    """One table a group: systems down, figures across; behind it, where there are any, one of what official
    networks measured, each column with its network."""
    cells = {(row["system"], row["name"]): row for row in (*rows, *official)}
    networks = {row["name"]: row["network"] for row in official}
    made = []
    for group in GROUPS:
        for names, title in ((FIGURES, group), (networks, f"{group}, official networks")):
            here = [
                name for name in names
                if entry_of(name).group == group
                and any(cells.get((s, name), {}).get("value") is not None for s in titles)
            ]  # fmt: skip
            if here:
                columns = [_column(name, networks.get(name)) for name in here]
                lines = [
                    {"title": line, "reference": system in REFERENCE_ROWS,
                     "cells": [cell(cells.get((system, name)), name) for name in here]}
                    for system, line in titles.items()
                ]  # fmt: skip
                made.append({"title": title, "columns": columns, "lines": lines})
    return made


def _column(name: str, network: str | None) -> dict[str, Any]:
    """network: of an official figure; a file that is not the published one says so."""
    about = entry_of(name)
    by = None if network is None else f"not the published file: {network}" if "[" in name else network
    return {"title": about.title, "unit": "%" if about.unit == "share" else about.unit,
            "better": about.better, "note": about.note, "network": by}  # fmt: skip


def cell(row: Mapping[str, Any] | None, name: str) -> dict[str, Any]:
    """A leaderboard row as text: value, interval, N, and whether it differs from the system compared with."""
    if row is None or row.get("value") is None:
        return {"value": "–", "interval": "", "mark": "", "n": 0}
    about = entry_of(name)
    unit = about.unit
    mark = ""
    if row.get("significant"):
        up = (row.get("difference") or 0.0) > 0
        mark = "≠" if about.better == "none" else ("better" if up == (about.better == "higher") else "worse")
    low = "" if row.get("low") is None else f"{shown(row['low'], unit)} … {shown(row['high'], unit)}"
    return {"value": shown(row["value"], unit), "interval": low, "mark": mark, "n": row["n"]}


def shown(value: float | None, unit: str) -> str:
    """Shares as per cent."""
    return figures.short(round(100 * value, 2) if unit == "share" and value is not None else value)


def breakdown(rows: Sequence[Mapping[str, Any]], titles: Mapping[str, str]) -> list[dict[str, Any]]:
    """One table a figure and attribute (kind of case, framing, delivery): systems down, groups across."""
    made = []
    for by in ("kind", "framing", "delivery"):
        here = [row for row in rows if row["by"] == by]
        groups = list(dict.fromkeys(row["group"] for row in here))
        if len(groups) < 2 and by != "kind":
            continue
        for name in dict.fromkeys(row["name"] for row in here):
            cells = {(row["group"], row["system"]): row for row in here if row["name"] == name}
            about = FIGURES[name][0]
            made.append(
                {
                    "title": f"{about.title} by {by}", "groups": groups,
                    "lines": [
                        {"title": title, "cells": [
                            shown(cells[(g, system)]["value"], about.unit) if (g, system) in cells else "–"
                            for g in groups]}
                        for system, title in titles.items()
                    ],
                }
            )  # fmt: skip
    return made


def curves(curves: Mapping[str, Mapping[str, Any]], titles: Mapping[str, str]) -> list[dict[str, str]]:
    """Charts of a figure against the level of noise."""
    charts = []
    for name, lines in curves.items():
        series = [
            figures.Series(titles.get(system, system), [x for x, _ in line], [y for _, y in line])
            for system, line in lines.items()
        ]
        drawing = figures.line_chart(series)
        if drawing:
            charts.append(
                {"title": f"{FIGURES[name][0].title} against noise, dB speech over noise", "svg": drawing,
                 "names": "|".join(each.name for each in series)}
            )  # fmt: skip
    return charts


def _worst(scored: Sequence[Scored], titles: Mapping[str, str]) -> list[dict[str, Any]]:
    """The weakest videos by sync confidence of every system that is no reference row."""
    here = [one for one in scored if one.made.system not in REFERENCE_ROWS and one.made.video is not None]
    known = [one for one in here if one.figures.get(WORST_BY) == one.figures.get(WORST_BY)]
    rows = []
    for one in sorted(known, key=lambda each: each.figures[WORST_BY])[:WORST]:
        frames = _small(one)
        rows.append(
            {
                "title": titles.get(one.made.system, one.made.system), "case": one.case.id,
                "instruction": one.case.instruction, "picture": _jpeg(frames[len(frames) // 2]),
                "value": figures.short(one.figures[WORST_BY]),
            }
        )  # fmt: skip
    return rows


def players(scored: Sequence[Scored], titles: Mapping[str, str]) -> list[dict[str, Any]]:
    """Cases with every system's video, small, with the sound that was given."""
    from components.core.media import encode_video, read_audio

    by_case: dict[str, dict[str, Scored]] = {}
    for one in scored:
        by_case.setdefault(one.case.id, {}).setdefault(one.made.system, one)
    chosen: list[str] = []
    kinds: set[str] = set()
    for case_id, theirs in by_case.items():
        kind = next(iter(theirs.values())).case.kind
        if kind not in kinds and len(chosen) < SHOWN:
            chosen.append(case_id)
            kinds.add(kind)
    made = []
    for case_id in chosen:
        theirs = by_case[case_id]
        case = next(iter(theirs.values())).case
        videos = []
        for system, title in titles.items():
            its = theirs.get(system)
            if its is None:
                continue
            if its.made.video is None:
                videos.append({"title": title, "uri": None, "poster": None, "reason": its.made.reason})
                continue
            frames = _small(its)
            sound = read_audio(case.path("other" if system == "ground_truth_control" else "audio"))
            videos.append(
                {
                    "title": title, "reason": "",
                    "uri": encode(encode_video(frames, sound[: len(frames) * 640], crf=28), "video/mp4"),
                    "poster": _jpeg(frames[len(frames) // 2]),
                }
            )  # fmt: skip
        made.append({"case": case, "videos": videos})
    return made


def _small(one: Scored) -> NDArray[np.uint8]:
    """Frames of a video, its longer side `SIDE` px."""
    import cv2
    import numpy as np

    from components.evaluation.comparison.measures import standard

    assert one.made.video is not None
    frames = standard(one.made.video, one.made.output, one.case.frames)
    height, width = frames.shape[1:3]
    scale = SIDE / max(height, width)
    size = (max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.stack([cv2.resize(frame, size, interpolation=way) for frame in frames])


def _jpeg(picture: NDArray[np.uint8]) -> str:
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=80)
    return encode(buffer.getvalue(), "image/jpeg")
