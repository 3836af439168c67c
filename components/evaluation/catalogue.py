"""What each figure in metrics.json is called, measured in, and read as."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """title: for people. unit: "" for a pure number. better: higher, lower or none. group: its table."""

    title: str
    unit: str
    better: str
    group: str
    note: str


LIP, WHO, PICTURE, LEARNT, TEXT = (
    "Lips and sound",
    "Who it is",
    "Picture",
    "What was learnt",
    "Prompt enhancer",
)
GROUPS = (LIP, WHO, PICTURE, LEARNT, TEXT)

CATALOGUE: dict[str, Entry] = {
    "face_rate": Entry(
        "Frames with a face", "share", "higher", PICTURE, "frames in which the detector finds a face"
    ),
    "aperture_correlation_own": Entry(
        "Mouth follows its own sound", "r", "higher", LIP,
        "correlation over time of the lips' opening with the loudness of the sound the clip was made from",
    ),
    "aperture_correlation_other": Entry(
        "Mouth follows another sound", "r", "lower", LIP,
        "the same videos against the sound of another clip: what chance looks like",
    ),
    "aperture_amplitude_ratio": Entry(
        "Size of the mouth's movement", "ratio", "higher", LIP,
        "standard deviation of the lips' opening over that of the real video of the same sentence",
    ),
    "sync_wins": Entry(
        "Sync confidence above control", "share", "higher", LIP,
        "clips whose sync confidence with their own sound is above that with another clip's",
    ),
    "sync_confidence": Entry(
        "Sync confidence", "", "higher", LIP, "median minus least distance over shifts of ±15 frames"
    ),
    "sync_distance": Entry("Sync distance", "", "lower", LIP, "least distance over shifts of ±15 frames"),
    "identity_top1": Entry(
        "Right person by the face interior", "share", "higher", WHO,
        "frames whose face interior is nearest to the own reference among all references",
    ),
    "identity_top1_model": Entry(
        "Right person by the identity model", "share", "higher", WHO,
        "frames whose identity embedding is nearest to the own reference among all references",
    ),
    "csim_proxy": Entry(
        "Likeness to the reference", "cosine", "higher", WHO,
        "mean cosine of identity embeddings to the reference",
    ),
    "csim_copula": Entry(
        "Copula similarity to the reference", "", "higher", WHO,
        "likeness of pixel order in 8×8 patches of the frame, blind to brightness",
    ),
    "subject_consistency_proxy": Entry(
        "Same person all along", "cosine", "higher", WHO,
        "mean of the cosines to the previous and to the first frame",
    ),
    "psnr": Entry("PSNR", "dB", "higher", PICTURE, "mean over frames; test people, own sentence"),
    "ssim": Entry("SSIM", "", "higher", PICTURE, "mean over frames, Wang's valid window; own sentence"),
    "fid_proxy": Entry(
        "Fréchet distance on a proxy network", "", "lower", PICTURE,
        "frames against real frames; not an FID: the features are not Inception's",
    ),
    "flicker": Entry(
        "Steadiness", "", "none", PICTURE, "1 − mean change between frames / 255; a still picture scores 1"
    ),
    "sync_auc": Entry(
        "Sync model: in sync against shifted", "AUC", "higher", LEARNT,
        "how well the sync model tells real clips of unseen people from the same clips shifted",
    ),
    "identity_auc": Entry(
        "Identity model: same against different person", "AUC", "higher", LEARNT,
        "real frames of unseen people: one half of a clip against the other half and against other people"
    ),
    "validation_loss_ratio": Entry(
        "Generator: validation loss, end over start", "ratio", "lower", LEARNT,
        "held-out loss at the end over step 0",
    ),
    "enhancer_action_kept": Entry(
        "Instruction's action kept", "share", "higher", TEXT,
        "held-out pictures and phrasings, greedy decoding",
    ),
    "enhancer_reward": Entry(
        "Composite reward, sampled", "", "higher", TEXT,
        "after GRPO, held-out combinations, sampled at temperature 1: what GRPO trains",
    ),
    "enhancer_reward_greedy": Entry(
        "Composite reward, greedy", "", "higher", TEXT, "the same, greedy: what `generate` uses"
    ),
    "enhancer_reward_gain": Entry(
        "Gain of GRPO over SFT, sampled", "", "higher", TEXT,
        "mean difference of the composite reward, same cases",
    ),
    "enhancer_reward_gain_greedy": Entry(
        "Gain of GRPO over SFT, greedy", "", "higher", TEXT,
        "most of it is ordering and cues that the SFT targets lack on purpose",
    ),
    "enhancer_well_formed": Entry(
        "Text well formed", "share", "higher", TEXT,
        "complete sentences, no repetition, within the token budget",
    ),
}  # fmt: skip

ROWS: dict[str, str] = {
    "generated": "generated",
    "control": "generated, another clip's sound",
    "ground_truth": "ground truth",
    "ground_truth_control": "ground truth, another clip's sound",
    "ground_truth_vae": "ground truth through the VAE",
    "still": "still reference picture",
}
"""Rows that are always scored in the same run."""


def entry(name: str) -> Entry:
    """The catalogue's entry; a name with its network, `fid_proxy[net@1a2b]`, is looked up without it."""
    return CATALOGUE[name.partition("[")[0]]
