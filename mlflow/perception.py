"""The small perception models as an MLflow model: picture → attributes and face identity.

Models-from-code: MLflow loads this file by its path; it is never imported as `mlflow.perception`. The model
carries all nets of the stage (sync, audio, image-text and action too); `predict` uses those for pictures.
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


class Perception(PythonModel):
    """Column image (bytes of a picture) → columns attributes (JSON object) and identity (JSON list).

    identity is the embedding of the largest face, `[]` where no face is found.
    """

    def load_context(self, context: PythonModelContext) -> None:
        """Loads the nets that read pictures."""
        from components.perception.attributes import AttributeModel
        from components.perception.faces import FaceDetector
        from components.perception.identity import IdentityModel

        self.attributes = AttributeModel.load(Path(context.artifacts["attributes"]))
        self.identity = IdentityModel.load(Path(context.artifacts["identity"]))
        self.faces = FaceDetector()

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """One answer a row."""
        from components.perception.faces import crop_face

        rows = []
        for content in model_input["image"]:
            frame = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
            found = self.faces.detect(frame)
            embedding = []
            if found:
                face = max(found, key=lambda one: one.size)
                embedding = self.identity.embed(crop_face(frame, face)[None])[0].tolist()
            seen = self.attributes.predict(frame[None])[0]
            rows.append({"attributes": json.dumps(seen, sort_keys=True), "identity": json.dumps(embedding)})
        return pd.DataFrame(rows)


set_model(Perception())
