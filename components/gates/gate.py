"""Runs a gate: validates, writes verdict and quarantine table, and only then refuses."""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from components.core.errors import GateRefused, InputError
from components.core.files import digest_file, write_bytes, write_json, write_parquet
from components.core.params import Params
from components.core.paths import Workspace
from components.core.progress import say
from components.gates import suites
from components.gates.checks import Check, expectations, failing
from components.gates.params import SECTIONS
from components.gates.suites import Suite
from components.gates.verdicts import (
    QUARANTINE_COLUMNS,
    Finding,
    Status,
    Verdict,
    first_rows,
    quarantine_rows,
)

if TYPE_CHECKING:
    import pandas as pd

_SUITES: dict[str, Callable[[Any, Workspace], Suite]] = {
    "clips": suites.clips_suite,
    "annotations": suites.annotations_suite,
    "latents": suites.latents_suite,
    "checkpoint": suites.checkpoint_suite,
    "enhancer": suites.enhancer_suite,
    "evaluation": suites.evaluation_suite,
}
NAMES = tuple(_SUITES)


def run_gate(name: str, params: Params, workspace: Workspace, seed: int = 0) -> Verdict:
    """Judges a stage's output; writes verdict.json, quarantine.parquet and .csv into artifacts/gates/<name>.

    name: one of `NAMES`, with or without the prefix `gate_`. seed: unused, gates draw nothing.

    Returns:
        The verdict, if the gate passed (with or without warnings).

    Raises:
        GateRefused: an expectation is beyond its fail rate; verdict and quarantine are already written.
        InputError: the gate is unknown, the parameters are not its own, or the judged file is missing.
    """
    name = name.removeprefix("gate_")
    if name not in _SUITES:
        raise InputError(f"no gate {name!r}; gates: {', '.join(NAMES)}")
    model = SECTIONS[f"gate_{name}"]
    if not isinstance(params, model):
        raise InputError(f"gate {name} takes {model.__name__}, not {type(params).__name__}")
    suite = _SUITES[name](params, workspace)
    findings, quarantine = judge(suite)
    folder = workspace.artifacts("gates", name)
    verdict = Verdict(
        gate=name,
        passed=all(finding.status != "fail" for finding in findings),
        expectations=tuple(findings),
        subjects={path: digest_file(workspace.root / path) for path in suite.subjects},
        quarantine=(folder / "quarantine.csv").relative_to(workspace.root).as_posix(),
        quarantined=int(quarantine["clip_id"].nunique()),
    )
    write_parquet(folder / "quarantine.parquet", quarantine)
    write_bytes(folder / "quarantine.csv", quarantine.to_csv(index=False, lineterminator="\n").encode())
    write_json(folder / "verdict.json", verdict)
    if not verdict.passed:
        raise GateRefused(verdict.refusal())
    for finding in verdict.warnings:
        say(f"gate {name} warns: {finding.told()}")
    say(f"gate {name} passed: {len(findings)} expectations, {len(verdict.warnings)} warnings")
    return verdict


STAGES: dict[str, Callable[[Any, Workspace, int], Verdict]] = {
    f"gate_{name}": partial(run_gate, name) for name in NAMES
}
"""Stage name → `run(params, workspace, seed)`."""


def judge(suite: Suite) -> tuple[list[Finding], pd.DataFrame]:
    """Findings in the order of the checks, and the failing rows in the order of checks and rows."""
    import pandas as pd

    results = _validate(suite)
    findings: list[Finding] = []
    parts: list[pd.DataFrame] = []
    for check in suite.checks:
        table = suite.tables[check.table]
        mask = failing(check, table) if _askable(check, table) else None
        finding = _finding(check, table, mask, results.get((check.table, check.name), []))
        findings.append(finding)
        if mask is not None and mask.any():
            shown = check.show or check.column
            parts.append(quarantine_rows(check.name, table, mask, shown, check.allowed))
    empty = pd.DataFrame({name: pd.Series(dtype="string") for name in QUARANTINE_COLUMNS})
    return findings, pd.concat([empty, *parts], ignore_index=True)


def _askable(check: Check, table: pd.DataFrame) -> bool:
    return check.kind in ("columns", "rows") or check.column in table


def _validate(suite: Suite) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Great Expectations' results at SUMMARY format, by table and check."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import great_expectations as gx
    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    source = context.data_sources.add_pandas("tables")
    results: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for number, (name, asked, table) in enumerate(_batches(suite)):
        asset = source.add_dataframe_asset(f"{name}-{number}")
        batch = asset.add_batch_definition_whole_dataframe("whole").get_batch({"dataframe": table})
        expected = [expectation for check in asked for expectation in expectations(check)]
        answer = batch.validate(
            gx.ExpectationSuite(name=name, expectations=expected), result_format={"result_format": "SUMMARY"}
        )
        for result in answer.results:
            told = result.to_json_dict()
            results.setdefault((name, told["expectation_config"]["meta"]["check"]), []).append(told)
    return results


def _batches(suite: Suite) -> Iterator[tuple[str, list[Check], pd.DataFrame]]:
    """(table's name, checks, what to validate them on): a batch for each column.

    Great Expectations hashes a batch twice and copies all of its columns for each condition, so a batch holds
    only the column that is asked about; the schema needs every column but no row. Few distinct words are
    compared faster as categories.
    """
    for name, table in suite.tables.items():
        columns: dict[str | None, list[Check]] = {}
        for check in suite.checks:
            if check.table == name and _askable(check, table):
                columns.setdefault(check.column, []).append(check)
        for column, asked in columns.items():
            if column is None:
                schema = [check for check in asked if check.kind == "columns"]
                counts = [check for check in asked if check.kind == "rows"]
                if schema:
                    yield name, schema, table.iloc[:0]
                if counts:
                    yield name, counts, table.iloc[:, :1]
                continue
            part = table[[column]]
            if any(check.kind == "in_set" and check.values != (True,) for check in asked):
                part = part.astype({column: "category"})
            yield name, asked, part


def _finding(
    check: Check, table: pd.DataFrame, mask: pd.Series | None, results: list[dict[str, Any]]
) -> Finding:
    column = check.show or check.column
    about: dict[str, Any] = {
        "name": check.name,
        "expectation": check.type,
        "table": check.table,
        "column": column,
        "warn": None if check.absolute else check.warn,
        "fail": None if check.absolute else check.fail,
        "allowed": check.allowed,
        "n": len(table),
        "first": first_rows(table, mask, column),
    }
    if not results:
        problem = f"column {column} is missing"
        return Finding(observed=None, status="fail", failed=len(table), problem=problem, **about)
    trouble = _trouble(results)
    if trouble:
        return Finding(observed=None, status="fail", failed=len(table), problem=trouble, **about)
    if check.kind == "columns":
        lacking = [str(name) for name in check.values if name not in table]
        problem = "" if results[0]["success"] else f"missing: {', '.join(lacking)}"
        status: Status = "pass" if results[0]["success"] else "fail"
        return Finding(observed=len(lacking), status=status, failed=0, problem=problem, **about)
    if check.kind == "rows":
        count = int(results[0]["result"]["observed_value"])
        status = "pass" if results[0]["success"] else "fail"
        return Finding(observed=count, status=status, failed=0, **about)
    failed = max(int(result["result"].get("unexpected_count", 0)) for result in results)
    if check.kind == "value":
        return _figure(check, table, failed, about)
    rate = failed / len(table) if len(table) else 0.0
    status = "fail" if rate > check.fail else "warn" if rate > check.warn else "pass"
    return Finding(observed=rate, status=status, failed=failed, **about)


def _figure(check: Check, table: pd.DataFrame, failed: int, about: dict[str, Any]) -> Finding:
    value = float(table[check.column].iloc[0])
    if value != value:
        problem = f"the figure {check.column} is missing or is not a number"
        return Finding(observed=None, status="fail", failed=failed, problem=problem, **about)
    near = (check.warn_minimum is not None and value < check.warn_minimum) or (
        check.warn_maximum is not None and value > check.warn_maximum
    )
    status: Status = "fail" if failed else "warn" if near else "pass"
    return Finding(observed=value, status=status, failed=failed, **about)


def _trouble(results: list[dict[str, Any]]) -> str:
    """Why Great Expectations could not evaluate, in one line; empty if it could."""
    for result in results:
        info = result.get("exception_info") or {}
        problems = [info] if "raised_exception" in info else list(info.values())
        for problem in problems:
            if problem.get("raised_exception"):
                message = re.sub(r"\s+", " ", str(problem.get("exception_message", ""))).strip()
                return f"could not be evaluated: {message[:200]}"
    return ""
