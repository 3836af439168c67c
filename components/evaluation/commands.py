"""`syncdreamer report`, `metrics`, `compare` and `ablate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Adds the room's commands."""
    app.command(name="report")(report)
    app.command(name="metrics")(metrics)
    app.command(name="compare")(compare)
    app.command(name="ablate")(ablate)


def report() -> None:
    """Rebuild artifacts/report/index.html, with the durations and models of the last run."""
    from components.core.files import read_json
    from components.core.paths import find_workspace
    from components.evaluation.report import build_report

    workspace = find_workspace()
    last = workspace.root / "state" / "run_info.json"
    typer.echo(f"wrote {build_report(workspace, read_json(last) if last.exists() else {})}")


def metrics(
    generated: Annotated[Path, typer.Argument(help="folder of mp4 files")],
    real: Annotated[Path | None, typer.Option(help="folder of real clips, same names (mp4)")] = None,
    references: Annotated[Path | None, typer.Option(help="folder of pictures, same names (png, jpg)")] = None,
    seeds: Annotated[str, typer.Option(help="seeds the videos were made with, by comma; only noted")] = "",
    resamples: Annotated[
        int | None, typer.Option(min=100, help="bootstrap resamples over clips; default: as in an evaluation")
    ] = None,
    level: Annotated[
        float | None, typer.Option(help="coverage of the intervals; default: as in an evaluation")
    ] = None,
    bootstrap_seed: Annotated[int, typer.Option(min=0, help="seed of the resampling")] = 0,
    out: Annotated[Path | None, typer.Option(help="also write the figures to this JSON file")] = None,
) -> None:
    """Score a folder of videos: what needs no network, and what official weights on this machine allow."""
    from components.core.errors import InputError
    from components.core.files import to_json, write_json
    from components.core.paths import find_workspace
    from components.core.seeds import single_thread
    from components.evaluation.panel import Bootstrap, find_clips, load_networks, score_clips
    from components.evaluation.params import EvaluateParams

    single_thread()
    if level is not None and not 0.5 < level < 1:
        raise InputError(f"--level lies between 0.5 and 1, e.g. 0.95, not {level:g}")
    usual = EvaluateParams()
    bootstrap = Bootstrap(bootstrap_seed, resamples or usual.resamples, level or usual.level)
    clips = find_clips(generated, real, references)
    given = [seed.strip() for seed in seeds.split(",") if seed.strip()]
    if not all(seed.isdigit() for seed in given):
        raise InputError("--seeds takes whole numbers by comma, e.g. 1,2,3")
    numbers = [int(seed) for seed in given]
    result = score_clips(clips, load_networks(find_workspace()), numbers, bootstrap)
    if out is not None:
        write_json(out, result)
    typer.echo(to_json(result))


def compare(
    suite: Annotated[str, typer.Option(help="a shipped suite (demo, public) or a .yaml file")] = "demo",
    peers: Annotated[str, typer.Option(help="peers to run, by comma; `list` shows them")] = "",
    videos: Annotated[
        list[str] | None, typer.Option(help="NAME=FOLDER of videos made elsewhere ({case}.mp4); repeatable")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="where a suite's files lie")] = None,
    installations: Annotated[
        Path, typer.Option(help="YAML: per peer its repository, python, environment, arguments")
    ] = Path("peers.yaml"),
    ours: Annotated[bool, typer.Option(help="let this project's pair take part")] = True,
    crop: Annotated[str, typer.Option(help="independent or shared face squares")] = "independent",
    retry: Annotated[bool, typer.Option(help="repeat peers' runs that failed before")] = False,
    workers: Annotated[int, typer.Option(min=0, help="processes that measure; 0: one a core")] = 0,
    out: Annotated[Path, typer.Option(help="folder for leaderboard.json, items.parquet, index.html")] = Path(
        "state/compare/report"
    ),
) -> None:
    """Compare systems on one suite: same prompts, same measures, one leaderboard."""
    from components.core.errors import InputError
    from components.core.paths import find_workspace
    from components.evaluation.peers.declaration import load_peers

    if peers == "list":
        for peer in load_peers().values():
            typer.echo(f"{peer.name:22}{peer.title:26}reads {', '.join(peer.reads)}; {peer.note}")
        return
    if crop not in ("independent", "shared"):
        raise InputError(f"--crop is independent or shared, not {crop!r}")
    from components.evaluation.comparison.compare import Request
    from components.evaluation.comparison.compare import compare as run
    from components.evaluation.comparison.measures import Options
    from components.evaluation.suites.declaration import load_suite

    given = dict(pair.partition("=")[::2] for pair in videos or [])
    if any(not name or not folder for name, folder in given.items()):
        raise InputError("--videos takes NAME=FOLDER")
    workspace = find_workspace()
    target = out if out.is_absolute() else workspace.root / out
    place = installations if installations.is_absolute() else workspace.root / installations
    request = Request(
        load_suite(suite),
        tuple(filter(None, (name.strip() for name in peers.split(",")))),
        {name: Path(folder) for name, folder in given.items()},
        data, place, ours, retry, Options(crop=crop), workers=workers,  # type: ignore[arg-type]
    )  # fmt: skip
    result = run(request, workspace, target)
    for row in result["rows"]:
        if row["name"] in ("aperture_correlation_own", "sync_confidence", "face_sim_proxy") and row["n"]:
            typer.echo(f"{row['system']:24}{row['name']:28}{row['value']:9.3f}  n={row['n']}")
    for row in result.get("official", {}).get("rows", ()):
        if row["n"]:
            typer.echo(
                f"{row['system']:24}{row['name']:28}{row['value']:9.3f}  n={row['n']}  {row['network']}"
            )
    for row in result["missing"]:
        typer.echo(f"missing {row['videos']:3}  {row['system']}: {row['reason']}")
    typer.echo(f"wrote {target / 'index.html'}")


def ablate(
    without: Annotated[
        str, typer.Option(help="parts to leave out, one at a time, by comma")
    ] = "localization,audio_dynamics,visual_adapter,enhancer",
    seeds: Annotated[int, typer.Option(min=1, help="trainings of each variant")] = 3,
    suite: Annotated[str, typer.Option(help="a shipped suite or a .yaml file")] = "ablation",
    steps: Annotated[
        str, typer.Option(help="S1,S2: optimizer steps of both stages; empty: those of params.yaml")
    ] = "",
    workers: Annotated[int, typer.Option(min=0, help="processes that measure; 0: one a core")] = 0,
    parallel: Annotated[int, typer.Option(min=0, help="trainings at once; 0: one a core")] = 0,
    out: Annotated[Path, typer.Option(help="folder for leaderboard.json, items.parquet, index.html")] = Path(
        "state/ablations/report"
    ),
    keep: Annotated[
        Path | None, typer.Option(help="also write README.md, ablation.json and pictures here, to commit")
    ] = None,
) -> None:
    """Train the generator without each part, and say which differences are significant."""
    from components.core.errors import InputError
    from components.core.paths import find_workspace
    from components.evaluation.ablations.ablate import Request
    from components.evaluation.ablations.ablate import ablate as run
    from components.evaluation.suites.declaration import load_suite

    numbers = [part.strip() for part in steps.split(",")] if steps else []
    if numbers and (len(numbers) != 2 or not all(part.isdigit() for part in numbers)):
        raise InputError("--steps takes two whole numbers, e.g. 20,40")
    stages = zip(("train_stage1", "train_stage2"), numbers, strict=False)
    overrides = {stage: {"steps": int(number)} for stage, number in stages}
    workspace = find_workspace()
    target = out if out.is_absolute() else workspace.root / out
    names = tuple(filter(None, (name.strip() for name in without.split(","))))
    request = Request(
        load_suite(suite), names, seeds, overrides, workers=workers, parallel=parallel,
        keep=None if keep is None else workspace.root / keep,
    )  # fmt: skip
    result = run(request, workspace, target)
    for row in result["ablation"]["rows"]:
        figures = f"{row['without_shown']:>8} → {row['with_shown']:<8}"
        typer.echo(f"{row['part']:28}{row['title']:28}{figures}{row['reading']}")
    typer.echo("\n".join(result["ablation"]["words"]))
    typer.echo(f"wrote {target / 'index.html'}" + ("" if keep is None else f" and {keep / 'README.md'}"))
