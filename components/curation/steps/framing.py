"""How much of the person the picture shows, from the height of the face in the frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.core.vocabulary import FRAMINGS

if TYPE_CHECKING:
    import pandas as pd


def framing(face_ratio: pd.Series, close_up: float, upper_body: float) -> pd.Series:
    """One of `FRAMINGS` for each ratio of face to frame height; null where there is no face.

    `close_up` and `upper_body` are the smallest ratios of these framings. A face is about an eighth of an
    adult's height, so a full body cannot fill the frame with more than that.
    """
    import numpy as np
    import pandas as pd

    labels = np.select([face_ratio >= close_up, face_ratio >= upper_body, face_ratio >= 0], FRAMINGS, "")
    return pd.Series(labels, index=face_ratio.index, dtype="object").where(face_ratio.notna(), None)
