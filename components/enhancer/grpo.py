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

    from components.enhancer.model import Enhancer
    from components.enhancer.scoring import Scorer
    from components.enhancer.watch import Watch

STAGE = "enhancer_grpo"
SOURCE = "enhancer_sft"
HISTORY = {
    "reward": "reward",
    "group_spread": "reward_std",
    "kl": "kl",
    "loss": "loss",
    "entropy": "entropy",
    "zero_spread_groups": "zero_spread_groups",
    "completions/mean_length": "completion_tokens",
    "completions/clipped_ratio": "cut_completions",
    **{f"term_{name}": f"term_{name}" for name in TERMS},
    **{f"spread_{name}": f"spread_{name}" for name in TERMS},
    "unscorable": "unscorable",
    "repetition": "repetition",
}
"""TRL's names -> ours, of what goes to history.jsonl. Spreads are within groups, whatever advantages are
divided by (TRL's own are of what it divides by)."""


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
            log_metric("group_spread", _group_spread(scores, group))
            log_metric("zero_spread_groups", _alike(scores, group))
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


def _alike(scores: list[float | None], group: int) -> float:
    """Share of groups whose scores are all the same: nothing is learnt from them."""
    parts = [scores[begin : begin + group] for begin in range(0, len(scores), group)]
    known = [{score for score in part if score is not None} for part in parts]
    return sum(len(values) < 2 for values in known) / len(known)


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

    Raises:
        InputError: several ranks, and a scorer that other processes cannot open (`Scorer.load` makes such).
    """
    from components.enhancer import adapters, ranks
    from components.enhancer.model import Enhancer
    from components.enhancer.training import history_rows

    if params.ranks.count > 1:
        if scorer.root is None:
            raise InputError(
                "GRPO on several ranks needs a scorer that every rank can open from its workspace"
            )
        job = ranks.Job(
            STAGE, params.model_dump(mode="json"), seed, str(work), stop_after, str(start), str(scorer.root)
        )
        rows = ranks.run(job, pool)
        return ranks.result(work, Enhancer.load(start)), rows
    trainer, processor = trained(start, pool, scorer, params, seed, work, stop_after, watch)
    model = adapters.whole(trainer.model).eval()
    return Enhancer(model, processor), history_rows(trainer.state.log_history, HISTORY)


def trained(
    start: Path,
    pool: Pool,
    scorer: Scorer,
    params: EnhancerGrpoParams,
    seed: int,
    work: Path,
    stop_after: int | None = None,
    watch: Watch | None = None,
) -> tuple[Any, Any]:
    """The trainer after its work in this process (a rank of several, or the only one), and the processor."""
    from trl import GRPOConfig, GRPOTrainer

    from components.enhancer import adapters, ranks
    from components.enhancer.model import Enhancer
    from components.enhancer.pairs import training_cases
    from components.enhancer.training import SayProgress, StopAfter, drop_printer, last_checkpoint, quiet

    single_thread()
    quiet()
    seed_everything(derive(seed, STAGE))
    enhancer = Enhancer.load(start)
    cases = training_cases(pool, params.steps * params.prompts, 0.2, derive(seed, STAGE))
    checkpoint = last_checkpoint(work)
    config = GRPOConfig(
        output_dir=str(work),
        max_steps=params.steps,
        per_device_train_batch_size=params.prompts * params.group // params.ranks.count,
        num_generations=params.group,
        max_completion_length=params.max_new_tokens,
        learning_rate=params.learning_rate,
        lr_scheduler_type="constant",
        beta=params.beta,
        scale_rewards=params.advantage_spread,
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
        **ranks.settings(params.ranks),
    )
    trainer = GRPOTrainer(
        model=enhancer.model,
        reward_funcs=reward_function(scorer, pool, cases, params.group, watched=watch is not None),
        args=config,
        train_dataset=prompt_dataset(pool, cases),
        processing_class=enhancer.processor,
        callbacks=[SayProgress("enhancer GRPO", ("reward", "kl")), StopAfter(stop_after)],
        peft_config=adapters.config_of(params.lora, fresh_vision=False),
    )
    drop_printer(trainer)
    if watch is not None:
        watch.enhancer = Enhancer(trainer.model, enhancer.processor)
        trainer.add_callback(watch)
    if checkpoint is not None:
        # Trainer would load none of Qwen2-VL's saved keys on resuming, with a warning only: load them here,
        # after the trainer copied the starting model as the reference of the KL divergence.
        if (checkpoint / adapters.WEIGHTS).exists():
            adapters.take_up(trainer.model, checkpoint)
        elif ranks.reads_weights(checkpoint):
            resumed = Enhancer.load(checkpoint, enhancer.processor)
            trainer.model.load_state_dict(resumed.model.state_dict())
        say(f"enhancer GRPO: goes on from {checkpoint.name}")
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    return trainer, enhancer.processor


def run(params: EnhancerGrpoParams, workspace: Workspace, seed: int) -> None:
    """Writes artifacts/enhancer_grpo: model/, config.json, metrics.json, gain.json (what the gain is made
    of), history.jsonl, samples.json, and watch/ where training was watched.

    Raises:
        InputError: the SFT model names held objects too unreliably: GRPO would learn to invent them.
    """
    from components.core.files import digest_tree
    from components.enhancer import data
    from components.enhancer.comparison import compared, figures, held_out_figures, measured_before
    from components.enhancer.enhance import pack
    from components.enhancer.gain import built_in
    from components.enhancer.held_out import ReferenceJudge
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
    before = measured_before(scorer, workspace, held_out, params.held_out, seed)
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
    write_json(out / "gain.json", built_in(scorer, workspace, held_out, metrics, params.held_out, seed))
    if watch is not None:
        watch.write(out / "watch")
    if watch is not None or params.watch.judge == "reference":
        judge_of = ReferenceJudge() if watch is None else watch.judge
        metrics |= held_out_figures(judge_of, before, after, held_out, params.held_out, seed)
    metrics["ended_early"] = float(watch is not None and watch.ended is not None)
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
