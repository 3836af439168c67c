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

BLOCK = 4000
"""Clips up to which all pairs are compared (64 MB)."""
MOST_MERGED = 20_000
"""People up to which the clusters of different blocks are merged once more (1.6 GB)."""


def cluster(embeddings: NDArray[np.float32], distance: float, block: int = BLOCK) -> NDArray[np.int64]:
    """Numbers (N,) from 0 in order of first appearance: the same number, the same person.

    embeddings (N,D) of unit length; average linkage, merged up to the cosine `distance`. More than `block`
    are clustered block by block, each against the people found before: the distances of all pairs of a large
    collection fit into no memory.
    """
    import numpy as np

    vectors = embeddings.astype(np.float64)
    if len(vectors) <= block:
        return _by_appearance(_linked(vectors, distance))
    means, sizes = np.zeros((0, vectors.shape[1])), np.zeros(0)
    numbers = np.empty(len(vectors), np.int64)
    for begin in range(0, len(vectors), block):
        part = vectors[begin : begin + block]
        # Of unit vectors, the average distance to a cluster is one minus the product with its mean.
        apart = 1 - part @ means.T if len(means) else np.full((len(part), 1), np.inf)
        nearest = apart.argmin(axis=1)
        known = apart[np.arange(len(part)), nearest] < distance
        new = _by_appearance(_linked(part[~known], distance))
        found = np.where(known, nearest, 0)
        found[~known] = new + len(means)
        numbers[begin : begin + block] = found
        more = int(new.max()) + 1 if len(new) else 0
        sums = np.vstack([means * sizes[:, None], np.zeros((more, vectors.shape[1]))])
        np.add.at(sums, found, part)
        sizes = np.concatenate([sizes, np.zeros(more)]) + np.bincount(found, minlength=len(sums))
        means = sums / sizes[:, None]
    if len(means) <= MOST_MERGED:
        merged = _linked(means, distance)
        numbers = merged[numbers]
    return _by_appearance(numbers)


def _linked(vectors: NDArray[np.float64], distance: float) -> NDArray[np.int64]:
    """Cluster numbers of average linkage; the distance of two vectors is one minus their product."""
    import numpy as np
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    if len(vectors) < 2:
        return np.zeros(len(vectors), np.int64)
    lengths = np.linalg.norm(vectors, axis=1)
    if np.allclose(lengths, 1.0, atol=1e-3):
        pairs = linkage(vectors, "average", metric="cosine")
    else:  # means of clusters, which are shorter than one
        apart = np.clip(1 - vectors @ vectors.T, 0, None)
        np.fill_diagonal(apart, 0.0)
        pairs = linkage(squareform(apart, checks=False), "average")
    return fcluster(pairs, distance, "distance").astype(np.int64)


def _by_appearance(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """The same clusters, numbered from 0 in order of first appearance."""
    import numpy as np

    order: dict[int, int] = {}
    return np.array([order.setdefault(int(number), len(order)) for number in numbers], np.int64)


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


def assign_splits(clips: pd.DataFrame, val_rate: float, by_person: bool = False) -> pd.Series:
    """train, val or test for kept `clips` (columns source_video, identity, declared: "auto" | "test").

    Everything that shares a person or a recording with a declared test clip is test, directly or through
    other clips. Of the other recordings, those whose name hashes below `val_rate` are val; if there are two
    or more and none does, the lowest is. `by_person`: recordings that share a person (or, where there is a
    column `alike`, people who could be one), directly or through others, go together, by the name that sorts
    first; people who could be one of the test clips' go to test as well.
    """
    import numpy as np
    import pandas as pd

    test = clips["declared"] == "test"
    links = ["identity", "source_video", *(["alike"] if by_person and "alike" in clips else [])]
    while True:
        spread = test
        for link in links:
            spread = spread | clips[link].isin(set(clips.loc[spread, link].dropna()))
        if (spread == test).all():
            break
        test = spread
    names = _together(clips[~test]) if by_person else clips.loc[~test, "source_video"]
    places = {name: position(name) for name in names}
    chosen = {name for name, place in places.items() if place < val_rate}
    if not chosen and val_rate > 0 and len(places) > 1:
        chosen = {min(places, key=lambda name: (places[name], name))}
    val = names.isin(chosen).reindex(clips.index, fill_value=False)
    return pd.Series(np.select([test, val], ["test", "val"], "train"), index=clips.index)


def _together(clips: pd.DataFrame) -> pd.Series:
    """For each clip the first name among the recordings that it shares a person with, through others too."""
    names = clips["source_video"]
    # A clip of nobody belongs to its recording alone.
    links = [names, *(clips[by].fillna(names) for by in ("identity", "alike") if by in clips)]
    while True:
        spread = names
        for link in links:
            spread = spread.groupby(link).transform("min")
        if (spread == names).all():
            return names
        names = spread
