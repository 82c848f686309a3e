"""``drrkit translate``: real X-rays in, images that look like bone DRRs out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from drrkit.console import line_console
from styletransfer.commands.progress import image_bar

if TYPE_CHECKING:
    from styletransfer.translate import TranslatedImage

_what = "What is translated"
_how = "How"


def translate(
    images: Annotated[
        Path,
        typer.Argument(
            metavar="IMAGES", help="Folder with <name>.tif, float32 line integrals; or a folder of pairs (its real/)."
        ),
    ],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder for <name>.tif, cameras.json and translation.json.")
    ],
    model: Annotated[Path, typer.Option(help="Trained translator, <name>.safetensors.", metavar="FILE")],
    open_field: Annotated[
        float | None,
        typer.Option(
            help="Images are counts that are linear in the intensity; I0 is that of the open beam.",
            metavar="I0",
            rich_help_panel=_what,
        ),
    ] = None,
    disagreement: Annotated[
        bool,
        typer.Option(
            "--disagreement",
            help="Write disagreement/<name>.tif too: where the translator is unsure, in line integrals.",
            rich_help_panel=_what,
        ),
    ] = False,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="End with exit code 1 if an image is unlike training.", rich_help_panel=_what),
    ] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="Translate all anew, and overwrite files of other origin.", rich_help_panel=_how),
    ] = False,
    precision: Annotated[
        str, typer.Option(help="auto (bf16 if the processor multiplies it), 32 or bf16.", rich_help_panel=_how)
    ] = "auto",
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:1.", rich_help_panel=_how)] = "cpu",
    tile: Annotated[
        int | None,
        typer.Option(
            help="Side of tiles in px, a multiple of 32; by default what 2 GB hold.",
            metavar="PX",
            rich_help_panel=_how,
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="Of the processor; all by default.", metavar="N", rich_help_panel=_how),
    ] = None,
) -> None:
    """Translate real X-ray images into such that look synthetic; names, sizes and cameras stay.

    Images that are up to date are kept, so a killed run goes on where it was. Images that do not resemble those of the
    training are translated too, and told one by one: do not trust what comes out.
    """
    from styletransfer.translate import translate_folder

    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    done = 0

    with image_bar() as show:

        def on_image(image: "TranslatedImage", total: int) -> None:
            nonlocal done
            done += 1
            show(image.name, done, total)

        result = translate_folder(
            model,
            images,
            out,
            open_field=open_field,
            disagreement=disagreement,
            precision=precision,
            device=device,
            tile_px=None if tile is None else (tile, tile),
            force=force,
            on_image=on_image,
        )
    console = line_console()
    for image in result.outside:
        console.print(f"unlike the training images: {image.name}: {'; '.join(image.reasons)}", markup=False)
    if not result.knows_domain:
        words = "the model does not tell what its training images looked like; these may be unlike them"
        console.print(words, markup=False)
    new = [image.seconds for image in result.images if image.is_new]
    speed = f" ({sum(new) / len(new):.2f} s an image, {result.precision})" if new else ""
    kept = len(result.images) - len(new)
    console.print(
        f"{out}: {len(new)} translated{speed}, {kept} up to date, {len(result.removed)} stale files removed,"
        f" {len(result.outside)} unlike the training images",
        markup=False,
    )
    if strict and result.outside:
        raise typer.Exit(1)
