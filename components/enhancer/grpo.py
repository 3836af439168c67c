"""Stage `enhancer_grpo`: group-relative policy optimisation on the composite reward (TRL)."""

from __future__ import annotations

import math
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.core.errors import InputError
from components.core.files import read_json, write_json
from components.core.paths import Workspace, require
from components.core.progress import say
from components.core.seeds import derive, seed_everything, single_thread
from components.enhancer.held_out import repetition
from components.enhancer.pairs import Case, Pool, request
from components.enhancer.params import EnhancerGrpoParams
from components.enhancer.rewards import TERMS

if TYPE_CHECKING:
    from collections.abc import Callable

    from components.enhancer.held_out import HeldOutJudge
    from components.enhancer.model import Enhancer
    from components.enhancer.scoring import Measured, Scorer
    from components.enhancer.watch import Watch

STAGE = "enhancer_grpo"
SOURCE = "enhancer_sft"
HISTORY = {
    "reward": "reward",
    "reward_std": "reward_std",
    "kl": "kl",
    "loss": "loss",
    "entropy": "entropy",
    "frac_reward_zero_std": "zero_spread_groups",
    "completions/mean_length": "completion_tokens",
    "completions/clipped_ratio": "cut_completions",
    **{f"term_{name}": f"term_{name}" for name in TERMS},
    **{f"spread_{name}": f"spread_{name}" for name in TERMS},
    "unscorable": "unscorable",
    "repetition": "repetition",
}
"""TRL's names -> ours, of what goes to history.jsonl."""


def prompt_dataset(pool: Pool, cases: list[Case]) -> Any:
    """A row a prompt: the conversation, the picture and the number of the case."""
    from datasets import Dataset

    from components.enhancer.model import conversation, picture

    def rows(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        chosen = [cases[index] for index in batch["case"]]
        return {
            "prompt": [
                conversation(request(case.instruction.text, pool.attributes[case.row])) for case in chosen
            ],
            "image": [picture(pool.images[case.row]) for case in chosen],
            "case": list(batch["case"]),
        }

    table = Dataset.from_dict({"case": list(range(len(cases)))})
    table.set_transform(rows)
    return table


def reward_function(
    scorer: Scorer, pool: Pool, cases: list[Case], group: int, watched: bool = False
) -> Callable[..., Any]:
    """The one reward function that TRL gets: the composite; terms and their spread are logged beside it.

    An unscorable sample gets its group's mean: TRL would count a partial None as 0, this way the sample has
    no advantage and leaves mean and direction alone. A group without any score gives None throughout.
    """

    def composite(
        completions: list[Any],
        case: list[int],
        log_metric: Callable[[str, float], None] | None = None,
        **_: Any,
    ) -> list[float | None]:
        texts = [" ".join(turn[0]["content"].split()) for turn in completions]
        chosen = [cases[index] for index in case]
        graded = scorer.grade(
            [pool.attributes[one.row] for one in chosen],
            [one.instruction.text for one in chosen],
            texts,
            [pool.images[one.row] for one in chosen],
        )
        scores = [one.reward for one in graded]
        if log_metric is not None:
            for name in TERMS:
                values = [one.terms[name] for one in graded]
                known = [value for value in values if value is not None]
                log_metric(f"term_{name}", statistics.fmean(known) if known else math.nan)
                log_metric(f"spread_{name}", _group_spread(values, group))
            log_metric("unscorable", sum(score is None for score in scores) / len(scores))
            if watched:
                log_metric("repetition", statistics.fmean(map(repetition, texts)))
        return fill_groups(scores, group)

    return composite


def _group_spread(values: list[float | None], group: int) -> float:
    """Mean standard deviation within the groups."""
    spreads = []
    for begin in range(0, len(values), group):
        known = [value for value in values[begin : begin + group] if value is not None]
        if len(known) > 1:
            spreads.append(statistics.pstdev(known))
    return statistics.fmean(spreads) if spreads else 0.0


def fill_groups(scores: list[float | None], group: int) -> list[float | None]:
    """Puts a group's mean in the place of its unscorable samples; a group without a score stays None."""
    filled: list[float | None] = []
    for begin in range(0, len(scores), group):
        part = scores[begin : begin + group]
        known = [score for score in part if score is not None]
        mean = statistics.fmean(known) if known else None
        filled += [mean if score is None else score for score in part]
    return filled


def train(
    start: Path,
    pool: Pool,
    scorer: Scorer,
    params: EnhancerGrpoParams,
    seed: int,
    work: Path,
    stop_after: int | None = None,
    watch: Watch | None = None,
) -> tuple[Enhancer, list[dict[str, float]]]:
    """Optimises the model at `start`, or goes on from the last whole checkpoint below `work`.

    `work` is keyed by content. The KL divergence is measured against the model at `start`. The same seed
    gives the same weights, interrupted or not. `stop_after` ends after that many steps of this schedule;
    `watch` may end it for good.

    Returns:
        the trained model and the rows of its history.
    """
    from trl import GRPOConfig, GRPOTrainer

    from components.enhancer.model import Enhancer
    from components.enhancer.pairs import training_cases
    from components.enhancer.training import (
        SayProgress,
        StopAfter,
        drop_printer,
        history_rows,
        last_checkpoint,
        quiet,
    )

    single_thread()
    quiet()
    seed_everything(derive(seed, STAGE))
    enhancer = Enhancer.load(start)
    cases = training_cases(pool, params.steps * params.prompts, 0.2, derive(seed, STAGE))
    checkpoint = last_checkpoint(work)
    config = GRPOConfig(
        output_dir=str(work),
        max_steps=params.steps,
        per_device_train_batch_size=params.prompts * params.group,
        num_generations=params.group,
        max_completion_length=params.max_new_tokens,
        learning_rate=params.learning_rate,
        lr_scheduler_type="constant",
        beta=params.beta,
        temperature=params.temperature,
        top_k=0,
        top_p=1.0,
        max_grad_norm=1.0,
        logging_steps=1,
        save_steps=params.save_every,
        save_total_limit=1,
        seed=derive(seed, STAGE, "trainer") % 2**31,
        data_seed=derive(seed, STAGE, "order") % 2**31,
        shuffle_dataset=False,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        log_completions=False,
        report_to="none",
        disable_tqdm=True,
    )
    trainer = GRPOTrainer(
        model=enhancer.model,
        reward_funcs=reward_function(scorer, pool, cases, params.group, watched=watch is not None),
        args=config,
        train_dataset=prompt_dataset(pool, cases),
        processing_class=enhancer.processor,
        callbacks=[SayProgress("enhancer GRPO", ("reward", "kl")), StopAfter(stop_after)],
    )
    drop_printer(trainer)
    if watch is not None:
        watch.enhancer = Enhancer(trainer.model, enhancer.processor)
        trainer.add_callback(watch)
    if checkpoint is not None:
        # Trainer would load none of Qwen2-VL's saved keys on resuming, with a warning only: load them here,
        # after the trainer copied the starting model as the reference of the KL divergence.
        resumed = Enhancer.load(checkpoint, enhancer.processor)
        trainer.model.load_state_dict(resumed.model.state_dict())
        say(f"enhancer GRPO: goes on from {checkpoint.name}")
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    return Enhancer(trainer.model.eval(), enhancer.processor), history_rows(
        trainer.state.log_history, HISTORY
    )


def run(params: EnhancerGrpoParams, workspace: Workspace, seed: int) -> None:
    """Writes artifacts/enhancer_grpo: model/, config.json, metrics.json, history.jsonl, samples.json.

    Raises:
        InputError: the SFT model names held objects too unreliably: GRPO would learn to invent them.
    """
    from components.core.files import digest_tree
    from components.enhancer import data
    from components.enhancer.enhance import pack
    from components.enhancer.model import Enhancer
    from components.enhancer.scoring import Scorer, measure
    from components.enhancer.training import content_key, newest_snapshot, write_history
    from components.storage.mirror import mirrored

    start = require(workspace.artifacts(SOURCE, "model"), f"syncdreamer stage {SOURCE}")
    sft = read_json(workspace.artifacts(SOURCE, "metrics.json"))
    if sft["objects_right"] < params.minimum_object_accuracy:
        raise InputError(
            f"GRPO refused: after SFT only {sft['objects_right']:.0%} of the named objects are there, "
            f"{params.minimum_object_accuracy:.0%} are needed; raise enhancer_sft.steps"
        )
    pool, held_out = data.training_pool(workspace), data.held_out_pool(workspace)
    scorer = Scorer.load(workspace, params.reward, params.judge)
    judge = digest_tree(workspace.artifacts("perception", "image_text"))
    key = content_key(STAGE, lasting(params), seed, data.inputs(workspace), digest_tree(start), judge)
    before = measure(scorer, Enhancer.load(start), held_out, params.held_out, seed)
    work = workspace.state(STAGE, key)
    watch = watching(params, scorer, pool, workspace, work, seed)
    with mirrored(work, f"{STAGE}/{key}", newest_snapshot):
        enhancer, history = train(start, pool, scorer, params, seed, work, watch=watch)
    after = measure(scorer, enhancer, held_out, params.held_out, seed)
    out = workspace.artifacts(STAGE)
    enhancer.save(out / "model")
    pack(out / "model", workspace.artifacts("perception", "attributes"))
    write_history(out / "history.jsonl", history)
    write_json(out / "samples.json", compared(before.samples, after.samples))
    write_json(
        out / "config.json",
        {"reward": params.reward, "seed": seed, "held_out": params.held_out, "judge": scorer.judge.name},
    )
    metrics = figures(before.metrics, after.metrics)
    if watch is not None:
        watch.write(out / "watch")
        metrics |= held_out_figures(watch.judge, before, after, held_out, params.held_out, seed)
        metrics["ended_early"] = float(watch.ended is not None)
    write_json(out / "metrics.json", metrics)


def lasting(params: EnhancerGrpoParams) -> dict[str, Any]:
    """What of the parameters decides the result: limits, prices and budgets of a service do not, so that a
    larger budget goes on where a smaller one ended."""
    plain = params.model_dump(mode="json")
    for part in ("judge", "watch"):
        service = plain[part]["describer"]["service"]
        plain[part]["describer"]["service"] = {
            name: service[name] for name in ("model", "endpoint", "thinking_budget")
        }
    return plain


def watching(
    params: EnhancerGrpoParams, scorer: Scorer, pool: Pool, workspace: Workspace, work: Path, seed: int
) -> Watch | None:
    """The watch over a training, on training pictures and wordings of its own draw; None where it is off."""
    if not params.watch.every:
        return None
    from components.enhancer.held_out import open_judge
    from components.enhancer.pairs import training_cases
    from components.enhancer.watch import Watch

    cases = training_cases(pool, params.watch.cases, 0.2, derive(seed, STAGE, "watch"))
    judge = open_judge(params.watch, params.judge, workspace)
    return Watch(params.watch, judge, scorer, pool, cases, work / "watch", derive(seed, STAGE, "watch"))


def held_out_figures(
    judge: HeldOutJudge, before: Measured, after: Measured, pool: Pool, count: int, seed: int
) -> dict[str, float]:
    """The held-out judge on the held-out cases: sampled texts after SFT, after GRPO, and the gain."""
    from components.enhancer.held_out import mean
    from components.enhancer.pairs import held_out_cases

    cases = held_out_cases(pool, count, seed)
    found = {
        name: mean(judge.score(pool, cases, measured.sampled.texts))
        for name, measured in (("sft_held_out_judge", before), ("held_out_judge", after))
    }
    known = {name: round(value, 6) for name, value in found.items() if value is not None}
    if len(known) == 2:
        known["held_out_judge_gain"] = round(known["held_out_judge"] - known["sft_held_out_judge"], 6)
    return known


def figures(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """After GRPO by their names, after SFT with `sft_`, and the gain of the sampled and the greedy reward."""
    gains = {
        "reward_gain": after["sampled_reward"] - before["sampled_reward"],
        "greedy_reward_gain": after["reward"] - before["reward"],
    }
    return {
        **after,
        **{f"sft_{name}": value for name, value in before.items()},
        **{name: round(value, 6) for name, value in gains.items()},
    }


def compared(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Samples for people: instruction, text before and after, with reward and terms."""
    return [
        {
            "instruction": old["instruction"],
            "action": old["action"],
            "before": {key: old[key] for key in ("text", "sampled", "reward", "terms")},
            "after": {key: new[key] for key in ("text", "sampled", "reward", "terms")},
        }
        for old, new in zip(before, after, strict=True)
    ]
