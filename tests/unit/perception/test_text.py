"""Tokenizer and text encoder: what is promised about shapes, counts, files and repeatability."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from components.core.errors import InputError
from components.core.files import digest_tree
from components.perception import text, wording
from components.perception.captions import CAPTION_TOKENS, compose, with_actions


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text")
    told = text.train(path, 3, steps=12, batch=8, dim=16)
    assert 0 <= told["text_accuracy"] <= 1
    return path


def test_embeddings_and_mask(folder: Path) -> None:
    encoder = text.TextEncoder.load(folder)
    embeddings, mask = encoder.encode(["the person nods.", "a", ""])
    assert embeddings.shape == (3, encoder.count_tokens("the person nods."), encoder.dim)
    assert embeddings.dtype == np.float32
    assert mask.dtype == np.bool_
    assert mask.sum(1).tolist() == [encoder.count_tokens("the person nods."), 1, 1]
    assert not embeddings[~mask].any()


def test_words_of_the_domain_are_one_token(folder: Path) -> None:
    encoder = text.TextEncoder.load(folder)
    assert encoder.count_tokens("the person nods") == 3
    assert encoder.count_tokens("The  PERSON nods") <= 4


def test_any_text_has_tokens_and_comes_back(folder: Path) -> None:
    encoder = text.TextEncoder.load(folder)
    ids = encoder.tokenizer.encode("żółw 🙂 waves").ids
    assert encoder.tokenizer.decode(ids).strip() == "żółw 🙂 waves"


def test_the_same_seed_gives_the_same_files(folder: Path, tmp_path: Path) -> None:
    text.train(tmp_path, 3, steps=12, batch=8, dim=16)
    assert digest_tree(tmp_path) == digest_tree(folder)


def test_long_texts_are_cut_but_counted(folder: Path) -> None:
    encoder = text.TextEncoder.load(folder)
    long = "nod " * 400
    assert encoder.count_tokens(long) >= 400
    assert encoder.encode([long])[0].shape[1] == text.MAX_TOKENS


def test_a_missing_folder_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="syncdreamer stage perception"):
        text.TextEncoder.load(tmp_path / "none")


def test_captions_stay_below_the_limit(folder: Path) -> None:
    encoder = text.TextEncoder.load(folder)
    rng = np.random.default_rng(0)
    for _ in range(100):
        assert (
            encoder.count_tokens(compose(wording.any_attributes(rng), encoder.count_tokens)) < CAPTION_TOKENS
        )


def test_unknown_values_are_not_said() -> None:
    said = compose({"hair": "unknown", "background": "park", "objects": [], "accessories": []})
    assert said == "A person, in a park."


def test_actions_follow_the_caption_once_each() -> None:
    assert with_actions("A person.", ["nod", "smile", "nod"]) == "A person. The person nods, then smiles."
    assert with_actions("A person.", []) == "A person."
