"""Stands in for the peers' scripts: parses what each really parses, reads its input files the way it does,
and writes where it writes. Copied into a fake checkout under each script's name; needs no more than PyYAML.

STUB_VIDEO is what it "generates"; STUB_DO makes it misbehave: fail, partial, nothing, hang.
"""

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path


def parse(*names, positional=(), flags=()):
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name in names:
        parser.add_argument(name, required=True)
    for name in flags:
        parser.add_argument(name, action="store_true")
    return vars(parser.parse_args())


def load(path):
    import yaml

    return yaml.safe_load(Path(path).read_text(encoding="utf-8"))


def put(path):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    do = os.environ.get("STUB_DO", "")
    if do == "nothing":
        return
    if do == "partial":
        shutil.copy(os.environ["STUB_SHORT"], path)
        return
    if do == "broken":
        path.write_bytes(Path(os.environ["STUB_VIDEO"]).read_bytes()[:200])
        return
    shutil.copy(os.environ["STUB_VIDEO"], path)
    if do == "fail":
        sys.exit("CUDA out of memory")


def stem(path):
    assert Path(path).is_file(), f"{path} is missing"
    return Path(path).stem


def hallo():
    a = parse("--source_image", "--driving_audio", "--output")
    stem(a["source_image"]), stem(a["driving_audio"])
    put(a["output"])


def hallo2():
    config = load(parse("--config")["config"])
    assert config["audio_ckpt_dir"] == "pretrained_models/hallo2", "the base file is not merged"
    stem(config["driving_audio"])
    folder = Path(config["save_path"]) / stem(config["source_image"])
    put(folder / "seg_video" / f"{folder.name}-000001.mp4")
    put(folder / "merge_video.mp4")


def hallo3():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--base", nargs="*")
    for name in ("--seed", "--input-file", "--output-dir"):
        parser.add_argument(name)
    a = parser.parse_args()
    assert os.environ["WORLD_SIZE"] == "1" and os.environ["LOCAL_RANK"] == "0"
    for line in Path(a.input_file).read_text(encoding="utf-8").splitlines():
        _, image, audio = line.strip().split("@@")
        put(Path(a.output_dir) / f"{stem(image)}-{stem(audio)}-seed_{a.seed}" / "000000_with_audio.mp4")


def echomimic_v1():
    a = parse("--config", "-W", "-H", "--seed", "--fps")
    stamp = datetime.now()
    folder = Path("output") / stamp.strftime("%Y%m%d") / f"{stamp:%H%M}--seed_{a['seed']}-{a['W']}x{a['H']}"
    config = load(a["config"])
    assert config["weight_dtype"] == "fp16"
    for image, sounds in config["test_cases"].items():
        for sound in sounds:
            base = folder / f"{stem(image)}_{stem(sound)}_{a['H']}x{a['W']}_2_{stamp:%H%M}"
            put(f"{base}.mp4")
            put(f"{base}_withaudio.mp4")


def echomimic_v2():
    a = parse("--config", "-W", "-H", "-L", "--seed", "--fps", "--ref_images_dir", "--refimg_name",
              "--audio_dir", "--audio_name", "--pose_dir", "--pose_name")  # fmt: skip
    stem(f"{a['ref_images_dir']}/{a['refimg_name']}"), stem(f"{a['audio_dir']}/{a['audio_name']}")
    flag = ".".join([a["refimg_name"].split("/")[-2], a["refimg_name"].split("/")[-1]])
    folder = Path(f"outputs/flag-seed{a['seed']}/{flag}/{a['pose_name']}")
    name = folder / f"{a['refimg_name'].split('/')[-1].split('.')[0]}-a-{a['audio_name']}-i0"
    put(f"{name}_woa_sig.mp4")
    put(f"{name}_sig.mp4")


def echomimic_v3():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--sample_size", type=int, nargs=2)
    for name in ("image_path", "audio_path", "prompt", "config_path", "num_inference_steps", "video_length",
                 "fps", "seed", "save_path"):  # fmt: skip
        parser.add_argument(f"--{name}", required=True)
    a = parser.parse_args()
    stem(a.audio_path)
    path = Path(a.save_path) / f"{Path(a.image_path).name.split('.')[0]}_output.mp4"
    assert not path.exists(), "it would be skipped"
    put(path)


def v_express():
    a = parse("--reference_image_path", "--audio_path", "--kps_path", "--output_path", "--retarget_strategy",
              "--image_width", "--image_height", "--fps", "--seed")  # fmt: skip
    assert a["kps_path"] == ""
    stem(a["reference_image_path"]), stem(a["audio_path"])
    put(a["output_path"])


def fantasytalking():
    a = parse(
        "--image_path", "--audio_path", "--prompt", "--output_dir", "--max_num_frames", "--fps", "--seed"
    )
    name = f"{stem(a['image_path'])}_{stem(a['audio_path'])}_{datetime.now():%Y%m%d_%H%M%S}.mp4"
    put(Path(a["output_dir"]) / f"tmp_{name}")
    put(Path(a["output_dir"]) / name)
    (Path(a["output_dir"]) / f"tmp_{name}").unlink(missing_ok=True)


def hunyuanvideo_avatar():
    names = ("--input", "--ckpt", "--sample-n-frames", "--seed", "--image-size", "--cfg-scale",
             "--infer-steps", "--use-deepcache", "--flow-shift-eval-video", "--save-path")  # fmt: skip
    a = parse(*names, flags=("--use-fp8", "--cpu-offload", "--infer-min"))
    raw = Path(a["input"]).read_bytes()
    assert raw.startswith(b"\xef\xbb\xbfvideoid,image,audio,prompt,fps\r\n")
    assert os.environ["PYTHONPATH"] == "./" and os.environ["MODEL_BASE"] == "./weights"
    with Path(a["input"]).open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            stem(row["image"]), stem(row["audio"])
            assert row["fps"] == "25" and row["prompt"]
            put(f"{a['save_path']}/{row['videoid']}.mp4")
            put(f"{a['save_path']}/{row['videoid']}_audio.mp4")


def omniavatar():
    parser = argparse.ArgumentParser()
    for name in ("--config", "--input_file", "--hparams"):
        parser.add_argument(name)
    a = parser.parse_args()
    settings = dict(pair.split("=") for pair in a.hparams.split(","))
    name = f"res_{stem(a.input_file)}_seed{settings['seed']}_step50_cfg4.5_ovlp13_30000_25_"
    folder = Path("demo_out/OmniAvatar-14B") / f"{name}{datetime.now():%Y-%m-%d_%H-%M-%S}"
    for index, line in enumerate(Path(a.input_file).read_text(encoding="utf-8").splitlines()):
        _, image, audio = line.split("@@")
        stem(image), stem(audio)
        put(folder / f"result_{index:03d}_000.mp4")
        put(folder / f"result_{index:03d}_000_wav.mp4")


def mimicmotion():
    a = parse("--inference_config", "--output_dir")
    config = load(a["inference_config"])
    assert config["ckpt_path"] == "models/MimicMotion_1-1.pth"
    for task in config["test_case"]:
        stem(task["ref_image_path"])
        assert isinstance(task["seed"], int)
        name = Path(task["ref_video_path"]).name.split(".")[0]
        put(f"{a['output_dir']}/{name}_{datetime.now():%Y%m%d%H%M%S}.mp4")


def animateanyone():
    a = parse("--config", "-W", "-H", "-L", "--seed", "--fps")
    stamp = datetime.now()
    folder = Path(f"output/{stamp:%Y%m%d}/{stamp:%H%M}--seed_{a['seed']}-{a['W']}x{a['H']}")
    for image, poses in load(a["config"])["test_cases"].items():
        for pose in poses:
            name = stem(pose).replace("_kps", "")
            put(folder / f"{stem(image)}_{name}_{a['H']}x{a['W']}_3_{stamp:%H%M}.mp4")


def latentsync():
    a = parse("--unet_config_path", "--inference_ckpt_path", "--video_path", "--audio_path",
              "--video_out_path", "--inference_steps", "--guidance_scale", "--seed")  # fmt: skip
    stem(a["video_path"]), stem(a["audio_path"])
    put(a["video_out_path"].replace(".mp4", "_mask.mp4"))
    put(a["video_out_path"])


def sadtalker():
    a = parse("--driven_audio", "--source_image", "--result_dir", "--size", "--preprocess")
    stem(a["driven_audio"]), stem(a["source_image"])
    folder = Path(a["result_dir"]) / f"{datetime.now():%Y_%m_%d_%H.%M.%S}"
    put(folder / "first_frame_dir" / "temp.mp4")
    put(f"{folder}.mp4")
    shutil.rmtree(folder)


def wan22_s2v():
    a = parse("--task", "--size", "--ckpt_dir", "--offload_model", "--prompt", "--image", "--audio",
              "--base_seed", "--save_file", flags=("--convert_model_dtype",))  # fmt: skip
    assert a["task"] == "s2v-14B"
    stem(a["image"]), stem(a["audio"])
    put(a["save_file"])


if __name__ == "__main__":
    log = Path(os.environ["STUB_LOG"])
    kept = {
        name: value for name, value in os.environ.items() if name.startswith(("PYTHON", "VIRTUAL", "HF_"))
    }
    log.write_text(json.dumps({"arguments": sys.argv[1:], "folder": str(Path.cwd()), "environment": kept}))
    if os.environ.get("STUB_DO") == "hang":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        Path(os.environ["STUB_CHILD"]).write_text(str(child.pid))
        time.sleep(600)
    globals()[os.environ["STUB_PEER"]]()
