"""The main job by itself: a short interval fires, the chain runs and promotes, the next tick has nothing to
do, and new clips make the one after that work. Figures are not judged (see test_chain)."""

from __future__ import annotations

import http.server
import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.test_chain import ROOT, SMALL, syncdreamer
from tests.integration.flows.test_serve import Served, seconds, slowdown


class Hook(http.server.BaseHTTPRequestHandler):
    got: list[dict[str, Any]] = []

    def do_POST(self) -> None:
        self.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.mark.slow
@pytest.mark.end_to_end
@pytest.mark.timeout(7200)
def test_an_interval_runs_promotes_rests_and_takes_up_new_clips(tmp_path: Path) -> None:
    from components.core.files import read_parquet
    from components.corpus.build import build_corpus
    from flows.params import default_text

    hook = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=hook.serve_forever, daemon=True).start()
    operations = {
        "poll_seconds": 2,
        "deployments": [{"name": "often", "interval_seconds": 60}],
        "notifications": [{"kind": "webhook", "url": f"http://127.0.0.1:{hook.server_address[1]}/"}],
        "prices": {"cpu_hour": 0.1},
    }
    root = tmp_path / "chain"
    root.mkdir()
    shutil.copy(ROOT / "dvc.yaml", root)
    shutil.copytree(ROOT / "mlflow", root / "mlflow")
    (root / "params.yaml").write_text(default_text(SMALL | {"operations": operations}))
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "-q"], cwd=root, check=True)
    build_corpus(5, 4, 12, {"no_audio": 1, "too_short": 1}, root / "data" / "raw", 2)
    more = tmp_path / "more"
    build_corpus(6, 4, 6, {}, more, 2)

    def completed(message: str) -> list[dict[str, Any]]:
        rows = served.runs("Completed")
        return [row for row in rows if message in (row["state"]["message"] or "")]

    served = Served(root)
    try:
        served.until(lambda: completed("ran"), "first run of the chain")
        models = json.loads(syncdreamer(root, "models", "--json").stdout)
        assert all(row["aliases"] == ["champion"] for row in models), models
        assert [event["kind"] for event in Hook.got] == ["promotion"]
        tick = served.until(lambda: completed("nothing to do"), "tick without work")[0]
        slow = slowdown()
        print(
            f"a tick without work: {seconds(tick):.1f} s; a busy machine makes that {slow:.1f} times as long"
        )
        assert seconds(tick) / slow <= 20

        costs = json.loads(syncdreamer(root, "costs", "--json").stdout)
        avatar = next(row for row in costs if row["model"] == "syncdreamer-avatar")
        assert avatar["not_measured"] == [] and {"curate", "vae", "train_stage2"} <= set(avatar["stages"])
        assert avatar["total"]["cost"] == pytest.approx(avatar["total"]["cpu_seconds"] * 0.1 / 3600, rel=1e-3)
        assert all(row["peak_memory_mb"] > 10 for row in avatar["stages"].values())
        drift = syncdreamer(root, "drift")
        assert drift.returncode == 0 and "0 new clips" in drift.stderr

        before = len(read_parquet(root / "artifacts" / "curate" / "manifest.parquet"))
        for path in sorted((more / "demo").rglob("*.mp4"))[:2]:
            shutil.copy(path, root / "data" / "raw" / "demo" / f"new_{path.name}")
        served.until(lambda: len(completed("ran")) == 2, "run for new clips")
        assert len(read_parquet(root / "artifacts" / "curate" / "manifest.parquet")) > before
        served.process.terminate()
        assert served.process.wait(120) == 0
    finally:
        if served.process.poll() is None:
            served.process.terminate()
            served.process.wait(120)
        hook.shutdown()
