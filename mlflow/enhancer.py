"""The prompt enhancer as an MLflow model: portrait + short instruction → full prompt.

Models-from-code: MLflow loads this file by its path; it is never imported as `mlflow.enhancer`.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext
from PIL import Image


class Enhancer(PythonModel):
    """Columns image (bytes of a picture), instruction, seed (optional) → column prompt."""

    def load_context(self, context: PythonModelContext) -> None:
        """Loads the vision-language model."""
        from components.enhancer.enhance import load

        self.enhancer = load(Path(context.artifacts["model"]))

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """One prompt a row."""
        prompts = []
        for row in model_input.to_dict("records"):
            image = np.asarray(Image.open(io.BytesIO(row["image"])).convert("RGB"))
            seed = row.get("seed")
            seed = 0 if seed is None or pd.isna(seed) else int(seed)
            prompts.append(self.enhancer.enhance(image, row["instruction"], seed=seed))
        return pd.DataFrame({"prompt": prompts})


set_model(Enhancer())
