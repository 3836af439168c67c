"""Official text encoders behind the small one's call, with weights made here."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers

from components.avatar.official import OfficialText, audio_encoder, text_encoder
from components.core.errors import InputError


@pytest.mark.parametrize("kind", ["UMT5", "T5"])
def test_a_text_encoder_of_the_official_architecture(kind, tmp_path):
    import transformers

    words = {"<pad>": 0, "</s>": 1, "<unk>": 2, "nod": 3, "slowly": 4, "smile": 5}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(tmp_path / "tokenizer")
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=6, d_model=12, d_kv=4, d_ff=16, num_layers=1, num_heads=3, pad_token_id=0
    )
    torch.manual_seed(0)
    network = getattr(transformers, f"{kind}EncoderModel")(config).eval()
    network.save_pretrained(tmp_path / "text_encoder")
    encoder = text_encoder(tmp_path)
    assert isinstance(encoder, OfficialText)
    embedding, mask = encoder.encode(["nod slowly nod", "smile"])
    assert embedding.shape == (2, 3, 12) and mask.tolist() == [[True] * 3, [True, False, False]]
    assert not embedding[1, 1:].any()
    with torch.no_grad():
        alone = network(torch.tensor([[5]])).last_hidden_state[0, 0].numpy()
    np.testing.assert_allclose(embedding[1, 0], alone, atol=1e-5)


def test_what_is_not_there_is_told(tmp_path):
    (tmp_path / "text_encoder").mkdir()
    with pytest.raises(InputError, match="text_encoder/ and tokenizer/"):
        text_encoder(tmp_path)
    with pytest.raises(InputError):
        audio_encoder(tmp_path)
