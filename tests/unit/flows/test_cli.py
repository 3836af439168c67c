"""The command line: quick help, errors in one line with their own exit status."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
HEAVY = ("torch", "prefect", "mlflow", "dvc", "great_expectations", "transformers", "pandas", "cv2")


def syncdreamer(*arguments: str, cwd: Path = ROOT, **env: str) -> subprocess.CompletedProcess[str]:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from flows.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=cwd,
        env=os.environ | env,
        capture_output=True,
        text=True,
    )


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    begin = _cpu_seconds()
    shown = syncdreamer("--help")
    used = _cpu_seconds() - begin
    assert shown.returncode == 0
    for command in ("run", "stage", "gate", "corpus", "generate", "models", "report", "doctor"):
        assert command in shown.stdout
    # The target is 0.5 s on a quiet machine; processor time varies less than wall time on a busy one.
    assert used < 1.5
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import flows.cli as c; c._mount(); "
    code += f"print([m for m in {HEAVY!r} if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


def one_line(shown: subprocess.CompletedProcess[str], status: int, *parts: str) -> None:
    assert shown.returncode == status, shown.stderr
    assert "Traceback" not in shown.stderr
    lines = [line for line in shown.stderr.splitlines() if line.strip()]
    assert len(lines) == 1 and lines[0].startswith("error: "), shown.stderr
    for part in parts:
        assert part in lines[0]


def test_unknown_stage_and_gate(tmp_path: Path) -> None:
    one_line(syncdreamer("stage", "curat"), 2, "no stage is called 'curat'", "curate")
    one_line(syncdreamer("gate", "clip"), 2, "gate_clips")


def test_outside_a_checkout(tmp_path: Path) -> None:
    one_line(syncdreamer("run", cwd=tmp_path), 2, "no dvc.yaml")


def test_misspelt_parameter_stops_run_before_anything(tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text())
    text = (ROOT / "params.yaml").read_text().replace("\nvae:\n", "\nvae:\n  stepz: 3\n")
    (tmp_path / "params.yaml").write_text(text)
    one_line(syncdreamer("run", cwd=tmp_path), 2, "unknown parameter vae.stepz", "did you mean 'steps'")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dvc.yaml", "params.yaml"]


def test_generate_refuses_what_it_cannot_read(tmp_path: Path) -> None:
    arguments = ["--text", "nod", "--audio", "none.wav"]
    one_line(syncdreamer("generate", "--image", "none.png", *arguments, "--out", "x.mp4"), 2, "none.png")
    one_line(
        syncdreamer("generate", "--image", "none.png", *arguments, "--out", "x.gif"), 2, "must end in .mp4"
    )
