"""The video autoencoder as an MLflow model: picture → its reconstruction.

Models-from-code: MLflow loads this file by its path; it is never imported as `mlflow.vae`.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext
from PIL import Image


class Autoencoder(PythonModel):
    """Column image (bytes of a picture, sides divisible by 16) → column image (PNG bytes)."""

    def load_context(self, context: PythonModelContext) -> None:
        """Loads the autoencoder: the official one, or the small one that stands in for it."""
        folder = Path(context.artifacts["vae"])
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8"))["_class_name"]
        if kind == "AutoencoderKLWan":
            from diffusers import AutoencoderKLWan as Model
        else:
            from components.avatar.vae import PatchVAE as Model
        self.vae = Model.from_pretrained(folder).eval()

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """One reconstruction a row: the mean of the posterior, decoded."""
        import torch

        pictures = []
        for content in model_input["image"]:
            array = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"), dtype=np.float32)
            frame = torch.from_numpy(array / 127.5 - 1).permute(2, 0, 1)[None, :, None]
            with torch.no_grad():
                back = self.vae.decode(self.vae.encode(frame).latent_dist.mode()).sample
            pixels = ((back[0, :, 0].clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, "PNG")
            pictures.append(buffer.getvalue())
        return pd.DataFrame({"image": pictures})


set_model(Autoencoder())
