"""A small workspace with made-up artifacts of every kind that the report shows."""

from __future__ import annotations

import base64
import json
import math
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from components.core.files import append_jsonl, write_json, write_parquet
from components.core.media import write_image, write_video
from components.core.paths import Workspace
from components.evaluation.catalogue import CATALOGUE, ROWS

FRAMES = 50
SCREENSHOTS = Path(__file__).parents[3] / "state" / "screenshots"
REASONS = ("", "", "", "blur", "no_face", "silence")


def picture(seed, size=64):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:size, 0:size] / size
    base = np.stack([x, y, 1 - x], -1) * rng.uniform(0.4, 1, 3)
    base[(x - 0.5) ** 2 + (y - 0.45) ** 2 < 0.08] = rng.uniform(0.3, 0.9, 3)
    return (255 * base).astype(np.uint8)


def video(seed, opening):
    frames = np.repeat(picture(seed, 192)[None], FRAMES, 0).copy()
    for index, size in enumerate(opening):
        frames[index, 120 : 122 + int(24 * size), 76:116] = 30
    return frames


def manifest():
    rows = []
    for index in range(24):
        reason = REASONS[index % len(REASONS)]
        rows.append(
            {
                "clip_id": f"{index:016x}-0", "file": f"demo/clip_{index:04d}.mp4", "reasons": reason,
                "split": ("train", "test", "val")[index % 3], "outcome": "reject" if reason else "keep",
                "decision": "reject" if reason else "keep",
                "framing": "close-up", "delivery": "speech", "identity": f"p{index % 8:03d}", "duration": 6.0,
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


@pytest.fixture(scope="session")
def reported(tmp_path_factory):
    """(workspace, run_info) of a finished toy run."""
    workspace = Workspace(tmp_path_factory.mktemp("run"))
    table = manifest()
    write_parquet(workspace.artifacts("curate", "manifest.parquet"), table)
    for index, clip in enumerate(table["clip_id"][:20]):
        write_image(workspace.artifacts("curate", "thumbnails", f"{clip}.jpg"), picture(index))
    for stage, names in {
        "vae": ("loss", "psnr"),
        "train_stage2": ("loss", "validation_loss"),
        "enhancer_grpo": ("reward",),
    }.items():
        for step in range(0, 200, 10):
            row = {name: math.exp(-step / 60) + 0.05 * math.sin(step + len(name)) + 0.1 for name in names}
            append_jsonl(workspace.artifacts(stage, "history.jsonl"), {"step": step, **row})
        write_json(workspace.artifacts(stage, "metrics.json"), {"steps": 200, "final_loss": 0.12})
    gate("clips", workspace, True)
    gate("evaluation", workspace, False)
    evaluation(workspace)
    info = {
        "stages": [
            {"name": "curate", "status": "ran", "seconds": 41.2, "run_id": "ab" * 16},
            {"name": "train_stage2", "status": "ran", "seconds": 203.9, "run_id": "cd" * 16},
            {"name": "evaluate", "status": "unchanged", "seconds": None, "run_id": None},
        ],
        "total_seconds": 248.3,
        "parent_run_id": "ef" * 16,
        "mlflow": {"address": "", "experiment": "7"},
        "git": {"git": "0123456789abcdef", "git_dirty": "true"},
        "models": [
            {
                "name": "syncdreamer-avatar",
                "version": "3",
                "aliases": ["champion"],
                "run_id": "12" * 16,
                "gates": {"checkpoint": "passed"},
            }
        ],
        "decision": {"status": "promoted", "reason": "no champion yet"},
    }
    return workspace, info


def gate(name, workspace, passed):
    finding = {
        "name": "rejected", "expectation": "in_set", "table": "all", "column": "decision", "observed": 0.5,
        "warn": 0.3, "fail": 0.4, "allowed": "≤ 40%",
        "status": "pass" if passed else "fail", "n": 24, "failed": 12,
        "first": [{"clip_id": "0000000000000003-0", "value": "blur"}], "problem": "",
    }  # fmt: skip
    table = f"artifacts/gates/{name}/quarantine.parquet"
    verdict = {"gate": name, "passed": passed, "findings": [finding], "quarantine": table, "quarantined": 12}
    write_json(workspace.artifacts("gates", name, "verdict.json"), verdict)


def evaluation(workspace):
    folder = workspace.artifacts("evaluation")
    metrics = []
    for place, (name, about) in enumerate(CATALOGUE.items()):
        full = f"{name}[toynet@1a2b3c4d]" if name.endswith("_proxy") else name
        metrics.append(
            {
                "name": full, "value": 0.4 + place / 50, "low": 0.3, "high": 0.9, "n": 16,
                "unit": about.unit, "better": about.better, "network": "toynet", "control": 0.02,
                "control_name": "another clip's sound",
            }
        )  # fmt: skip
    rows = [
        {
            "row": row,
            "name": "aperture_correlation_own",
            "value": None if row == "still" else 0.5,
            "low": None,
            "high": None,
            "n": 8,
            "network": "toynet",
        }
        for row in ROWS
    ]
    items = [
        {
            "index": index, "identity": f"p{index:03d}", "split": "test" if index < 2 else "train",
            "own": index < 2, "instruction": "nod while talking",
            "prompt": "A person <nods> & talks.",
            "aperture_correlation_own": 0.5, "aperture_correlation_other": 0.0,
        }
        for index in range(3)
    ]  # fmt: skip
    write_json(
        folder / "metrics.json",
        {
            "schema": 1,
            "protocol": {"level": 0.95, "frames": FRAMES, "networks": {"toynet": "stand-in"}},
            "metrics": metrics,
            "rows": rows,
            "items": items,
        },
    )
    traces = []
    for index in range(3):
        opening = np.abs(np.sin(np.arange(FRAMES) / (3 + index)))
        traces.append(
            {
                "index": index,
                "sound": opening.tolist(),
                "generated": [None, *opening[1:].tolist()],
                "ground_truth": (opening**2).tolist(),
            }
        )
        samples = (0.2 * np.sin(np.arange(FRAMES * 640) / 12) * np.repeat(opening, 640)).astype(np.float32)
        for kind in ("generated", "ground_truth", "control"):
            write_video(folder / "videos" / f"{index:02d}_{kind}.mp4", video(index, opening), samples, crf=26)
        for kind in ("reference", "generated"):
            write_image(folder / "posters" / f"{index:02d}_{kind}.jpg", picture(index, 192))
    write_json(folder / "traces.json", traces)
    write_image(folder / "enhancer" / "00.jpg", picture(3, 112))
    terms = {"img": 0.8, "inst": 1.0, "time": 0.5, "pose": 0.7, "len": 1.0}
    case = {
        "picture": "enhancer/00.jpg", "instruction": "please nod", "action": "nod",
        "before": "A person nods.",
        "after": "At first a person in a red jacket sits still, then nods, finally smiles.",
        "reward_before": 0.8, "reward_after": 0.98, "terms_before": terms,
        "terms_after": dict.fromkeys(terms, 1.0),
    }  # fmt: skip
    write_json(folder / "enhancer" / "examples.json", [case])
    assert json.loads((folder / "metrics.json").read_text())["schema"] == 1


class Browser:
    """Headless Chromium over its debugging protocol."""

    def __init__(self, program, profile):
        from websockets.sync.client import connect

        command = [
            program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--autoplay-policy=no-user-gesture-required", "--remote-debugging-port=0",
            "--window-size=1280,1600", "--hide-scrollbars", f"--user-data-dir={profile}", "about:blank",
        ]  # fmt: skip
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        address = next(
            line.split()[-1] for line in self.process.stderr if line.startswith("DevTools listening")
        )
        self.socket = connect(address, max_size=None, open_timeout=30)
        self.number = 0
        self.complaints, self.requests = [], []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if getattr(self, "session", None):
            message["sessionId"] = self.session
        self.socket.send(json.dumps(message))
        while True:
            answer = self.receive()
            if answer.get("id") == self.number:
                assert "error" not in answer, answer["error"]
                return answer["result"]

    def receive(self):
        answer = json.loads(self.socket.recv(timeout=90))
        method, params = answer.get("method"), answer.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.complaints.append(params["exceptionDetails"]["text"])
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.complaints.append(params["entry"]["text"])
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.complaints.append(str(params["args"]))
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"][:200])
        return answer

    def open(self, page):
        self.call("Page.navigate", url=page.as_uri())
        while self.receive().get("method") != "Page.loadEventFired":
            pass

    def evaluate(self, script):
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def screenshot(self, name, height=1600):
        """Keeps a picture of the page's first `height` px as state/screenshots/NAME.png of the checkout."""
        clip = {"x": 0, "y": 0, "width": 1280, "height": height, "scale": 1}
        taken = self.call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)["data"]
        path = SCREENSHOTS / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(taken))
        return path

    def close(self):
        self.socket.close()
        self.process.terminate()
        self.process.wait(timeout=30)


@pytest.fixture
def browser(tmp_path):
    """Chromium, or one clear line why the page was not tried."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("no Chromium on this machine: the page was not tried in a browser")
    opened = Browser(program, tmp_path / "profile")
    yield opened
    opened.close()
