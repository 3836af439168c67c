"""Run by another Python (see `qalign.py`): level logits of pictures by q-future/one-align, as a JSON list.

    python qalign_worker.py MODEL_FOLDER PICTURE_FOLDER OUT.json

Needs torch, Pillow and a transformers that one-align's own code runs with; imports nothing of the project.
"""

import json
import sys
from pathlib import Path


def main(model_folder: str, picture_folder: str, out: str) -> None:
    """Scores every PNG of the folder, in the order of the names."""
    import torch
    from PIL import Image
    from transformers import AutoModelForCausalLM

    cuda = torch.cuda.is_available()
    model = AutoModelForCausalLM.from_pretrained(
        model_folder,
        trust_remote_code=True,
        attn_implementation="eager",
        torch_dtype=torch.float16 if cuda else torch.float32,
        device_map="auto" if cuda else None,
    ).eval()
    rows = []
    # `score` applies the softmax and its weights itself; the logits in front of them are what is wanted.
    seen = []
    model.register_forward_hook(
        lambda _module, _inputs, output: seen.append(output["logits"][:, -1, model.preferential_ids_])
    )
    for path in sorted(Path(picture_folder).glob("*.png")):
        with Image.open(path) as picture:
            model.score([picture.convert("RGB")], task_="quality", input_="image")
        rows.append(seen.pop().float().cpu()[0].tolist())
        seen.clear()
    Path(out).write_text(json.dumps(rows), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:4])
