"""Stage vae: principal components first, then a few hundred steps of reconstruction.

With `weights` the official VAE is used as it is (its latent statistics are measured by `encode`).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.avatar.params import VaeParams
from components.core.errors import InputError
from components.core.files import digest_tree, write_json
from components.core.paths import Workspace, require
from components.core.seeds import derive

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from components.avatar.vae import PatchVAE

OFFICIAL = ("AutoencoderKLWan", "AutoencoderKLCogVideoX")
"""Both take 4k+1 frames, compress time 4 times and space 8 times, and have 16 channels."""
PATCH_WINDOWS = 3
"""Windows of each clip whose patches go into the principal components."""


def run(params: VaeParams, workspace: Workspace, seed: int) -> None:
    """Writes artifacts/vae/{model/, config.json, metrics.json, history.jsonl}."""
    out = workspace.artifacts("vae")
    if params.weights:
        source = require(Path(params.weights), "a download of AutoencoderKLWan")
        shutil.copytree(source, out / "model")
        pictures = {"size": params.size, "face_share": params.face_share, "follow": params.follow}
        write_json(out / "config.json", {"kind": "official"} | pictures)
        write_json(out / "metrics.json", {"official": 1})
        return
    from components.avatar.training import HISTORY, RESULT, Job, loop_settings, per_rank, train

    if params.frames % 4 != 1:
        raise InputError(f"vae.frames must be 4k+1 (17, 21 …), not {params.frames}")
    shards = require(workspace.artifacts("curate", "shards"), "syncdreamer stage curate")
    settings = params.model_dump(mode="json", exclude={"weights", "deepspeed_config"})
    job = Job(
        task="components.avatar.vae_training:VaeTask",
        settings=settings
        | {"shards": "artifacts/curate/shards", "per_rank": per_rank(params.batch, params.ranks)},
        inputs={"shards": digest_tree(shards)},
        loop=loop_settings(params, workspace),
        steps=params.steps,
        learning_rate=params.learning_rate,
        seed=derive(seed, "vae"),
    )
    result = train(job, workspace.state("vae"), workspace.root)
    shutil.copytree(result / RESULT, out, dirs_exist_ok=True)
    shutil.copy(result / HISTORY, out / HISTORY)


class VaeTask:
    """Reconstruction of windows of the training clips; each rank holds every ranks-th clip."""

    def __init__(self, settings: dict[str, Any], root: Path, seed: int, rank: int, ranks: int) -> None:
        import numpy as np
        import torch

        from components.avatar.clips import EYES, MOUTH, grown, read_clip
        from components.avatar.framing import framed
        from components.avatar.vae import PatchVAE
        from components.core.pictures import resized
        from components.storage.shards import read_shards

        self.settings, self.seed = settings, seed
        self.module: PatchVAE = PatchVAE(
            *(settings[name] for name in ("channels", "width", "encoder_depth", "decoder_depth", "smoothing"))
        )
        self.train: list[tuple[str, Tensor, Tensor]] = []
        self.held: list[tuple[str, Tensor, Tensor]] = []
        for index, sample in enumerate(read_shards(root / settings["shards"])):
            if index % ranks != rank:
                continue
            clip = framed(read_clip(sample), settings["face_share"], settings["follow"])
            if clip.split not in ("train", "val") or len(clip.frames) < settings["frames"]:
                continue
            video = torch.from_numpy(resized(clip.frames, settings["size"]))
            wide = grown(clip.regions[:, [MOUTH, EYES]])
            cells = torch.from_numpy((wide * 255).round().astype(np.uint8))
            (self.train if clip.split == "train" else self.held).append((clip.clip_id, video, cells))
        if not self.train:
            raise InputError(f"no training clip of at least {settings['frames']} frames for rank {rank}")
        self._start_from_components()

    def _window(
        self, entry: tuple[str, Tensor, Tensor], start: int, prefix: str = ""
    ) -> tuple[Tensor, Tensor]:
        """(3,T,S,S) in [-1,1] of one window, and weights (1,T,S,S) by the settings of that prefix."""
        import torch

        _, video, cells = entry
        length, size = self.settings["frames"], self.settings["size"]
        picture = video[start : start + length].permute(3, 0, 1, 2).float() / 127.5 - 1
        gains = torch.tensor([self.settings[f"{prefix}{name}_weight"] - 1 for name in ("mouth", "eyes")])
        weight = 1 + torch.einsum("trhw,r->thw", cells[start : start + length].float() / 255, gains)
        weight = torch.nn.functional.interpolate(
            weight[:, None], (size, size), mode="bilinear", align_corners=False
        )
        return picture, weight.transpose(0, 1)

    def preview(self) -> None:
        """Nothing to look at before the end."""

    def _start_from_components(self) -> None:
        import torch
        import torch.distributed as dist

        from components.avatar.vae import SPACE, TIME, leading_components, patchify

        generator = torch.Generator().manual_seed(derive(self.seed, "components") % 2**63)
        patch = 3 * TIME * SPACE * SPACE
        total = torch.zeros(patch + 1, patch + 1, dtype=torch.float64)
        for entry in self.train:
            for _ in range(PATCH_WINDOWS):
                free = len(entry[1]) - self.settings["frames"] + 1
                start = int(torch.randint(free, (1,), generator=generator))
                picture, weight = self._window(entry, start, "components_")
                patches = patchify(picture[None])[0].flatten(1).T
                share = patchify(weight[None].expand(-1, 3, -1, -1, -1))[0].mean(0).flatten()
                rows = torch.cat([patches, torch.ones(len(patches), 1)], 1)
                total += (rows.T @ (rows * share[:, None])).double()
        if dist.is_initialized():
            dist.all_reduce(total)
        mass = total[-1, -1]
        mean = total[-1, :-1] / mass
        covariance = total[:-1, :-1] / mass - torch.outer(mean, mean)
        basis = leading_components(covariance, self.settings["channels"])
        spread = torch.einsum("cp,pq,cq->c", basis.double(), covariance, basis.double()).sqrt()
        self.module.set_linear_path(mean.float(), basis, spread.float())

    def batch(self, step: int, rank: int) -> dict[str, Any]:
        """Windows drawn by seed, step and rank."""
        import torch

        generator = torch.Generator().manual_seed(derive(self.seed, "batch", step, rank))
        names, pictures, weights = [], [], []
        for _ in range(self.settings["per_rank"]):
            entry = self.train[int(torch.randint(len(self.train), (1,), generator=generator))]
            free = len(entry[1]) - self.settings["frames"] + 1
            picture, weight = self._window(entry, int(torch.randint(free, (1,), generator=generator)))
            names.append(entry[0])
            pictures.append(picture)
            weights.append(weight)
        side = self.settings["size"] // 8
        shape = (len(names), self.settings["channels"], (self.settings["frames"] + 3) // 4, side, side)
        noise = torch.randn(shape, generator=generator)
        return {
            "clip_ids": names,
            "video": torch.stack(pictures),
            "weight": torch.stack(weights),
            "noise": noise,
        }

    def losses(self, module: Callable[..., Any], batch: dict[str, Any]) -> dict[str, Tensor]:
        """Weighted L1 of pictures and of their differences in time, and the divergence."""
        video, weight = batch["video"], batch["weight"]
        made, mean, log_variance = module(video, batch["noise"])
        error = made - video
        picture = (weight * error.abs()).mean() / weight.mean()
        motion = (weight[:, :, 1:] * error.diff(dim=2).abs()).mean() / weight.mean()
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()
        loss = picture + self.settings["motion_weight"] * motion + self.settings["kl_weight"] * divergence
        return {"loss": loss, "picture": picture, "motion": motion, "divergence": divergence}

    def validate(self, module: nn.Module, rank: int, ranks: int) -> dict[str, Tensor]:
        """Sums over the first window of each held-out clip of this rank: loss, PSNR (dB), mouth PSNR."""
        import torch

        sums = {name: torch.zeros(()) for name in ("count", "loss", "psnr", "psnr_weighted")}
        for entry in self.held or self.train[:4]:
            picture, weight = self._window(entry, 0)
            noise = torch.zeros(
                1,
                self.settings["channels"],
                (picture.shape[1] + 3) // 4,
                picture.shape[2] // 8,
                picture.shape[3] // 8,
            )
            error = module(picture[None], noise)[0].clamp(-1, 1) - picture
            inside = weight / weight.mean()
            sums["loss"] += (inside * error.abs()).mean()
            sums["psnr"] += _psnr(error.square().mean())
            sums["psnr_weighted"] += _psnr((inside * error.square()).mean())
            sums["count"] += 1
        return sums

    def validate_untrained(self, rank: int, ranks: int) -> None:
        """Training starts from the principal components; there is nothing before them."""

    def save(self, module: nn.Module, folder: Path, facts: dict[str, float]) -> None:
        """Writes model/, config.json and metrics.json."""
        self.module.save_pretrained(folder / "model")
        pictures = {name: self.settings[name] for name in ("size", "face_share", "follow")}
        write_json(folder / "config.json", {"kind": "PatchVAE"} | pictures)
        write_json(folder / "metrics.json", facts)


def _psnr(error: torch.Tensor) -> torch.Tensor:
    """dB of a mean squared error of pictures in [-1,1]."""
    return 10 * (4 / error.clamp(min=1e-10)).log10()


def load_vae(folder: Path) -> Any:
    """The VAE of artifacts/vae/model (or a pipeline's vae folder), small or official, frozen."""
    from components.core.files import read_json

    name = read_json(folder / "config.json").get("_class_name", "")
    if name == "PatchVAE":
        from components.avatar.vae import PatchVAE

        kind: Any = PatchVAE
    elif name in OFFICIAL:
        import diffusers

        kind = getattr(diffusers, name)
    else:
        raise InputError(
            f"{folder} holds {name or 'no VAE'}; PatchVAE or {' or '.join(OFFICIAL)} was expected"
        )
    return kind.from_pretrained(folder).eval().requires_grad_(False)
