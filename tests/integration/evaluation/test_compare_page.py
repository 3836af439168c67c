"""The leaderboard's page in a real browser: every player of a case plays in step, nothing is fetched."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from components.core.media import write_image, write_video, write_wav
from components.evaluation.ablations import analysis
from components.evaluation.comparison import table
from components.evaluation.comparison.page import write_page
from components.evaluation.comparison.scoring import Scored
from components.evaluation.peers.runner import Made
from components.evaluation.suites.case import Case

FRAMES = 40
PLAY_ALL = """
(async () => {
  const wait = (test) => new Promise((done, failed) => {
    const begin = performance.now();
    const poll = setInterval(() => {
      if (test()) { clearInterval(poll); done(); }
      if (performance.now() - begin > 15000) { clearInterval(poll); failed(new Error('in vain: ' + test)); }
    }, 20);
  });
  const gaps = [];
  for (const card of document.querySelectorAll('.lineup-card')) {
    const videos = [...card.querySelectorAll('video')];
    await wait(() => videos.every((video) => video.readyState >= 3));
    card.querySelector('.play').click();
    await wait(() => videos.every((video) => video.currentTime > 0.3));
    const times = videos.map((video) => video.currentTime);
    gaps.push(Math.max(...times) - Math.min(...times));
    card.querySelector('.play').click();
  }
  return gaps;
})()
"""


def ablation_of(scored: list[Scored]) -> dict:
    """The ablation part of a page: "theirs" as the system without a part."""
    groups = {name: [one for one in scored if one.made.system == name] for name in ("ours", "theirs")}
    rows = analysis.ablation_rows(
        {"full": groups["ours"], "localization": groups["theirs"]},
        {"localization": "Attention Localization Loss"}, {}, 0, 100, 0.95,
    )  # fmt: skip
    return {
        "seeds": 1, "rows": [analysis.for_people(row) for row in rows], "published": "Published: none.",
        "words": analysis.in_words(rows, 1, 2, 0.95), "prompts": [], "prompt_names": [],
    }  # fmt: skip


def made_page(folder: Path, *, ablation: bool) -> Path:
    """A page of two cases and four systems, one video missing."""
    scored = []
    for place, (name, kind) in enumerate((("portrait-00", "portrait"), ("noisy-00", "noisy_audio"))):
        case = Case(
            name, kind, "p", "en", "close-up", "speech", "nod", "P <i>nods</i>.", FRAMES, folder, 10.0 * place
        )
        sound = (0.2 * np.random.default_rng(place).standard_normal(FRAMES * 640)).astype(np.float32)
        for kind_of_sound in ("audio", "other"):
            write_wav(case.path(kind_of_sound), sound)
        for system, shade in (("ours", 60), ("theirs", 120), ("ground_truth", 200), ("still", 90)):
            gone = system == "theirs" and place == 1
            video = folder / f"{name}-{system}.mp4"
            write_video(video, np.full((FRAMES, 64, 48, 3), shade, np.uint8))
            values = {} if gone else {"sync_confidence": shade / 20 + place, "face_sim_proxy": math.nan}
            one = Made(system, name, 1, None if gone else video, "out of time" if gone else "", 1.0, 3.0)
            scored.append(Scored(one, case, values, {}))
    titles = {"ours": "Ours", "theirs": "Theirs", "ground_truth": "ground truth", "still": "still portrait"}
    result = {
        "title": "Side by side", "lead": "Two cases.", "against": "ours", "protocol": {"level": 0.95},
        "rows": table.leaderboard(scored, 0, 100, 0.95, "ours"), "missing": table.missing(scored),
        "breakdown": table.by_kind(scored, ["sync_confidence"]),
        "robustness": {"sync_confidence": table.robustness(scored, "sync_confidence")},
    }  # fmt: skip
    pictures = []
    if ablation:
        result["ablation"] = ablation_of(scored)
        write_image(folder / "drawn.png", np.full((40, 200, 3), 180, np.uint8))
        pictures = [("Where identity tokens look", "A note.", folder / "drawn.png")]
    return write_page(folder / "page", result, scored, titles, pictures)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["compare", "ablation"])
def test_players_play_in_step_and_nothing_is_fetched(browser, tmp_path, kind):
    page = made_page(tmp_path, ablation=kind == "ablation")
    browser.open(page)
    gaps = browser.evaluate(PLAY_ALL)
    assert len(gaps) == 2 and max(gaps) < 0.25
    muted = browser.evaluate(
        "[...document.querySelector('.lineup').querySelectorAll('video')].map((v) => v.muted)"
    )
    assert muted.count(False) == 1 and len(muted) == 4
    assert browser.screenshot(kind, 2400).stat().st_size > 10_000
    if kind == "ablation":
        shown = browser.evaluate("[...document.images].every((picture) => picture.naturalWidth > 0)")
        assert shown and "no difference can be judged" in browser.evaluate("document.body.innerText")
    assert browser.complaints == []
    assert [url for url in browser.requests if not url.startswith(("data:", "file:", "blob:"))] == []
