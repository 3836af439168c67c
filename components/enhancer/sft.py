"""Stage `enhancer_sft`: the vision-language model learns image + instruction -> motion-aware prompt (TRL)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.core.files import write_json
from components.core.paths import Workspace
from components.core.progress import say
from components.core.seeds import derive, seed_everything, single_thread
from components.enhancer.pairs import Pair, Pool, request
from components.enhancer.params import EnhancerSftParams

if TYPE_CHECKING:
    from components.enhancer.model import Enhancer

STAGE = "enhancer_sft"
ANSWERS = "answers.json"
"""The held-out cases' texts, greedy and sampled, in the cases' order: GRPO's gain is measured from them."""
MAX_LENGTH = 256
HISTORY = {
    "loss": "loss",
    "learning_rate": "learning_rate",
    "mean_token_accuracy": "token_accuracy",
    "grad_norm": "gradient_norm",
}
"""TRL's names -> ours, of what goes to history.jsonl."""


def pair_dataset(pool: Pool, pairs: list[Pair]) -> Any:
    """A data set of TRL's prompt-completion form with a picture a row; pictures are made when read."""
    from datasets import Dataset

    from components.enhancer.model import conversation, picture

    def rows(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        chosen = [pairs[index] for index in batch["pair"]]
        return {
            "prompt": [
                conversation(request(pair.instruction.text, pool.attributes[pair.row])) for pair in chosen
            ],
            "completion": [[{"role": "assistant", "content": pair.target}] for pair in chosen],
            "image": [picture(pool.images[pair.row]) for pair in chosen],
        }

    table = Dataset.from_dict({"pair": list(range(len(pairs)))})
    table.set_transform(rows)
    return table


def train(
    pool: Pool, params: EnhancerSftParams, seed: int, work: Path, stop_after: int | None = None
) -> tuple[Enhancer, list[dict[str, float]]]:
    """Trains on `pool` from scratch, or goes on from the last whole checkpoint below `work`.

    `work` is keyed by content: a checkpoint in it belongs to these very pictures and parameters. The same
    seed gives the same weights, interrupted or not. `stop_after` ends after that many steps of this schedule.

    Returns:
        the trained model and the rows of its history.
    """
    from components.enhancer import adapters, ranks
    from components.enhancer.model import Enhancer
    from components.enhancer.training import history_rows

    if params.ranks.count > 1:
        rows = ranks.run(ranks.Job(STAGE, params.model_dump(mode="json"), seed, str(work), stop_after), pool)
        start = untrained(params, seed)
        return ranks.result(work, start), rows
    trainer, processor = trained(pool, params, seed, work, stop_after)
    model = adapters.whole(trainer.model).eval()
    return Enhancer(model, processor), history_rows(trainer.state.log_history, HISTORY)


def untrained(params: EnhancerSftParams, seed: int) -> Enhancer:
    """The model before its first step: fresh weights, or a published language model's with a fresh tower."""
    from components.enhancer.model import Enhancer, build_model, build_processor
    from components.enhancer.pairs import tokenizer_texts

    seed_everything(derive(seed, STAGE, "weights"))
    if params.model.base is not None:
        from components.enhancer import language_base

        return language_base.build(language_base.located(params.model.base), params.model)
    processor = build_processor(tokenizer_texts(params.targets, seed), params.model.vocabulary)
    return Enhancer(build_model(processor, params.model), processor)


def trained(
    pool: Pool, params: EnhancerSftParams, seed: int, work: Path, stop_after: int | None
) -> tuple[Any, Any]:
    """The trainer after its work in this process (a rank of several, or the only one), and the processor."""
    from trl import SFTConfig, SFTTrainer

    from components.enhancer import adapters, ranks
    from components.enhancer import pairs as pairing
    from components.enhancer.model import Enhancer
    from components.enhancer.training import SayProgress, StopAfter, drop_printer, last_checkpoint, quiet

    single_thread()
    quiet()
    pairs = pairing.training_pairs(pool, params.steps * params.batch, params.targets, seed)
    start = untrained(params, seed)
    processor, model = start.processor, start.model
    checkpoint = last_checkpoint(work)
    if checkpoint is not None and ranks.reads_weights(checkpoint):
        # Trainer would load none of Qwen2-VL's saved keys on resuming, with a warning only: load them here.
        model = Enhancer.load(checkpoint, processor).model
        for each in (model.config, *(getattr(model.config, name) for name in model.config.sub_configs)):
            each.dtype = None  # from_pretrained notes it; a model that was built has none: equal bytes
    if checkpoint is not None:
        say(f"enhancer SFT: goes on from {checkpoint.name}")
    config = SFTConfig(
        output_dir=str(work),
        max_steps=params.steps,
        per_device_train_batch_size=params.batch // params.ranks.count,
        learning_rate=params.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=params.warmup,
        adam_beta2=0.98,
        max_grad_norm=1.0,
        completion_only_loss=True,
        max_length=MAX_LENGTH,
        logging_steps=params.log_every,
        save_steps=params.save_every,
        save_total_limit=1,
        seed=derive(seed, STAGE, "trainer") % 2**31,
        data_seed=derive(seed, STAGE, "order") % 2**31,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        dataloader_num_workers=1,  # pictures are prepared beside the step; the order and the bytes stay
        report_to="none",
        disable_tqdm=True,
        **ranks.settings(params.ranks),
    )
    trainer = SFTTrainer(
        model=model,
        args=config,
        train_dataset=pair_dataset(pool, pairs),
        processing_class=processor,
        callbacks=[SayProgress("enhancer SFT", ("loss", "mean_token_accuracy")), StopAfter(stop_after)],
        peft_config=adapters.config_of(params.lora, fresh_vision=True),
    )
    drop_printer(trainer)
    if checkpoint is not None and (checkpoint / adapters.WEIGHTS).exists():
        adapters.take_up(trainer.model, checkpoint)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    return trainer, processor


def base_digest(base: str) -> str:
    """SHA-256 of a language model's file or folder: other weights are another training.

    Raises:
        InputError: it is missing.
    """
    from components.core.files import digest_file, digest_tree
    from components.enhancer.language_base import located

    path = located(base)
    return digest_file(path) if path.is_file() else digest_tree(path)


def run(params: EnhancerSftParams, workspace: Workspace, seed: int) -> None:
    """Writes artifacts/enhancer_sft: model/, config.json, metrics.json, history.jsonl, samples.json,
    answers.json."""
    from components.enhancer import data
    from components.enhancer.enhance import pack
    from components.enhancer.scoring import Scorer, measure
    from components.enhancer.training import content_key, newest_snapshot, write_history
    from components.storage.mirror import mirrored

    pool, held_out = data.training_pool(workspace), data.held_out_pool(workspace)
    say(f"enhancer SFT: {len(pool)} pictures, {int(pool.clips.sum())} of them of curated clips")
    inputs = data.inputs(workspace)
    if params.model.base is not None:
        inputs.append(base_digest(params.model.base))
    work = workspace.state(STAGE, content_key(STAGE, params, seed, inputs))
    with mirrored(work, f"{STAGE}/{work.name}", newest_snapshot):
        enhancer, history = train(pool, params, seed, work)
    measured = measure(Scorer.load(workspace), enhancer, held_out, params.held_out, seed)
    out = workspace.artifacts(STAGE)
    enhancer.save(out / "model")
    pack(out / "model", workspace.artifacts("perception", "attributes"))
    write_history(out / "history.jsonl", history)
    write_json(out / "samples.json", measured.samples)
    write_json(out / ANSWERS, {"greedy": measured.greedy.texts, "sampled": measured.sampled.texts})
    write_json(out / "config.json", {"targets": params.targets, "seed": seed, "held_out": params.held_out})
    losses = [row["loss"] for row in history if "loss" in row]
    write_json(out / "metrics.json", measured.metrics | ({"loss": losses[-1]} if losses else {}))
