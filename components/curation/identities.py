"""Who is who: clusters of face embeddings, and splits that no person and no recording crosses.

Labels and splits are stable: they depend on content and names, not on how many clips there are, so adding
data does not move a clip from one split to another (unless it shows that a person is also in the test data).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray


def cluster(embeddings: NDArray[np.float32], distance: float) -> NDArray[np.int64]:
    """Numbers (N,) from 0 in order of first appearance: the same number, the same person.

    embeddings (N,D) of unit length; average linkage, merged up to the cosine `distance`.
    """
    import numpy as np
    from scipy.cluster.hierarchy import fcluster, linkage

    if len(embeddings) < 2:
        return np.zeros(len(embeddings), np.int64)
    found = fcluster(linkage(embeddings.astype(np.float64), "average", metric="cosine"), distance, "distance")
    order: dict[int, int] = {}
    return np.array([order.setdefault(int(label), len(order)) for label in found], np.int64)


def label(clip_ids: Sequence[str], clusters: Sequence[int]) -> list[str]:
    """Names such as `p3fa91c`, each made from the id of the first clip of its cluster.

    Clips that sort after all others never rename a person.
    """
    first: dict[int, str] = {}
    for clip_id, number in zip(clip_ids, clusters, strict=True):
        first.setdefault(number, clip_id)
    return ["p" + hashlib.sha256(first[number].encode()).hexdigest()[:6] for number in clusters]


def position(name: str) -> float:
    """A number in [0,1) that depends on the name alone."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64


def assign_splits(clips: pd.DataFrame, val_rate: float) -> pd.Series:
    """train, val or test for kept `clips` (columns source_video, identity, declared: "auto" | "test").

    Everything that shares a person or a recording with a declared test clip is test, directly or through
    other clips. Of the other recordings, those whose name hashes below `val_rate` are val; if there are two
    or more and none does, the lowest is.
    """
    import numpy as np
    import pandas as pd

    test = clips["declared"] == "test"
    while True:
        spread = (
            test
            | clips["identity"].isin(set(clips.loc[test, "identity"].dropna()))
            | clips["source_video"].isin(set(clips.loc[test, "source_video"]))
        )
        if (spread == test).all():
            break
        test = spread
    places = {video: position(video) for video in clips.loc[~test, "source_video"]}
    chosen = {video for video, place in places.items() if place < val_rate}
    if not chosen and val_rate > 0 and len(places) > 1:
        chosen = {min(places, key=lambda video: (places[video], video))}
    val = clips["source_video"].isin(chosen)
    return pd.Series(np.select([test, val], ["test", "val"], "train"), index=clips.index)
