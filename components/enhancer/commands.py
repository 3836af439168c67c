"""`syncdreamer enhance`: a picture and a short instruction -> the enhanced prompt."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Adds the room's commands."""
    app.command(name="enhance")(enhance)


def enhance(
    image: Annotated[Path, typer.Option(help="reference portrait (png, jpg)")],
    text: Annotated[str, typer.Option(help="what the person should do")],
    model: Annotated[Path, typer.Option(help="folder of a trained enhancer")] = Path(
        "artifacts/enhancer_grpo/model"
    ),
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
    enhancer = load(model if model.is_absolute() else workspace.root / model)
    picture = read_image(image)
    prompt = enhancer.enhance(picture, text, seed=seed)
    typer.echo(prompt)
    if explain:
        seen = enhancer.read(picture)
        graded = Scorer.load(workspace).grade([seen], [text], [prompt])[0]
        seen.pop("probabilities", None)
        typer.echo(
            to_json(
                {"attributes": seen, "reward": graded.reward, "terms": graded.terms, "parts": graded.parts}
            )
        )
