"""`syncdreamer compare`: a suite, its systems, their videos, figures and the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from components.core.files import digest_tree, write_json, write_parquet
from components.core.media import FPS
from components.core.paths import Workspace
from components.core.seeds import derive
from components.evaluation.comparison import table
from components.evaluation.comparison.catalogue import FIGURES, REFERENCE_ROWS
from components.evaluation.comparison.measures import FACE_SCALE, Options
from components.evaluation.comparison.official import Official, official_board
from components.evaluation.comparison.page import write_page
from components.evaluation.comparison.scoring import Scored, networks, score
from components.evaluation.comparison.systems import (
    CRF,
    OURS,
    generate,
    our_generator,
    reference_rows,
    run_peers,
)
from components.evaluation.panel import Bootstrap, given
from components.evaluation.peers.declaration import chosen, load_installations, load_peers
from components.evaluation.peers.runner import Made, revision, videos_of_folder
from components.evaluation.suites.declaration import Suite
from components.evaluation.suites.freeze import freeze

HEADLINES = ("aperture_correlation_own", "sync_confidence", "face_sim_proxy")
CURVES = ("aperture_correlation_own", "sync_confidence")


@dataclass(frozen=True)
class Request:
    """What to compare. videos: system → folder of videos made elsewhere. ours: our pair takes part."""

    suite: Suite
    peers: tuple[str, ...] = ()
    videos: Mapping[str, Path] = field(default_factory=dict)
    data: Path | None = None
    installations: Path | None = None
    ours: bool = True
    retry: bool = False
    options: Options = Options()
    resamples: int = 2000
    level: float = 0.95
    workers: int = 0


def compare(request: Request, workspace: Workspace, out: Path) -> dict[str, Any]:
    """Runs the comparison; writes leaderboard.json, items.parquet and index.html into `out`.

    Raises:
        InputError: the suite or a peer is unknown, our own models are missing, or official weights are named
            that are not there or not the published ones.
    """
    weights = given(workspace)  # a wrong file is told now, not after hours of peers
    peers = chosen(list(request.peers), load_peers())
    installations = load_installations(request.installations) if request.installations else {}
    cases = freeze(request.suite, workspace, request.data)
    seeds = list(request.suite.seeds)
    state = workspace.state("compare", "runs")
    made: list[Made] = generate(our_generator(workspace), cases, seeds, state) if request.ours else []
    made += run_peers(peers, installations, cases, seeds, state, retry=request.retry)
    for name, folder in request.videos.items():
        made += videos_of_folder(name, folder, cases, seeds)
    made += reference_rows(cases)
    scored = score(made, cases, workspace, request.options, request.workers)
    titles = {OURS: "SyncDreamer (this project)"} if request.ours else {}
    titles |= {peer.name: peer.title for peer in peers}
    titles |= {name: f"{name} (given videos)" for name in request.videos}
    titles |= REFERENCE_ROWS
    against = OURS if request.ours else "ground_truth"
    seed = derive(seeds[0], "compare", request.suite.name)
    bootstrap = Bootstrap(derive(seed, "official"), request.resamples, request.level)
    official = official_board(scored, workspace, weights, against, bootstrap) if weights else None
    protocol = {
        "suite": request.suite.name,
        "cases": f"{len(cases)}: " + ", ".join(sorted({case.kind.replace('_', ' ') for case in cases})),
        "seeds": seeds,
        "prompts": "the same enhanced prompt for every system that takes text",
        "models": {
            "generator": digest_tree(our_generator(workspace).pipeline)[:12] if request.ours else "not run",
            **{
                peer.name: f"revision {revision(Path(installations[peer.name].repository))[:12]}; {peer.note}"
                for peer in peers if peer.name in installations
            },
        },
    }  # fmt: skip
    lead = (
        f"{request.suite.title}: {len(cases)} cases, {len(seeds)} seed{'s' if len(seeds) > 1 else ''}. Every "
        "system had the same portraits, sounds and prompts, and was measured in one run by the same networks."
    )
    return publish(
        scored, out, workspace, titles, request.options, title="Systems side by side", lead=lead,
        against=against, protocol=protocol, resamples=request.resamples, level=request.level,
        seed=seed, official=official,
    )  # fmt: skip


def publish(
    scored: Sequence[Scored],
    out: Path,
    workspace: Workspace,
    titles: Mapping[str, str],
    options: Options,
    *,
    title: str,
    lead: str,
    against: str,
    protocol: Mapping[str, Any],
    resamples: int,
    level: float,
    seed: int,
    official: Official | None = None,
    more: Mapping[str, Any] | None = None,
    pictures: Sequence[tuple[str, str, Path]] = (),
) -> dict[str, Any]:
    """Aggregates and writes leaderboard.json, items.parquet and index.html; returns what the JSON holds."""
    import pandas as pd

    nets = networks(workspace)
    longest = max(one.case.frames for one in scored)
    rows = table.leaderboard(scored, seed, resamples, level, against)
    for row in rows:
        network = FIGURES[row["name"]][1]
        row["network"] = nets.get(network) if network else None
        row["provenance"] = "measured"
    result: dict[str, Any] = {
        "title": title,
        "lead": lead,
        "against": against,
        "rows": rows,
        "missing": table.missing(scored),
        "breakdown": table.by_kind(scored, HEADLINES),
        "robustness": {name: table.robustness(scored, name) for name in CURVES},
        "protocol": dict(protocol)
        | {
            "fps": FPS,
            "frame_window": f"up to {longest} frames; a shorter one is measured "
            "over what it has, beside its coverage",
            "crop": {
                "independent": f"independent: each video's own median face, {FACE_SCALE:g} face heights",
                "shared": f"shared: the real clip's square, {FACE_SCALE:g} face heights, in every video",
            }[options.crop],
            "size": f"{options.size} px",
            "codec": f"every system measured from its own file; ours and the real clips h264 crf {CRF}",
            "sound": "systems hear the given sound; sync is measured against the clean speech",
            "shuffled_audio": "the real clip against another case's sentence",
            "other_footage": "another clip of the person, else the own one begun in its middle",
            "interval": f"percentile bootstrap over cases, {resamples} resamples",
            "interval_of_fid_proxy": f"{table.FRECHET_RESAMPLES} resamples; leans upwards: a resample "
            "repeats cases, and fewer different ones are further apart",
            "test": "two-sided sign flips over cases (means over seeds), Holm over the systems of a figure",
            "level": level,
            "networks": nets,
            "measured": asdict(options),
        },
    } | dict(more or {})
    if official is not None:
        result["official"] = {"protocol": official.protocol, "rows": official.rows}
    write_json(out / "leaderboard.json", result)
    write_parquet(
        out / "items.parquet",
        pd.DataFrame(table.items(scored, None if official is None else official.figures)),
    )
    write_page(out, result, scored, titles, pictures)
    return result
