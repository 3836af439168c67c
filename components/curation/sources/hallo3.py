"""Hallo3's training data: `videos/NAME.mp4` and `caption/NAME.txt`, or its training list, JSON with
`video_path` and `caption`. The embeddings and masks that the list names are the other system's own and are
not read."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from components.core.errors import InputError
from components.core.paths import inside
from components.curation.sources.entry import Entry, Listing, Missing, read_card
from components.curation.sources.layout import VIDEO_ENDINGS, finish, json_items, note

URL = "https://huggingface.co/datasets/fudan-generative-ai/hallo3_training_data"


def read_hallo3(folder: Path) -> Listing:
    """The videos of the training list if there is one, else all below `videos/`, each with its caption.

    Raises:
        InputError: the folder or its `source.yaml` is missing, or no video is there.
    """
    if not folder.is_dir():
        raise InputError(f"source folder {folder} is missing")
    found = Listing(read_card(folder))
    lists = sorted(folder.glob("*.json"))
    captions = {path.stem: path for path in sorted((folder / "caption").glob("*.txt"))}
    if lists:
        for path in lists:
            _listed(folder, path, captions, found)
        return finish(found, folder, "videos named in *.json")
    videos = sorted(path for path in (folder / "videos").glob("*") if path.suffix.lower() in VIDEO_ENDINGS)
    for video in videos:
        _add(found, video, _caption(captions.get(video.stem)))
    there = {video.stem for video in videos}
    found.missing.extend(Missing(f"videos/{stem}.mp4", URL) for stem in captions if stem not in there)
    return finish(found, folder, "videos/*.mp4")


def _listed(folder: Path, path: Path, captions: dict[str, Path], found: Listing) -> None:
    for number, item in json_items(path, folder, found):
        name = item.get("video_path")
        if not isinstance(name, str) or not name:
            note(found, folder, path, number, "'video_path' is missing")
            continue
        # As written by the data preparation: absolute, or from a folder above; the end counts.
        short = "/".join(PurePosixPath(name).parts[-2:])
        try:
            video = inside(folder, short)
        except InputError as error:
            note(found, folder, path, number, error)
            continue
        if not video.is_file():
            found.missing.append(Missing(short, URL))
            continue
        text = item.get("caption")
        _add(found, video, text.strip() if isinstance(text, str) else _caption(captions.get(video.stem)))


def _add(found: Listing, video: Path, caption: str | None) -> None:
    found.entries.append(Entry(video, f"{found.card.name}/{video.stem}", found.card, caption=caption or None))


def _caption(path: Path | None) -> str | None:
    return path.read_text(encoding="utf-8", errors="replace").strip() if path else None
