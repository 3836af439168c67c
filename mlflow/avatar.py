"""The avatar generator as an MLflow model: portrait + speech + text → mp4 with that speech.

Models-from-code: MLflow loads this file by its path; it is never imported as `mlflow.avatar`. Inputs are
file contents, not paths: a served model must not read whatever file a request names.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext


class Avatar(PythonModel):
    """Columns image, audio (bytes of any common format), text, seed (optional) → video (signed mp4 bytes)."""

    def load_context(self, context: PythonModelContext) -> None:
        """Loads the pipeline."""
        from components.avatar.pipeline import SyncDreamerPipeline
        from components.core.device import best_device
        from components.core.files import digest_tree

        folder = Path(context.artifacts["pipeline"])
        self.pipeline = SyncDreamerPipeline.from_pretrained(folder).to(best_device())
        self.digest = digest_tree(folder)

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """One video a row."""
        from components.avatar.generate import generate
        from components.core.files import digest_file
        from components.core.media import encode_video, read_audio, read_image
        from components.tracking import credentials

        videos = []
        with tempfile.TemporaryDirectory() as folder:
            for row in model_input.to_dict("records"):
                image, audio = Path(folder) / "image", Path(folder) / "audio"
                image.write_bytes(row["image"])
                audio.write_bytes(row["audio"])
                samples = read_audio(audio)
                seed = row.get("seed")
                seed = 0 if seed is None or pd.isna(seed) else int(seed)
                frames = generate(self.pipeline, read_image(image), samples, row["text"], seed=seed)
                facts = credentials.generation(
                    {"avatar": {"name": "syncdreamer-avatar", "version": "", "digest": self.digest}},
                    {
                        "image": digest_file(image),
                        "audio": digest_file(audio),
                        "text": credentials.text_digest(row["text"]),
                    },
                    seed=seed,
                )
                videos.append(credentials.signed(encode_video(frames, samples), facts))
        return pd.DataFrame({"video": videos})


set_model(Avatar())
