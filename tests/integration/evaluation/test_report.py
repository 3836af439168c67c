"""The page: whole, self-contained, and alive in a real browser where there is one."""

from __future__ import annotations

import re

import pytest

from components.core.files import read_json
from components.core.paths import Workspace
from components.evaluation.report import build_report

PLAY_ALL = """
(async () => {
  const wait = (test) => new Promise((done, failed) => {
    const begin = performance.now();
    const poll = setInterval(() => {
      if (test()) { clearInterval(poll); done(); }
      if (performance.now() - begin > 15000) { clearInterval(poll); failed(new Error('in vain: ' + test)); }
    }, 20);
  });
  const videos = [...document.querySelectorAll('#stage video')];
  const gaps = [];
  for (const button of document.querySelectorAll('[data-person]')) {
    button.click();
    await wait(() => videos.every((video) => video.readyState >= 3));
    document.getElementById('toggle').click();
    await wait(() => videos.every((video) => video.currentTime > 0.3));
    const times = videos.map((video) => video.currentTime);
    gaps.push(Math.max(...times) - Math.min(...times));
    document.getElementById('toggle').click();
  }
  return gaps;
})()
"""


def test_everything_is_inside_the_page(reported):
    workspace, info = reported
    path = build_report(workspace, info)
    text = path.read_text(encoding="utf-8")
    assert path == workspace.artifacts("report", "index.html")
    assert path.stat().st_size < 15e6
    assert not re.findall(r"""src=["'](?!data:)""", text)
    links = re.findall(r"""href=["'](?!data:|#)([^"']*)""", text)  # followed on a click, never fetched
    assert links and all(link.startswith("http://127.0.0.1:5000/#/") for link in links)
    assert f"http://127.0.0.1:5000/#/experiments/7/runs/{'cd' * 16}" in links
    assert "http://127.0.0.1:5000/#/models/syncdreamer-avatar/versions/3" in links
    assert "url(" not in text and "@import" not in text and "fetch(" not in text
    for words in (
        "refused by evaluation", "no face", "Prompt enhancer", "syncdreamer-avatar", "0123456789abcdef",
        "never by this run", "3 min 24 s", "toynet@1a2b3c4d", "clip_0003.mp4", "champion",
        "By framing", "By delivery", "never seen", "Weakest clips", "compare --suite demo",
    ):  # fmt: skip
        assert words in text, words
    assert "A person <nods>" not in text  # texts of models are escaped


def test_links_go_to_the_tracking_server(reported):
    workspace, info = reported
    served = info | {"mlflow": {"address": "https://mlflow.example.org/", "experiment": "7"}}
    text = build_report(workspace, served).read_text(encoding="utf-8")
    assert f'href="https://mlflow.example.org/#/experiments/7/runs/{"ef" * 16}"' in text
    assert "127.0.0.1:5000" not in text.replace("sqlite", "")


def test_groups_and_weakest_clips_by_hand(reported):
    from components.evaluation.report import insight

    workspace, _ = reported
    content = read_json(workspace.artifacts("evaluation", "metrics.json"))
    for place, item in enumerate(content["items"]):
        item["aperture_correlation_own"] = (0.5, None, 0.1)[place]
        item["sound"] = item["reference"] = f"{place:016x}-0"
    tables = {table["title"]: table for table in insight.breakdown(workspace, content)}
    (close,) = tables["framing"]["lines"]
    assert close["title"] == "close-up" and close["cells"][0] == {
        "value": "0.3", "interval": "0.1 … 0.5", "n": 2,
    }  # fmt: skip
    seen = {line["title"]: line["cells"][0]["value"] for line in tables["person"]["lines"]}
    assert seen == {"never seen": "0.5", "in training": "0.1"}
    weakest = insight.worst(workspace.artifacts("evaluation"), content["items"])
    assert [row["value"] for row in weakest] == ["–", "0.1", "0.5"]


def test_an_empty_workspace_still_makes_a_page(tmp_path):
    text = build_report(Workspace(tmp_path)).read_text(encoding="utf-8")
    assert "syncdreamer generate" in text


def test_the_same_input_gives_the_same_page(reported):
    workspace, info = reported
    first = build_report(workspace, info).read_bytes()
    assert build_report(workspace, info).read_bytes() == first


@pytest.mark.timeout(300)
def test_players_play_in_step_and_the_console_is_silent(reported, browser):
    workspace, info = reported
    browser.open(build_report(workspace, info))
    gaps = browser.evaluate(PLAY_ALL)
    people = read_json(workspace.artifacts("evaluation", "metrics.json"))["items"]
    assert len(gaps) == len(people)
    assert max(gaps) < 0.15
    sounds = browser.evaluate("[...document.querySelectorAll('#stage video')].map((v) => v.muted)")
    assert sounds.count(False) == 1
    browser.evaluate("document.querySelector('[data-sound=control]').click()")
    assert browser.evaluate("document.querySelector('#stage .control video').muted") is False
    assert browser.screenshot("report", 4000).stat().st_size > 50_000
    assert browser.complaints == []
    assert [url for url in browser.requests if not url.startswith(("data:", "file:", "blob:"))] == []
