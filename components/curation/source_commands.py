"""The commands `syncdreamer sources …`: what the sources of params.yaml hold, and what they lack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from components.core.params import Params

if TYPE_CHECKING:
    from components.core.paths import Workspace
    from components.curation.sources import Listing

P = TypeVar("P", bound=Params)

app = typer.Typer(help="See what the sources of clips hold and lack.", no_args_is_help=True)
SHOWN = 20

PUBLISHED: dict[str, tuple[str, str]] = {
    "hdtf": ("CC-BY-4.0", "https://github.com/MRzzm/HDTF"),
    "avspeech": ("CC-BY-4.0", "https://looking-to-listen.github.io/avspeech/"),
    "humanvid": ("Pexels licence (videos); see the repository", "https://github.com/zhenzhiwang/HumanVid"),
    "hallo3": (
        "CC-BY-NC-ND-4.0",
        "https://huggingface.co/datasets/fudan-generative-ai/hallo3_training_data",
    ),
    "talkvid": ("CC-BY-NC-4.0", "https://huggingface.co/datasets/FreedomIntelligence/TalkVid"),
    "emtd": ("Apache-2.0 (list); videos: their owners'", "https://github.com/antgroup/echomimic_v2"),
}
"""Layout → the licence its publishers name, and where. Whether the people agreed is not for a list to say."""


@app.command()
def check(
    name: Annotated[str, typer.Option("--source", help="Only the source of this name or path.")] = "",
    every: Annotated[bool, typer.Option("--all", help="Every missing video, not the first 20.")] = False,
) -> None:
    """Read all lists; print what is missing on disk, with its official address, and lines that are wrong.

    Exit status 1 if anything is missing or wrong. Nothing is downloaded, except from s3:// sources.
    """
    from components.core.errors import InputError
    from components.core.paths import find_workspace
    from components.curation.ingest import read_source
    from components.curation.params import IngestParams

    workspace = find_workspace()
    complete = True
    for source in section(workspace, "ingest", IngestParams).sources:
        if name and name not in (source.path, source.path.rsplit("/", 1)[-1]):
            continue
        try:
            listing = read_source(source, workspace)
        except InputError as error:
            typer.echo(f"{source.path} ({source.kind}): {error}")
            complete = False
            continue
        complete &= not (listing.missing or listing.malformed)
        for line in told(source.path, source.kind, listing, None if every else SHOWN):
            typer.echo(line)
    if not complete:
        raise typer.Exit(1)


@app.command()
def card(
    kind: Annotated[str, typer.Argument(help="Layout, e.g. hdtf.")],
) -> None:
    """Print a source.yaml to start from, with the licence that the layout's publishers name."""
    from components.core.errors import InputError
    from components.curation.sources import READERS

    if kind not in READERS:
        raise InputError(f"source kind {kind!r} is unknown; there are: {', '.join(sorted(READERS))}")
    licence, url = PUBLISHED.get(kind, ("", ""))
    typer.echo(
        f"name: {kind}\nlicence: {licence!r}  # check it where you got the videos\n"
        f"consent: false  # true only if the people shown agreed to this use\n"
        f"split: {'test' if kind == 'emtd' else 'auto'}\n"
        f"audio: {'none' if kind == 'humanvid' else 'required'}\nurl: {url!r}"
    )


def told(path: str, kind: str, listing: Listing, limit: int | None) -> list[str]:
    """Lines about one source: counts, licence and consent, then what is missing and what is wrong."""
    what = listing.card
    lines = [
        f"{path} ({kind}): {len(listing.entries)} clips of {len({e.source_video for e in listing.entries})} "
        f"recordings, {len(listing.missing)} videos missing, {len(listing.malformed)} lines wrong; "
        f"licence {what.licence}, consent {'yes' if what.consent else 'NO'}"
    ]
    lines += [
        f"  missing  {each.file}  {each.url or '(no address is published)'}"
        for each in listing.missing[:limit]
    ]
    hidden = len(listing.missing) - len(listing.missing[:limit])
    if hidden:
        lines.append(f"  … and {hidden} more missing (--all shows them)")
    return lines + [f"  wrong    {each}" for each in listing.malformed]


def section(workspace: Workspace, name: str, model: type[P]) -> P:
    """A section of params.yaml.

    Raises:
        InputError: the file or the section is missing or wrong.
    """
    import yaml
    from pydantic import ValidationError

    from components.core.errors import InputError
    from components.core.paths import require

    path = require(workspace.root / "params.yaml", "syncdreamer params --write")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return model.model_validate(content[name])
    except (yaml.YAMLError, ValidationError, KeyError, TypeError) as error:
        raise InputError(f"params.yaml: section {name}: {' '.join(str(error).split())}") from error
