"""Every peer's exact arguments, input files and output place; failures, partial output, time-outs."""

from __future__ import annotations

import csv
import json
import os
import time
from pathlib import Path

import pytest
import yaml

from components.evaluation.peers.declaration import load_peers
from components.evaluation.peers.runner import run_peer, videos_of_folder

PEERS = load_peers()
SEED = 7
PROMPT = 'A man, {calm}, nods "twice".'

EXPECTED = {
    "hallo": "--source_image SQUARE --driving_audio AUDIO --output OUT/ID.mp4",
    "hallo2": "--config WORK/ID.yaml",
    "hallo3": "--base ./configs/cogvideox_5b_i2v_s2.yaml ./configs/inference.yaml --seed 7 "
    "--input-file WORK/ID.txt --output-dir OUT",
    "echomimic_v1": "--config WORK/ID.yaml -W 512 -H 512 --seed 7 --fps 24",
    "echomimic_v2": "--config ./configs/prompts/infer.yaml -W 768 -H 768 -L 240 --seed 7 --fps 24 "
    "--ref_images_dir WORK/refimg --refimg_name suite/ID.png --audio_dir WORK/audio --audio_name ID.wav "
    "--pose_dir ./assets/halfbody_demo/pose --pose_name 01",
    "echomimic_v3": "--image_path IMAGE --audio_path AUDIO --prompt PROMPT --config_path config/config.yaml "
    "--num_inference_steps 8 --video_length 81 --sample_size 768 768 --fps 25 --seed 7 --save_path OUT",
    "v_express": "--reference_image_path SQUARE --audio_path AUDIO --kps_path EMPTY --output_path OUT/ID.mp4 "
    "--retarget_strategy fix_face --image_width 512 --image_height 512 --fps 25 --seed 7",
    "fantasytalking": "--image_path IMAGE --audio_path AUDIO --prompt PROMPT --output_dir OUT "
    "--max_num_frames 81 --fps 23 --seed 7",
    "hunyuanvideo_avatar": "--input WORK/ID.csv --ckpt ./weights/ckpts/hunyuan-video-t2v-720p/transformers/"
    "mp_rank_00_model_states_fp8.pt --sample-n-frames 129 --seed 7 --image-size 704 --cfg-scale 7.5 "
    "--infer-steps 50 --use-deepcache 1 --flow-shift-eval-video 5.0 --save-path OUT --use-fp8 --cpu-offload "
    "--infer-min",
    "omniavatar": "--config configs/inference.yaml --input_file WORK/ID.txt --hp=seed=7",
    "mimicmotion": "--inference_config WORK/ID.yaml --output_dir OUT",
    "animateanyone": "--config WORK/ID.yaml -W 512 -H 784 -L 20 --seed 7 --fps 25",
    "latentsync": "--unet_config_path configs/unet/stage2.yaml --inference_ckpt_path "
    "checkpoints/latentsync_unet.pt --video_path STILL --audio_path AUDIO --video_out_path OUT/ID.mp4 "
    "--inference_steps 20 --guidance_scale 1.5 --seed 7",
    "sadtalker": "--driven_audio AUDIO --source_image SQUARE --result_dir OUT --size 256 --preprocess crop",
    "wan22_s2v": "--task s2v-14B --size 1024*704 --ckpt_dir ./Wan2.2-S2V-14B/ --offload_model True "
    "--convert_model_dtype --prompt PROMPT --image IMAGE --audio AUDIO --base_seed 7 --save_file OUT/ID.mp4",
}


def runs(state: Path, name: str) -> list[Path]:
    return sorted((state / name).iterdir())


def told(installation) -> dict:
    return json.loads(Path(installation.repository, "log.json").read_text())


def test_every_peer_of_the_issue_is_declared():
    assert set(PEERS) == set(EXPECTED)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_arguments_and_output_place(name, case, installed, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/ours")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    state = tmp_path / "state"
    installation = installed(name)
    made = run_peer(PEERS[name], installation, case, SEED, state)
    (folder,) = runs(state, name)
    assert made.reason == "", (folder / "log.txt").read_text()
    assert made.video == folder / "video.mp4" and made.coverage == pytest.approx(1.0, abs=0.5)
    words = {
        "SQUARE": folder / "work" / "square" / "portrait-00.png", "IMAGE": case.path("image"),
        "AUDIO": case.path("audio"), "STILL": case.path("still"), "PROMPT": PROMPT, "EMPTY": "",
        "OUT": folder / "out", "WORK": folder / "work", "ID": case.id,
    }  # fmt: skip
    wanted = []
    for word in EXPECTED[name].split():
        for key, value in words.items():
            word = (
                str(value)
                if word == key
                else word.replace(f"{key}/", f"{value}/").replace(f"/{key}.", f"/{value}.")
            )
        wanted.append(word.replace("ID.wav", f"{case.id}.wav"))
    record = told(installation)
    assert record["arguments"] == wanted
    assert record["folder"] == installation.repository
    assert record["environment"].get("PYTHONPATH") == PEERS[name].environment.get("PYTHONPATH")
    assert "HF_HUB_OFFLINE" not in record["environment"]


def test_input_files_byte_for_byte(case, installed, tmp_path):
    state = tmp_path / "state"
    for name in ("hallo3", "hunyuanvideo_avatar", "hallo2", "echomimic_v1", "mimicmotion"):
        run_peer(PEERS[name], installed(name), case, SEED, state)

    def written(name: str, ending: str) -> bytes:
        return (runs(state, name)[0] / "work" / f"portrait-00.{ending}").read_bytes()

    image, audio = case.path("image"), case.path("audio")
    assert written("hallo3", "txt").decode() == f"{PROMPT}@@{image}@@{audio}\n"
    table = written("hunyuanvideo_avatar", "csv")
    assert table.startswith(b"\xef\xbb\xbf") and table.endswith(b"\r\n")
    (row,) = csv.DictReader(table.decode("utf-8-sig").splitlines())
    assert row == {
        "videoid": case.id,
        "image": str(image),
        "audio": str(audio),
        "prompt": PROMPT,
        "fps": "25",
    }
    long = yaml.safe_load(written("hallo2", "yaml"))
    assert long["audio_ckpt_dir"] == "pretrained_models/hallo2" and long["driving_audio"] == str(audio)
    assert long["source_image"].endswith("square/portrait-00.png")
    (pair,) = yaml.safe_load(written("echomimic_v1", "yaml"))["test_cases"].items()
    there, here = (str(runs(state, name)[0]) for name in ("hallo2", "echomimic_v1"))
    assert pair == (long["source_image"].replace(there, here), [str(audio)])
    (task,) = yaml.safe_load(written("mimicmotion", "yaml"))["test_case"]
    assert task["seed"] == 7 and task["ref_video_path"] == str(case.path("truth"))


@pytest.mark.parametrize(
    ("do", "reason"),
    [
        ("fail", "ended with status 1: CUDA out of memory"),
        ("nothing", "wrote no video at"),
        ("partial", "partial: 0.24 s of 0.80 s"),
        ("broken", "wrote a video that cannot be read"),
    ],
)
def test_failures_are_missing_values_with_a_reason(do, reason, case, installed, tmp_path):
    made = run_peer(PEERS["hallo"], installed("hallo", do), case, SEED, tmp_path / "state")
    assert made.video is None and made.reason.startswith(reason) and made.coverage is None
    assert (runs(tmp_path / "state", "hallo")[0] / "log.txt").exists()
    kept = runs(tmp_path / "state", "hallo")[0] / "partial.mp4"
    assert kept.exists() == (do == "fail")


def test_out_of_time_ends_the_whole_group(case, installed, tmp_path):
    installation = installed("sadtalker", "hang", minutes=2 / 60)
    begin = time.monotonic()
    made = run_peer(PEERS["sadtalker"], installation, case, SEED, tmp_path / "state")
    assert time.monotonic() - begin < 30
    assert made.video is None and made.reason.startswith("out of time after 0.0333")
    child = int(Path(installation.repository, "child").read_text())
    for _ in range(50):
        if not alive(child):
            break
        time.sleep(0.1)
    assert not alive(child)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not (status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] == "Z")


def test_resumes_by_content_and_repeats_only_what_is_asked(case, installed, tmp_path):
    state, installation = tmp_path / "state", installed("hallo3")
    log = Path(installation.repository, "log.json")
    first = run_peer(PEERS["hallo3"], installation, case, SEED, state)
    log.unlink()
    assert run_peer(PEERS["hallo3"], installation, case, SEED, state) == first and not log.exists()
    run_peer(PEERS["hallo3"], installation, case, SEED + 1, state)
    assert log.exists() and len(runs(state, "hallo3")) == 2
    case.path("audio").write_bytes(case.path("audio").read_bytes()[:-640])
    log.unlink()
    run_peer(PEERS["hallo3"], installation, case, SEED, state)
    assert log.exists() and len(runs(state, "hallo3")) == 3

    failing = installed("hallo", "fail")
    log = Path(failing.repository, "log.json")
    again = run_peer(PEERS["hallo"], failing, case, SEED, state)
    log.unlink()
    assert run_peer(PEERS["hallo"], failing, case, SEED, state) == again and not log.exists()
    assert run_peer(PEERS["hallo"], failing, case, SEED, state, retry=True).reason == again.reason
    assert log.exists()


def test_a_fixed_seed_is_run_once(case, installed, tmp_path):
    installation = installed("hallo")
    for seed in (1, 2):
        run_peer(PEERS["hallo"], installation, case, seed, tmp_path / "state")
    assert len(runs(tmp_path / "state", "hallo")) == 1


def test_an_older_result_in_the_peers_own_folder_is_not_taken(case, installed, tmp_path):
    installation = installed("omniavatar")
    assert not run_peer(PEERS["omniavatar"], installation, case, SEED, tmp_path / "one").reason
    idle = installed("omniavatar", "nothing")
    made = run_peer(PEERS["omniavatar"], idle, case, SEED, tmp_path / "two")
    assert made.reason.startswith("wrote no video")


def test_limits_and_missing_inputs_are_told_before_anything_runs(case, installed, tmp_path):
    state = tmp_path / "state"
    spoken = case.__class__(**{**vars(case), "language": "zh"})
    assert "speaks en only" in run_peer(PEERS["hallo3"], installed("hallo3"), spoken, SEED, state).reason
    case.path("pose").unlink()
    assert (
        "needs a pose video"
        in run_peer(PEERS["animateanyone"], installed("animateanyone"), case, SEED, state).reason
    )
    assert "not installed" in run_peer(PEERS["hallo"], None, case, SEED, state).reason
    marked = case.__class__(**{**vars(case), "prompt": "a@@b"})
    assert "@@" in run_peer(PEERS["hallo3"], installed("hallo3"), marked, SEED, state).reason


def test_videos_made_elsewhere(case, media, tmp_path):
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / f"{case.id}.mp4").write_bytes((media / "whole.mp4").read_bytes())
    (folder / f"{case.id}-s2.mp4").write_bytes((media / "short.mp4").read_bytes())
    first, second, third = videos_of_folder("theirs", folder, [case], [1, 2, 3])
    assert first.video and first.coverage == 1.0
    assert second.video is None and second.reason.startswith("partial")
    assert third.video is None and third.reason == "no file portrait-00-s3.mp4"
