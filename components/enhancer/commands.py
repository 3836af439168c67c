"""Commands: `enhance` a prompt, `sweep-rewards` over the composite's weights, `explain-gain` of GRPO."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def register(app: typer.Typer) -> None:
    """Adds the room's commands."""
    app.command(name="enhance")(enhance)
    app.command(name="sweep-rewards")(sweep_rewards)
    app.command(name="explain-gain")(explain_gain)


def enhance(
    image: Annotated[Path, typer.Option(help="reference portrait (png, jpg)")],
    text: Annotated[str, typer.Option(help="what the person should do")],
    model: Annotated[Path, typer.Option(help="folder of a trained enhancer")] = Path(
        "artifacts/enhancer_grpo/model"
    ),
    champion: Annotated[bool, typer.Option("--champion", help="the promoted enhancer instead")] = False,
    explain: Annotated[bool, typer.Option(help="print attributes and reward terms, too")] = False,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Rewrite a short instruction into a motion-aware prompt that fits the picture."""
    from components.core.files import to_json
    from components.core.media import read_image
    from components.core.paths import find_workspace
    from components.core.seeds import single_thread
    from components.enhancer.enhance import load
    from components.enhancer.scoring import Scorer
    from components.enhancer.training import quiet

    single_thread()
    quiet()
    workspace = find_workspace()
    if champion:
        from components.tracking import registry
        from components.tracking.runs import Tracker

        tracker = Tracker(workspace)
        model = registry.pair_paths(tracker, registry.champion_pair(tracker))["enhancer"]
    enhancer = load(workspace.root / model)  # an absolute path stays as it is
    picture = read_image(image)
    prompt = enhancer.enhance(picture, text, seed=seed)
    typer.echo(prompt)
    if explain:
        seen = enhancer.read(picture)
        graded = Scorer.load(workspace).grade([seen], [text], [prompt], [picture])[0]
        seen.pop("probabilities", None)
        typer.echo(
            to_json(
                {"attributes": seen, "reward": graded.reward, "terms": graded.terms, "parts": graded.parts}
            )
        )


def _stage_params(names: tuple[str, ...]) -> tuple[dict[str, Any], int]:
    """The sections of params.yaml that the enhancer's stages read, validated, and the seed."""
    import yaml
    from pydantic import ValidationError

    from components.core.errors import InputError
    from components.core.params import Params
    from components.core.paths import find_workspace
    from components.enhancer.params import EnhancerGrpoParams, EnhancerSftParams

    models: dict[str, type[Params]] = {"enhancer_sft": EnhancerSftParams, "enhancer_grpo": EnhancerGrpoParams}
    raw = yaml.safe_load((find_workspace().root / "params.yaml").read_text(encoding="utf-8"))
    try:
        return {name: models[name].model_validate(raw.get(name) or {}) for name in names}, int(raw["seed"])
    except ValidationError as error:
        raise InputError(f"params.yaml: {error}; `syncdreamer params` checks it") from error


def sweep_rewards(
    draws: Annotated[int, typer.Option(min=1, help="weightings to try, the current one among them")] = 6,
    spread: Annotated[float, typer.Option(min=0.01, max=1.0, help="how far from the current one")] = 0.5,
    steps: Annotated[int, typer.Option(min=0, help="GRPO steps each; 0: as in params.yaml")] = 0,
    held_out: Annotated[int, typer.Option(min=0, help="cases that rank; 0: as in params.yaml")] = 0,
    dvc: Annotated[bool, typer.Option(help="only print the sweep as `dvc exp run` commands")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON list")] = False,
) -> None:
    """Try weightings of the composite reward and rank them by the held-out judge; resumable."""
    from components.core.files import to_json
    from components.core.paths import find_workspace
    from components.core.seeds import single_thread
    from components.enhancer import sweep

    sections, seed = _stage_params(("enhancer_grpo",))
    params = sections["enhancer_grpo"]
    chosen = sweep.draw(params.reward.weights, draws, spread, seed)
    if dvc:
        typer.echo("\n".join(sweep.dvc_commands(chosen)))
        return
    single_thread()
    changed = {name: value for name, value in (("steps", steps), ("held_out", held_out)) if value}
    rows = sweep.sweep(find_workspace(), params.model_copy(update=changed), seed, chosen)
    typer.echo(to_json(rows) if as_json else sweep.table(rows))


def explain_gain(
    again: Annotated[
        bool, typer.Option("--again", help="also repeat SFT and GRPO on complete targets (minutes)")
    ] = False,
) -> None:
    """Say how much of GRPO's gain the incomplete SFT targets built in."""
    from components.core.files import to_json
    from components.core.paths import find_workspace
    from components.core.seeds import single_thread
    from components.enhancer.gain import explain
    from components.enhancer.training import quiet

    single_thread()
    quiet()
    sections, seed = _stage_params(("enhancer_sft", "enhancer_grpo"))
    told = explain(find_workspace(), sections["enhancer_sft"], sections["enhancer_grpo"], seed, again)
    typer.echo(to_json(told))
