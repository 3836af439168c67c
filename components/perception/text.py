"""The generator's small text encoder (in the place of umT5) and the tokenizer of the domain.

A byte-level BPE of about a thousand pieces, trained on the phrasebook so that each word of the domain is one
token and any other text still has tokens; and a two-layer transformer that learns to tell from a text what it
states: every attribute and the action. Its token embeddings steer the generator, its pooled embedding is the
text tower of the image-text judge.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor, nn
from torch.nn import functional

from components.core import vocabulary as words
from components.core.files import read_json, write_bytes, write_json, write_text
from components.core.paths import require
from components.core.seeds import derive, seed_everything
from components.perception import wording

PAD = "<|pad|>"
VOCABULARY_SIZE = 1024
MAX_TOKENS = 256
TOKENIZER_TEXTS = 3000
MADE_BY = "syncdreamer stage perception"


def train_tokenizer(
    texts: Iterable[str], size: int = VOCABULARY_SIZE, specials: tuple[str, ...] = (PAD,)
) -> Tokenizer:
    """A byte-level BPE tokenizer of at most `size` pieces; the same texts give the same pieces."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(specials),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def domain_texts(seed: int, count: int = TOKENIZER_TEXTS) -> list[str]:
    """Texts in the domain's words, reproducible."""
    rng = np.random.default_rng(derive(seed, "domain texts"))
    return [wording.any_statement(rng).text for _ in range(count)]


def label_sizes() -> dict[str, int]:
    """Classes of each head: what a text can state about a scalar or an action, the last one "nothing"."""
    sizes = {name: len(values) + 1 for name, values in words.SCALARS.items()}
    return {**sizes, "action": len(words.ACTIONS) + 1}


class _Layer(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.up, self.down = nn.Linear(dim, 2 * dim), nn.Linear(2 * dim, dim)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        b, n, d = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None, :])
        x = x + self.out(mixed.transpose(1, 2).reshape(b, n, d))
        return x + self.down(functional.gelu(self.up(self.norm2(x))))


class TextNet(nn.Module):
    """Token ids (B,L) and mask (B,L) -> embeddings (B,L,D); `pool` gives (B,2D)."""

    def __init__(self, vocabulary: int, dim: int = 64, layers: int = 2, heads: int = 4) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, dim)
        nn.init.normal_(self.embedding.weight, std=0.5)
        position = torch.arange(MAX_TOKENS)[:, None]
        rate = torch.exp(torch.arange(0, dim, 2) * (-math.log(10_000.0) / dim))
        table = torch.zeros(MAX_TOKENS, dim)
        table[:, 0::2], table[:, 1::2] = torch.sin(position * rate), torch.cos(position * rate)
        self.register_buffer("positions", table * 0.3, persistent=False)
        self.layers = nn.ModuleList(_Layer(dim, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        x = self.embedding(ids) + self.positions[: ids.shape[1]]
        for layer in self.layers:
            x = layer(x, mask)
        return self.norm(x) * mask[..., None]

    @staticmethod
    def pool(embeddings: Tensor, mask: Tensor) -> Tensor:
        """Mean and maximum over the tokens of each text, (B,2D): what is said anywhere stays visible."""
        mean = embeddings.sum(1) / mask.sum(1, keepdim=True).clamp(min=1)
        peak = embeddings.masked_fill(~mask[..., None], -1e4).amax(1)
        return torch.cat([mean, peak], 1)


class TextEncoder:
    """Frozen; `load(folder)` reads what `train` wrote."""

    def __init__(self, tokenizer: Tokenizer, net: TextNet, config: dict[str, Any]) -> None:
        self.tokenizer = tokenizer
        self.net = net.eval().requires_grad_(False)
        self.config = config
        self._pad = tokenizer.token_to_id(PAD)

    @property
    def dim(self) -> int:
        """Width D of the embeddings."""
        return int(self.config["dim"])

    @classmethod
    def load(cls, folder: Path) -> TextEncoder:
        """Reads tokenizer.json, text_config.json and text.safetensors.

        Raises:
            InputError: a file is missing.
        """
        config = read_json(require(folder / "text_config.json", MADE_BY))
        tokenizer = Tokenizer.from_file(str(require(folder / "tokenizer.json", MADE_BY)))
        net = TextNet(config["vocabulary"], config["dim"], config["layers"], config["heads"])
        net.load_state_dict(load_file(require(folder / "text.safetensors", MADE_BY)))
        return cls(tokenizer, net, config)

    def save(self, folder: Path) -> None:
        """Writes the files that `load` reads; the same model gives the same bytes."""
        write_json(folder / "text_config.json", self.config)
        write_text(folder / "tokenizer.json", self.tokenizer.to_str())
        write_bytes(folder / "text.safetensors", save(self.net.state_dict()))

    def count_tokens(self, text: str) -> int:
        """Number of tokens of a text, before any cut."""
        return len(self.tokenizer.encode(text).ids)

    def tokens(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        """Ids (B,L) int64 and mask (B,L) bool, padded on the right; at most 256 tokens a text are kept."""
        rows = [encoding.ids[:MAX_TOKENS] for encoding in self.tokenizer.encode_batch(texts)]
        length = max(1, max(map(len, rows), default=1))
        ids = torch.full((len(rows), length), self._pad, dtype=torch.int64)
        mask = torch.zeros(len(rows), length, dtype=torch.bool)
        for index, row in enumerate(rows):
            ids[index, : len(row)] = torch.tensor(row, dtype=torch.int64)
            mask[index, : max(1, len(row))] = True
        return ids, mask

    @torch.no_grad()
    def encode(self, texts: list[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Embeddings (B,L,D) float32, zero where padded, and mask (B,L) bool.

        An empty text has one (padding) token. L is the longest text's length, at most 256.
        """
        ids, mask = self.tokens(texts)
        return self.net(ids, mask).numpy(), mask.numpy()

    @torch.no_grad()
    def pooled(self, texts: list[str]) -> Tensor:
        """Pooled embeddings (B,2D)."""
        ids, mask = self.tokens(texts)
        return self.net.pool(self.net(ids, mask), mask)


def _labels(statement: wording.Statement) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, values in words.SCALARS.items():
        said = statement.attributes.get(name, words.UNKNOWN)
        found[name] = values.index(said) if said in values else len(values)
    found["action"] = (
        words.ACTIONS.index(statement.action) if statement.action is not None else len(words.ACTIONS)
    )
    for name, values in words.LISTS.items():
        said = statement.attributes.get(name) or ()
        found[name] = [float(value in said) for value in values]
    return found


class _Heads(nn.Module):
    """Reads the pooled embedding during training; thrown away afterwards."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        dim = 2 * dim
        self.scalars = nn.ModuleDict({name: nn.Linear(dim, size) for name, size in label_sizes().items()})
        self.lists = nn.ModuleDict({name: nn.Linear(dim, len(v)) for name, v in words.LISTS.items()})

    def loss(self, pooled: Tensor, labels: list[dict[str, Any]]) -> tuple[Tensor, int, int]:
        total = pooled.new_zeros(())
        right = count = 0
        for name, head in self.scalars.items():
            wanted = torch.tensor([row[name] for row in labels])
            logits = head(pooled)
            total = total + functional.cross_entropy(logits, wanted)
            right += int((logits.argmax(1) == wanted).sum())
            count += len(labels)
        for name, head in self.lists.items():
            wanted = torch.tensor([row[name] for row in labels])
            total = total + functional.binary_cross_entropy_with_logits(head(pooled), wanted) * 2
        return total, right, count


def train(out_dir: Path, seed: int, *, steps: int = 500, batch: int = 32, dim: int = 64) -> dict[str, float]:
    """Trains tokenizer and encoder on texts of the phrasebook and saves both below `out_dir`.

    Returns:
        `text_accuracy`: share of held-out statements' scalars and actions read right, in [0,1].
    """
    seed_everything(derive(seed, "text encoder"))
    tokenizer = train_tokenizer(domain_texts(seed))
    config = {"vocabulary": tokenizer.get_vocab_size(), "dim": dim, "layers": 2, "heads": 4, "steps": steps}
    net, heads = TextNet(config["vocabulary"], dim), _Heads(dim)
    encoder = TextEncoder(tokenizer, net, config)
    net.train().requires_grad_(True)
    weights = [*net.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=3e-3, betas=(0.9, 0.98), weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps, pct_start=0.1)
    rng = np.random.default_rng(derive(seed, "text encoder", "train"))
    for _ in range(steps):
        statements = [wording.any_statement(rng) for _ in range(batch)]
        ids, mask = encoder.tokens([statement.text for statement in statements])
        loss, _, _ = heads.loss(net.pool(net(ids, mask), mask), [_labels(one) for one in statements])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        schedule.step()
    net.eval().requires_grad_(False)
    rng = np.random.default_rng(derive(seed, "text encoder", "held out"))
    held_out = [wording.any_statement(rng) for _ in range(256)]
    pooled = encoder.pooled([statement.text for statement in held_out])
    with torch.no_grad():
        _, right, count = heads.loss(pooled, [_labels(statement) for statement in held_out])
    encoder.save(out_dir)
    return {"text_accuracy": right / count}
