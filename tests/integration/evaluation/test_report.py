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
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", text)
    assert "url(" not in text and "@import" not in text and "fetch(" not in text
    for words in (
        "refused by evaluation", "no face", "Prompt enhancer", "syncdreamer-avatar", "0123456789abcdef",
        "never by this run", "3 min 24 s", "toynet@1a2b3c4d", "clip_0003.mp4", "champion",
    ):  # fmt: skip
        assert words in text, words
    assert "A person <nods>" not in text  # texts of models are escaped


def test_an_empty_workspace_still_makes_a_page(tmp_path):
    text = build_report(Workspace(tmp_path)).read_text(encoding="utf-8")
    assert "syncdreamer generate" in text


def test_the_same_input_gives_the_same_page(reported):
    workspace, info = reported
    first = build_report(workspace, info).read_bytes()
    assert build_report(workspace, info).read_bytes() == first


@pytest.mark.timeout(180)
def test_players_play_in_step_and_the_console_is_silent(reported, browser, tmp_path):
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
    browser.screenshot(tmp_path / "report.png")
    assert (tmp_path / "report.png").stat().st_size > 50_000
    assert browser.complaints == []
    assert [url for url in browser.requests if not url.startswith(("data:", "file:", "blob:"))] == []
