"""What each figure of a comparison is called, what it is measured in, and which network measures it."""

from __future__ import annotations

from components.evaluation.catalogue import LIP, PICTURE, WHO, Entry

ASKED = "What was asked for"
GROUPS = (LIP, WHO, PICTURE, ASKED)

FIGURES: dict[str, tuple[Entry, str | None]] = {
    "aperture_correlation_own": (
        Entry(
            "Mouth follows the sound",
            "r",
            "higher",
            LIP,
            "lips' opening against loudness of the clean speech",
        ),
        "mesh",
    ),
    "aperture_correlation_other": (
        Entry("Mouth against another sound", "r", "lower", LIP, "what chance looks like"),
        "mesh",
    ),
    "sync_confidence": (
        Entry("Sync confidence", "", "higher", LIP, "not Sync-C: a stand-in network"),
        "sync",
    ),
    "sync_distance": (Entry("Sync distance", "", "lower", LIP, "not Sync-D: a stand-in network"), "sync"),
    "sync_offset": (Entry("Offset", "frames", "none", LIP, "at 25 fps; 0 is in sync"), "sync"),
    "beat_alignment": (
        Entry("Motion on the sound's onsets", "", "higher", LIP, "peaks of motion energy → onsets, σ 50 ms"),
        None,
    ),
    "face_sim_proxy": (
        Entry(
            "Face.sim%, stand-in", "%", "higher", WHO, "100 × cosine of identity embeddings to the portrait"
        ),
        "identity",
    ),
    "identity_drift": (
        Entry("Drift of identity", "%", "higher", WHO, "Face.sim% of the last third less that of the first"),
        "identity",
    ),
    "subject_consistency_proxy": (
        Entry("Same person all along", "cosine", "higher", WHO, "to the previous and to the first frame"),
        "identity",
    ),
    "dino_proxy": (
        Entry(
            "DINO%, stand-in", "%", "higher", WHO, "100 × cosine of whole-picture features to the portrait"
        ),
        "attributes",
    ),
    "csim_copula": (
        Entry("Copula similarity", "", "higher", WHO, "face square against the portrait's"),
        None,
    ),
    "face_rate": (Entry("Frames with a face", "share", "higher", PICTURE, "in the measured square"), "faces"),
    "fid_proxy": (
        Entry(
            "Fréchet distance on a proxy", "", "lower", PICTURE, "identity embeddings against the real clips'"
        ),
        "identity",
    ),
    "psnr": (Entry("PSNR", "dB", "higher", PICTURE, "face square, mean over frames"), None),
    "ssim": (Entry("SSIM", "", "higher", PICTURE, "face square, mean over frames"), None),
    "flicker": (Entry("Steadiness", "", "none", PICTURE, "a still picture scores 1"), None),
    "action_recognised": (
        Entry(
            "Requested action seen", "share", "higher", ASKED, "rules over the face mesh; hands are not told"
        ),
        "mesh",
    ),
    "gaze_followed": (
        Entry("Gaze of the prompt seen", "share", "higher", ASKED, "cues seen in some frame"),
        "attributes",
    ),
    "gesture_followed": (
        Entry("Head and hands of the prompt seen", "share", "higher", ASKED, "cues seen in some frame"),
        "attributes",
    ),
    "object_kept": (
        Entry("Held object kept", "share", "higher", ASKED, "frames; portraits that hold something"),
        "attributes",
    ),
    "coverage": (Entry("Length delivered", "share", "higher", PICTURE, "of the sound"), None),
}

REFERENCE_ROWS = {
    "ground_truth": "ground truth",
    "ground_truth_control": "ground truth, shuffled audio",
    "still": "still portrait",
    "copy_reference": "other footage of the person",
}
"""Always scored in the same run."""

OFFICIAL_FIGURES: dict[str, Entry] = {
    "sync.confidence": Entry("Sync-C", "", "higher", LIP, "SyncNet on its own crop, shifts of ±15 frames"),
    "sync.distance": Entry("Sync-D", "", "lower", LIP, "SyncNet on its own crop, shifts of ±15 frames"),
    "sync.absolute_offset": Entry("Offset, SyncNet", "frames", "lower", LIP, "absolute, at 25 fps"),
    "csim_arcface.csim": Entry(
        "CSIM", "cosine", "higher", WHO, "ArcFace to the portrait, frames with a face"
    ),
    "face_similarity.percent": Entry(
        "Face.sim%", "%", "higher", WHO, "100 × ArcFace's cosine to the portrait"
    ),
    "face_similarity.no_face_rate": Entry("Frames without a face", "share", "lower", WHO, "beside Face.sim%"),
    "identity_drift.loss": Entry("Drift, ArcFace", "cosine", "lower", WHO, "first fifth less last fifth"),
    "dino_percent": Entry("DINO%", "%", "higher", WHO, "100 × cosine of class tokens to the portrait"),
    "subject_consistency": Entry("Subject consistency", "cosine", "higher", WHO, "VBench, DINO"),
    "fid_pytorch-fid": Entry(
        "FID", "", "lower", PICTURE, "pytorch-fid's input, every 5th frame; no interval"
    ),
    "fvd16_styleganv": Entry("FVD 16, StyleGAN-V", "", "lower", PICTURE, "first 16 frames; no interval"),
    "fvd16_common_metrics": Entry("FVD 16, common_metrics", "", "lower", PICTURE, "first 16; no interval"),
    "fvd128_styleganv": Entry("FVD 128, StyleGAN-V", "", "lower", PICTURE, "first 128 frames; no interval"),
    "fvd128_common_metrics": Entry("FVD 128, common_metrics", "", "lower", PICTURE, "first 128; no interval"),
    "lpips": Entry("LPIPS", "", "lower", PICTURE, "against the real clip, where sizes agree"),
    "iqa": Entry("IQA, Q-Align", "", "higher", PICTURE, "0 to 1, no reference"),
}
"""What published weights measure, by metric and figure of the panel; never in one column with a stand-in."""


def official_entry(name: str) -> Entry:
    """Of an official figure; a label in brackets names a file that is not the published one."""
    return OFFICIAL_FIGURES[name.partition("[")[0]]


def entry_of(name: str) -> Entry:
    """Of any figure of a leaderboard."""
    return FIGURES[name][0] if name in FIGURES else official_entry(name)
