"""From what was seen and heard to figures: lips, likeness, picture, learning; and the single roles."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from components.core.seeds import derive
from components.evaluation.instruments import interior_features
from components.evaluation.statistics import (
    MISSING,
    Interval,
    auc,
    correlation,
    statistic_interval,
)
from components.evaluation.table import Table, rounded

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from components.evaluation.cast import Role
    from components.evaluation.instruments import Seen
    from components.evaluation.work import Performance, Reality

ANOTHER = "another clip's sound"
TRUTH = "ground truth"


@dataclass(frozen=True)
class Measured:
    """Everything that was measured, in the order of the roles and of the real clips."""

    roles: Sequence[Role]
    made: Sequence[Performance]
    real: Mapping[str, Reality]

    def truth(self, index: int) -> Reality:
        """The real clip of a role's sentence."""
        return self.real[self.roles[index].sound]

    @property
    def own(self) -> list[int]:
        """Roles whose person really spoke the sentence."""
        return [role.index for role in self.roles if role.own]


def lips(table: Table, measured: Measured) -> None:
    """Mouth against sound, and the sync model's view."""
    made, real = measured.made, list(measured.real.values())
    interval = table.interval
    correlations = {
        "generated": interval("own", [correlation(p.made.aperture, p.sound) for p in made]),
        "control": interval("other", [correlation(p.made.aperture, p.other_sound) for p in made]),
        "ground_truth": interval("truth", [correlation(r.truth.aperture, r.sound) for r in real]),
        "ground_truth_control": interval(
            "truth other", [correlation(r.truth.aperture, r.other_sound) for r in real]
        ),
        "ground_truth_vae": interval("vae", [correlation(r.rebuilt.aperture, r.sound) for r in real]),
        "still": MISSING,
    }
    table.add(
        "aperture_correlation_own", correlations["generated"], "mesh", (ANOTHER, correlations["control"])
    )
    table.add(
        "aperture_correlation_other", correlations["control"], "mesh",
        ("ground truth, another clip's sound", correlations["ground_truth_control"]),
    )  # fmt: skip
    table.compare("aperture_correlation_own", "mesh", correlations)
    sizes = interval("amplitude", [_ratio(p.made, measured.truth(p.index).truth) for p in made])
    rebuilt = interval("amplitude vae", [_ratio(r.rebuilt, r.truth) for r in real])
    table.add("aperture_amplitude_ratio", sizes, "mesh", ("ground truth through the VAE", rebuilt))
    table.compare(
        "aperture_amplitude_ratio", "mesh",
        {"generated": sizes, "ground_truth_vae": rebuilt, "still": Interval(0.0, None, None, len(made))},
    )  # fmt: skip
    wins = interval("wins", [_win(p.sync_own, p.sync_other) for p in made])
    table.add(
        "sync_wins",
        wins,
        "sync",
        (TRUTH, interval("wins truth", [_win(r.sync_own, r.sync_other) for r in real])),
    )
    for name, read in (
        ("sync_confidence", lambda s: s.confidence if s else math.nan),
        ("sync_distance", lambda s: s.distance if s else math.nan),
    ):
        rows = {
            "generated": interval(name, [read(p.sync_own) for p in made]),
            "control": interval(name + " other", [read(p.sync_other) for p in made]),
            "ground_truth": interval(name + " truth", [read(r.sync_own) for r in real]),
            "ground_truth_control": interval(name + " truth other", [read(r.sync_other) for r in real]),
            "ground_truth_vae": interval(name + " vae", [read(r.sync_rebuilt) for r in real]),
            "still": interval(name + " still", [read(p.sync_still) for p in made]),
        }
        table.add(name, rows["generated"], "sync", (ANOTHER, rows["control"]))
        table.compare(name, "sync", rows)


def _ratio(a: Seen, b: Seen) -> float:
    spread = float(np.nanstd(b.aperture)) if np.isfinite(b.aperture).any() else 0.0
    return (
        float(np.nanstd(a.aperture)) / spread if spread > 1e-6 and np.isfinite(a.aperture).any() else math.nan
    )


def _win(own: Any, other: Any) -> float:
    """1 if the own sound scores higher, 0 if not or if no face could be followed."""
    return float(own is not None and other is not None and own.confidence > other.confidence)


def who(table: Table, measured: Measured) -> None:
    """Whether it is the reference's person, among all references and over time."""
    made = measured.made
    chance = 1 / len(made)
    network = table.names["identity"]
    ways: dict[str, tuple[Callable[[Seen], NDArray], str]] = {
        "identity_top1": (lambda seen: interior_features(seen.interiors), "mesh"),
        "identity_top1_model": (lambda seen: seen.embeddings, "identity"),
    }
    for name, (read, measured_by) in ways.items():
        gallery = _gallery(made, read)
        rows = {
            "generated": table.interval(name, [_top1(read(p.made), gallery, p.index) for p in made]),
            "ground_truth": table.interval(
                name + " truth", [_top1(read(measured.truth(i).truth), gallery, i) for i in measured.own]
            ),
            "ground_truth_vae": table.interval(
                name + " vae", [_top1(read(measured.truth(i).rebuilt), gallery, i) for i in measured.own]
            ),
            "still": table.interval(name + " still", [_top1(read(p.still), gallery, p.index) for p in made]),
        }
        table.add(name, rows["generated"], measured_by, (f"chance, 1 of {len(made)}", chance))
        table.compare(name, measured_by, rows)
    references = _gallery(made, lambda seen: seen.embeddings)
    csim, other = f"csim_proxy[{network}]", []
    for p in made:
        strangers = [j for j in range(len(references)) if j != p.index]
        other.append(float(np.mean([_likeness(p.made.embeddings, references[j]) for j in strangers])))
    rows = {
        "generated": table.interval(csim, [_likeness(p.made.embeddings, references[p.index]) for p in made]),
        "ground_truth": table.interval(
            csim + " truth",
            [_likeness(measured.truth(i).truth.embeddings, references[i]) for i in measured.own],
        ),
        "ground_truth_vae": table.interval(
            csim + " vae",
            [_likeness(measured.truth(i).rebuilt.embeddings, references[i]) for i in measured.own],
        ),
    }
    table.add(
        csim, rows["generated"], "identity", ("the other references", table.interval(csim + " other", other))
    )
    table.compare(csim, "identity", rows)
    copula = table.interval("csim_copula", [p.copula for p in made])
    truth = table.interval("csim_copula truth", [p.copula_truth for p in made])
    table.add("csim_copula", copula, None, (TRUTH, truth))
    table.compare("csim_copula", None, {"generated": copula, "ground_truth": truth})
    name = f"subject_consistency_proxy[{network}]"
    rows = {
        "generated": table.interval(name, [_consistency(p.made) for p in made]),
        "ground_truth": table.interval(
            name + " truth", [_consistency(r.truth) for r in measured.real.values()]
        ),
        "ground_truth_vae": table.interval(
            name + " vae", [_consistency(r.rebuilt) for r in measured.real.values()]
        ),
    }
    table.add(name, rows["generated"], "identity", (TRUTH, rows["ground_truth"]))
    table.compare(name, "identity", rows)


def _gallery(made: Sequence[Performance], read: Callable[[Seen], NDArray]) -> NDArray[np.float32]:
    """One feature vector a reference; a reference without a found face is nowhere near anything (zeros)."""
    features = [read(p.still) for p in made]
    width = max((f.shape[1] for f in features if len(f)), default=1)
    return np.stack([f[0] if len(f) else np.zeros(width, np.float32) for f in features])


def _top1(features: NDArray[np.float32], gallery: NDArray[np.float32], index: int) -> float:
    """Share of frames whose nearest reference is the own one; 0 when no frame has a face."""
    return float(((features @ gallery.T).argmax(1) == index).mean()) if len(features) else 0.0


def _likeness(embeddings: NDArray[np.float32], reference: NDArray[np.float32]) -> float:
    return float((embeddings @ reference).mean()) if len(embeddings) else math.nan


def _consistency(seen: Seen) -> float:
    import torch

    from components.evaluation.metrics.functional.motion import subject_consistency

    return (
        float(subject_consistency(torch.from_numpy(seen.embeddings)))
        if len(seen.embeddings) > 1
        else math.nan
    )


def picture(table: Table, measured: Measured) -> None:
    """Faces, likeness to the real frames, distribution, steadiness."""
    made, real = measured.made, list(measured.real.values())
    rows = {
        "generated": table.interval("face_rate", [p.made.found.mean() for p in made]),
        "ground_truth": table.interval("face_rate truth", [r.truth.found.mean() for r in real]),
        "ground_truth_vae": table.interval("face_rate vae", [r.rebuilt.found.mean() for r in real]),
        "still": table.interval("face_rate still", [p.still.found.mean() for p in made]),
    }
    table.add("face_rate", rows["generated"], "faces", (TRUTH, rows["ground_truth"]))
    table.compare("face_rate", "faces", rows)
    for name in ("psnr", "ssim"):
        own = [p for p in made if p.psnr is not None]
        rows = {
            "generated": table.interval(name, [_finite_mean(getattr(p, name)) for p in own]),
            "ground_truth_vae": table.interval(
                name + " vae", [_finite_mean(getattr(r, f"{name}_rebuilt")) for r in real]
            ),
            "still": table.interval(
                name + " still", [_finite_mean(getattr(p, f"still_{name}")) for p in own]
            ),
        }
        table.add(name, rows["generated"], None, ("still reference picture", rows["still"]))
        table.compare(name, None, rows)
    name = f"fid_proxy[{table.names['identity']}]"
    pairs = [(made[i], measured.truth(i)) for i in measured.own]
    rows = {
        "generated": _frechet(table, name, [(p.made, r.truth) for p, r in pairs]),
        "ground_truth_vae": _frechet(table, name + " vae", [(r.rebuilt, r.truth) for _, r in pairs]),
        "still": _frechet(table, name + " still", [(p.still, r.truth) for p, r in pairs]),
    }
    table.add(name, rows["generated"], "identity", ("still reference picture", rows["still"]))
    table.compare(name, "identity", rows)
    rows = {
        "generated": table.interval("flicker", [p.made.steadiness for p in made]),
        "ground_truth": table.interval("flicker truth", [r.truth.steadiness for r in real]),
        "ground_truth_vae": table.interval("flicker vae", [r.rebuilt.steadiness for r in real]),
        "still": Interval(1.0, None, None, len(made)),
    }
    table.add("flicker", rows["generated"], None, (TRUTH, rows["ground_truth"]))
    table.compare("flicker", None, rows)


def _finite_mean(values: NDArray[np.float64]) -> float:
    """Mean over frames that are not identical: the still row holds the very frame it was taken from."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else math.nan


FRECHET_RESAMPLES = 200


def _frechet(table: Table, name: str, pairs: Sequence[tuple[Seen, Seen]]) -> Interval:
    """Fréchet distance of all frames' embeddings; clips, not frames, are resampled for the interval."""
    import torch

    from components.evaluation.metrics.functional.frechet import frechet_distance_from_features

    sides = [(a.embeddings, b.embeddings) for a, b in pairs if len(a.embeddings) and len(b.embeddings)]
    if len(sides) < 2:
        return MISSING

    def distance(rows: NDArray[np.int64]) -> float:
        x, y = (torch.from_numpy(np.concatenate([sides[i][side] for i in rows])) for side in (0, 1))
        return float(frechet_distance_from_features(x, y))

    seed = derive(table.seed, "bootstrap", name)
    return statistic_interval(
        len(sides), distance, seed, min(table.resamples, FRECHET_RESAMPLES), table.level
    )


def learnt(
    table: Table, measured: Measured, perception: Mapping[str, Any], training: Mapping[str, Any]
) -> None:
    """What the nets themselves have learnt, on people they never saw."""
    real = [r for r in measured.real.values() if r.in_sync]

    def separation(rows: NDArray[np.int64]) -> float:
        return auc([v for i in rows for v in real[i].in_sync], [v for i in rows for v in real[i].shifted])

    control = ("the perception stage's own held-out people", _number(perception, "sync_auc"))
    table.add("sync_auc", table.statistic("sync_auc", len(real), separation), "sync", control)
    people = [measured.truth(i).truth.embeddings for i in measured.own]
    control = ("the perception stage's own held-out people", _number(perception, "identity_auc"))
    table.add(
        "identity_auc",
        table.statistic("identity_auc", len(people), _verification(people)),
        "identity",
        control,
    )
    ratio, control = validation(training)
    table.add("validation_loss_ratio", ratio, None, control)


def validation(training: Mapping[str, Any]) -> tuple[Interval, tuple[str, float | None]]:
    """Held-out loss at the end over the loss at step 0, and what stage 1 alone had left of it.

    Step 0 is the untrained generator; a training that has no stage 1 before it has its own start.
    """
    begin, end = _number(training, "validation_loss_start"), _number(training, "validation_loss_end")
    untrained = _number(training, "validation_loss_untrained") or begin
    ratio = _number(training, "validation_loss_ratio")
    if ratio is None and untrained and end is not None:
        ratio = end / untrained
    after_first = begin / untrained if untrained and begin is not None else None
    count = int(_number(training, "validation_windows") or 1)
    return Interval(ratio, None, None, count), ("before stage 2", after_first)


def _verification(people: Sequence[NDArray[np.float32]]) -> Callable[[NDArray[np.int64]], float]:
    """AUC of cosines within a person against between people, frames of the first half against the second."""
    halves = [(e[: len(e) // 2], e[len(e) // 2 :]) for e in people]

    def separation(rows: NDArray[np.int64]) -> float:
        same, different = [], []
        for i in rows:
            same.append((halves[i][0] @ halves[i][1].T).ravel())
            different += [(halves[i][0] @ halves[j][1].T).ravel() for j in set(rows.tolist()) - {int(i)}]
        return auc(np.concatenate(same), np.concatenate(different)) if different else math.nan

    return separation


def _number(values: Mapping[str, Any], name: str) -> float | None:
    value = values.get(name)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def items(measured: Measured) -> list[dict[str, Any]]:
    """One row a role, with its own figures."""
    rows = []
    gallery = _gallery(measured.made, lambda seen: interior_features(seen.interiors))
    for role, p in zip(measured.roles, measured.made, strict=True):
        own, other = p.sync_own, p.sync_other
        numbers = {
            "face_rate": float(p.made.found.mean()),
            "aperture_correlation_own": correlation(p.made.aperture, p.sound),
            "aperture_correlation_other": correlation(p.made.aperture, p.other_sound),
            "aperture_correlation_truth": correlation(measured.truth(p.index).truth.aperture, p.sound),
            "sync_confidence": own.confidence if own else math.nan,
            "sync_confidence_other": other.confidence if other else math.nan,
            "sync_offset": float(own.offset) if own else math.nan,
            "psnr": _finite_mean(p.psnr) if p.psnr is not None else math.nan,
            "ssim": float(p.ssim.mean()) if p.ssim is not None else math.nan,
        }
        numbers["identity_top1"] = _top1(interior_features(p.made.interiors), gallery, p.index)
        rows.append(role.as_dict() | {"prompt": p.prompt} | {name: rounded(v) for name, v in numbers.items()})
    return rows


def traces(measured: Measured) -> list[dict[str, Any]]:
    """Loudness and lips' opening over time, one row a role; null where no mesh was found."""

    def line(values: NDArray) -> list[float | None]:
        return [float(f"{v:.4g}") if math.isfinite(v) else None for v in values.tolist()]

    return [
        {
            "index": p.index,
            "sound": line(p.sound),
            "generated": line(p.made.aperture),
            "ground_truth": line(measured.truth(p.index).truth.aperture),
        }
        for p in measured.made
    ]
