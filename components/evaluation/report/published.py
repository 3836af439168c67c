"""Figures that papers published, for orientation: none was measured here, none is comparable with ours.

Source: the SyncDreamer paper's tables and supplement (table 1).
"""

from __future__ import annotations

PUBLISHED: tuple[dict[str, str], ...] = (
    {"set": "HDTF", "method": "SyncDreamer", "FID": "52.8", "FVD": "508.1", "Sync-C": "8.04",
     "Sync-D": "6.15", "other": "IQA 3.72"},
    {"set": "HDTF", "method": "OmniAvatar", "FID": "53.7", "FVD": "514.7", "Sync-C": "7.92", "Sync-D": "6.36",
     "other": "IQA 3.68"},
    {"set": "HDTF", "method": "HunyuanVideo-Avatar", "FID": "54.9", "FVD": "528.3", "Sync-C": "7.34",
     "Sync-D": "6.48", "other": "IQA 3.56"},
    {"set": "AVSpeech", "method": "SyncDreamer", "FID": "67.9", "FVD": "72.6", "Sync-C": "6.31",
     "Sync-D": "7.05", "other": "IQA 2.81"},
    {"set": "EMTD", "method": "SyncDreamer", "FID": "41.77", "FVD": "483.59", "Sync-C": "–", "Sync-D": "–",
     "other": "PSNR 22.38, SSIM .746, CSIM .598"},
    {"set": "EMTD", "method": "EchoMimicV2", "FID": "42.69", "FVD": "528.10", "Sync-C": "–", "Sync-D": "–",
     "other": "PSNR 22.09, SSIM .741, CSIM .393"},
)  # fmt: skip
ABLATION = (
    "Attention Localization Loss, without → with (supplement, table 1): DINO% 73.8 → 74.2, "
    "Face.sim% 69.3 → 71.5, SyncNet 7.91 → 8.26."
)
COLUMNS = ("set", "method", "FID", "FVD", "Sync-C", "Sync-D", "other")
