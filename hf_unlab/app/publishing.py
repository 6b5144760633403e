"""`hf-unlab publish` and `verify`: what is about to go up, what went, and what came back."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hf_unlab.hub.publish import PublishSettings
    from hf_unlab.hub.verify import Verification

Languages = Annotated[str, typer.Option(help="ISO codes of the data's languages, with commas between them.")]


def publish_command(
    folder: Annotated[Path, typer.Argument(help="A checkpoint: a run's output_dir, or what finetune wrote.")],
    repo_id: Annotated[str, typer.Argument(help="Where: ME/NAME on the Hub.")],
    licence: Annotated[
        str | None,
        typer.Option("--licence", "--license", help="The Hub's name: apache-2.0, mit, cc-by-4.0, ..."),
    ] = None,
    private: Annotated[bool, typer.Option("--private/--public", help="Who may read a new repository.")] = True,
    dry_run: Annotated[
        bool, typer.Option("--dry_run", help="Check everything and show what would go up; send nothing.")
    ] = False,
    revision: Annotated[str, typer.Option(help="The branch; made where it is missing.")] = "main",
    tag: Annotated[str | None, typer.Option(help="Of the commit; by default v1, v2, ...; none for none.")] = None,
    languages: Languages = "",
    base_model: Annotated[
        str | None, typer.Option("--base_model", help="The Hub id of what it was made from.")
    ] = None,
    description: Annotated[str, typer.Option(help="A paragraph for the card.")] = "",
    new_card: Annotated[
        bool, typer.Option("--new_card", help="Make the card anew although somebody wrote one.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Load it before, and download and load it afterwards.")
    ] = True,
) -> None:
    """Publish a checkpoint, or an adapter, with the card that shows what it is worth; private by default.

    Refused: no licence, secrets, paths and names of this machine, raw data, a model that does not load.
    """
    from hf_unlab.app.console import exit_cleanly, quiet_libraries
    from hf_unlab.app.progress import console
    from hf_unlab.hub.card import CardSettings
    from hf_unlab.hub.publish import PublishSettings, publish_model

    card = CardSettings(
        licence, tuple(code for code in re.split(r"[,\s]+", languages) if code), base_model, description
    )
    settings = PublishSettings(card, private, revision, tag, new_card, verify)
    with quiet_libraries(), exit_cleanly():
        if dry_run:
            _show(folder, repo_id, settings)
            return
        made = publish_model(folder, repo_id, settings, on_step=lambda text: console.print(f"{text}."))
        if not made.changed and not made.deleted:
            console.print("Nothing is new: the Hub has these files already.")
        else:
            console.print(f"{len(made.changed)} files went up: {', '.join(made.changed)}")
        if made.deleted:
            console.print(f"Deleted, as no part of the model any more: {', '.join(made.deleted)}")
        console.print(f"{made.url} at {made.commit[:8]}" + f", tag {made.tag}" * bool(made.tag))
        if made.verification and not _say_verification(made.verification):
            raise typer.Exit(1)


def verify_command(
    repo_id: Annotated[str, typer.Argument(help="ME/NAME on the Hub.")],
    folder: Annotated[Path | None, typer.Argument(help="The checkpoint that it was published from.")] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit; by default main.")] = None,
) -> None:
    """Download a published model into an empty cache, load it by its card's own lines, and compare it with a folder.

    The process that loads it has no hf_unlab. Exit code 1 if anything is wrong.
    """
    from hf_unlab.app.console import exit_cleanly, quiet_libraries
    from hf_unlab.hub.verify import verify_published

    with quiet_libraries(), exit_cleanly():
        if not _say_verification(verify_published(repo_id, folder, revision=revision)):
            raise typer.Exit(1)


def _show(folder: Path, repo_id: str, settings: "PublishSettings") -> None:
    """A publication that is not sent."""
    from hf_unlab.app.progress import console
    from hf_unlab.hub.publish import load_staged
    from hf_unlab.hub.staging import check_staged, staged

    with staged(folder, repo_id, settings.card, new_card=settings.new_card) as one:
        check_staged(one, folder)
        who = "private" if settings.is_private else "public"
        console.print(f"{repo_id} ({who} if it is new), branch {settings.revision}, would hold:\n")
        for name, size in one.sizes.items():
            console.print(f"  {size:>13,}  {name}")
        console.print("\nLeft out:\n")
        for name, why in _by_folder(one.contents.left_out).items():
            console.print(f"  {name}: {why}")
        for note in one.notes:
            console.print(f"\nNote: {note}.")
        if settings.is_verified:
            load_staged(one)
            console.print("\nIt loads by its card's lines, without hf_unlab. Nothing was sent.")
        else:
            console.print("\nNothing was sent.")


def _by_folder(left_out: dict[str, str]) -> dict[str, str]:
    """Of a folder of which nothing goes up, its name alone.

    Example:
        >>> _by_folder({"a.bin": "code", "checkpoint-1/x": "a checkpoint", "checkpoint-1/y": "a checkpoint"})
        {'a.bin': 'code', 'checkpoint-1/': 'a checkpoint'}
    """
    return {f"{name.partition('/')[0]}/" if "/" in name else name: why for name, why in left_out.items()}


def _say_verification(found: "Verification") -> bool:
    from hf_unlab.app.progress import console

    console.print(
        f"Verified {found.repo_id} at {found.commit[:8]}:" if found.is_right else f"{found.repo_id} is wrong:"
    )
    for check in found.checks:
        console.print(f"  {'ok  ' if check.is_right else 'WRONG'} {check.name}: {check.detail}")
    return found.is_right
