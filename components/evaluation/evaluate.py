"""Stage `evaluate`: held-out clips are generated with sound and scored beside ground truth and controls.

The rows generated, control (another clip's sound), ground truth, ground truth through the VAE and still
picture are always measured in the same run. Schema of metrics.json: docs/metrics.md.
"""

from __future__ import annotations

from typing import Any

from components.core.errors import SyncDreamerError
from components.core.files import read_json, write_json
from components.core.media import FPS
from components.core.paths import Workspace, require
from components.core.progress import say
from components.core.seeds import derive
from components.evaluation.cast import Role, cast
from components.evaluation.params import EvaluateParams

SCHEMA = 1
TIME_LIMIT_S = 1800.0
NAMED = ("generated", "control", "ground_truth", "side_by_side")


def run(params: EvaluateParams, workspace: Workspace, seed: int) -> None:
    """Writes artifacts/evaluation: metrics.json, summary.json, traces.json, videos/, posters/, enhancer/.

    Raises:
        InputError: an upstream artifact is missing, or the test split has too few people.
    """
    from components.curation.pool import Lost, cores, spread
    from components.evaluation import work
    from components.evaluation.scenes import frame_count, scenes, takes

    require(workspace.artifacts("train_stage2", "pipeline"), "syncdreamer stage train_stage2")
    frames = frame_count(params.seconds)
    roles = cast(params, workspace, seed)
    clips = takes(workspace, {role.sound for role in roles} | {role.other for role in roles}, frames)
    say(f"  {len(roles)} people, {len(clips)} sentences, {frames} frames each")
    jobs = work.jobs(scenes(workspace, roles, clips), clips, params.batch)
    results: dict[int, Any] = {}
    settings = work.Settings(workspace, params, seed)
    for index, result in spread(
        work.tool, settings, jobs, workers=cores(params.workers), time_limit=TIME_LIMIT_S
    ):
        if isinstance(result, Lost):
            raise SyncDreamerError(f"evaluation job {index} was lost: {result.why}")
        results[index] = result
        say(f"  evaluate: {len(results)} of {len(jobs)} jobs")
    _write(params, workspace, seed, roles, frames, [results[index] for index in range(len(jobs))])


def _write(
    params: EvaluateParams,
    workspace: Workspace,
    seed: int,
    roles: list[Role],
    frames: int,
    results: list[Any],
) -> None:
    from components.evaluation import measures
    from components.evaluation.enhancer_cases import Cases, case_rows, report_cases
    from components.evaluation.instruments import network_names
    from components.evaluation.official_rows import official_rows
    from components.evaluation.panel.states import Bootstrap
    from components.evaluation.table import Table
    from components.evaluation.work import Reality

    made = sorted((p for batch in results if isinstance(batch, list) for p in batch), key=lambda p: p.index)
    real = {r.clip_id: r for r in results if isinstance(r, Reality)}
    cases = next(r for r in results if isinstance(r, Cases))
    names = network_names(workspace, params.sync_model)
    table = Table(names, derive(seed, "evaluate"), params.resamples, params.level)
    measured = measures.Measured(roles, made, dict(sorted(real.items())))
    measures.lips(table, measured)
    measures.who(table, measured)
    measures.picture(table, measured)
    perception = _metrics(workspace, "perception")
    measures.learnt(table, measured, perception, _metrics(workspace, "train_stage2"))
    folder = workspace.artifacts("evaluation")
    report_cases(table, cases, folder)
    write_json(folder / "traces.json", measures.traces(measured))
    write_json(folder / "summary.json", summary(table.metrics))
    official = official_rows(workspace, Bootstrap(table.seed, params.resamples, params.level))
    write_json(
        folder / "metrics.json",
        {
            "schema": SCHEMA,
            "protocol": protocol(params, workspace, frames, roles, names),
            "metrics": table.metrics,
            "rows": table.rows,
            "items": measures.items(measured),
            "cases": case_rows(cases),
            **({"official": official} if official else {}),
        },
    )


def _metrics(workspace: Workspace, stage: str) -> dict[str, Any]:
    return read_json(require(workspace.artifacts(stage, "metrics.json"), f"syncdreamer stage {stage}"))


def summary(metrics: list[dict[str, Any]]) -> dict[str, float]:
    """name → value of every figure that has one; networks' digests are left to metrics.json."""
    return {row["name"].partition("[")[0]: row["value"] for row in metrics if row["value"] is not None}


def protocol(
    params: EvaluateParams, workspace: Workspace, frames: int, roles: list[Role], names: dict[str, str]
) -> dict[str, Any]:
    """Everything that a reader needs to judge or repeat the figures."""
    from components.core.files import digest_tree
    from components.evaluation.enhancer_cases import reward_params

    models = {
        stage: digest_tree(workspace.artifacts(stage, part))[:12]
        for stage, part in (
            ("train_stage2", "pipeline"),
            ("enhancer_sft", "model"),
            ("enhancer_grpo", "model"),
        )
    }
    unseen = sum(role.split == "test" for role in roles)
    return {
        "people": f"{unseen} of the test split, {len(roles) - unseen} of training",
        "sentences": "all of the test split; a training person speaks one that it never spoke",
        "frames": frames,
        "fps": FPS,
        "crop": "shared: one square for a whole clip, the same for generated and real frames",
        "pixels": "the generator's own; real clips from curated h264, averaged to the same size",
        "codec": "videos/ are h264 for watching only and were not measured",
        "control": "the same generated frames with the sound of another sentence",
        "sampling": {
            "steps": params.steps or "the pipeline's own",
            "guidance_audio": "the pipeline's own"
            if params.guidance_audio is None
            else params.guidance_audio,
            "batch": params.batch,
        },
        "identity": f"every {params.identity_stride}th frame",
        "reward": reward_params(workspace).model_dump(mode="json"),
        "interval": f"percentile bootstrap over clips, {params.resamples} resamples",
        "level": params.level,
        "networks": names,
        "models": models,
        "stand_ins": "every network is a small one of the perception stage or one of mediapipe's; "
        "a figure of theirs never bears the name of the official metric",
    }
