"""Who is generated with whose sound: unseen people, unseen sentences, and the wrong sentence as control."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from components.core.errors import InputError
from components.core.files import read_parquet
from components.core.paths import Workspace, require
from components.core.seeds import derive
from components.evaluation.params import EvaluateParams

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Role:
    """One clip to generate.

    reference: clip whose annotated frame shows the person. sound: clip that the sound and the real video of
    that sentence come from. other: clip of another sentence, the control. seed: of the starting noise.
    """

    index: int
    identity: str
    split: str
    reference: str
    sound: str
    other: str
    instruction: str
    seed: int

    @property
    def own(self) -> bool:
        """Whether the person really spoke this sentence, so that frames can be compared one by one."""
        return self.reference == self.sound

    def as_dict(self) -> dict[str, Any]:
        """The row of `items` in metrics.json that the measurements are added to."""
        return asdict(self) | {"own": self.own}


def cast(params: EvaluateParams, workspace: Workspace, seed: int) -> list[Role]:
    """The roles, test people first; fewer where the corpus has fewer people.

    Raises:
        InputError: the test split holds fewer than two kept clips of the length (one to speak, another as
            control).
    """
    table = _close_ups(workspace)
    table = table[table["duration"] >= params.seconds - 1e-6]
    test = table[table["split"] == "test"]
    if len(test) < 2:
        raise InputError(
            f"evaluation needs two kept close-ups of {params.seconds:g} s in the test split, to speak and "
            f"as control, found {len(test)}; add clips, or lower evaluate.seconds"
        )
    people = _one_a_person(test, params.test_people)
    train = _one_a_person(table[table["split"] == "train"], params.training_people)
    spoken = list(people["clip_id"])
    sentences = spoken if len(spoken) > 1 else spoken + [c for c in test["clip_id"] if c not in spoken]
    plan = [(row, "test", row.clip_id) for row in people.itertuples()]
    plan += [(row, "train", spoken[place % len(spoken)]) for place, row in enumerate(train.itertuples())]
    return [
        Role(
            index=index,
            identity=row.identity,
            split=split,
            reference=row.clip_id,
            sound=sound,
            other=_another(sentences, sound, index // len(spoken)),
            instruction=INSTRUCTIONS[index % len(INSTRUCTIONS)],
            seed=derive(seed, "evaluate", index),
        )
        for index, (row, split, sound) in enumerate(plan)
    ]


def _another(sentences: list[str], sound: str, turn: int) -> str:
    """A sentence that is not `sound`; another one at every turn as far as there are any."""
    rest = len(sentences) - 1
    return sentences[(sentences.index(sound) + 1 + turn % rest) % len(sentences)]


INSTRUCTIONS = (
    "nod while talking",
    "smile at the camera",
    "look to the left",
    "tilt the head a little",
    "raise the eyebrows",
    "shake the head",
    "look to the right",
    "lean in a little",
)


def _close_ups(workspace: Workspace) -> pd.DataFrame:
    manifest = read_parquet(
        require(workspace.artifacts("curate", "manifest.parquet"), "syncdreamer stage curate")
    )
    kept = manifest[(manifest["decision"] == "keep") & (manifest["framing"] == "close-up")]
    return kept.sort_values("clip_id", kind="stable")


def _one_a_person(table: pd.DataFrame, count: int) -> pd.DataFrame:
    """The first clip of each identity, the first `count` identities."""
    return table.drop_duplicates("identity").sort_values("identity", kind="stable").head(count)
