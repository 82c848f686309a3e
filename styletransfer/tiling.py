"""Images of any size through a translator: padded to what it takes, and in tiles where they would not fit into memory.

A tile is cut with a halo as wide as the translator's reach, so that no pixel that is kept could tell that there was a
cut. Corners of tiles lie on multiples of ``GRID_PX``: there a network that halves the image keeps the grid that it has
in the whole image.
"""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32

from drrkit.errors import InputError
from styletransfer.settings import Precision
from styletransfer.translator import Translator

# What every translator takes, as its contract says.
MULTIPLE_PX = 8
# Networks halve images up to five times.
GRID_PX = 32
# Pixels that go through a network at once, halo included: less than 2 GB with 32 channels at full resolution.
PIXELS_AT_ONCE = 1024 * 1024
# Tiles whose halo is much wider than themselves would compute most pixels many times; then memory gives way.
LEAST_CORE_HALOS = 2


@dataclass(frozen=True)
class Tile:
    """A part of an image: what is read for it, and what of that is kept; each as top, left, bottom, right.

    Args:
        read: With halo, inside of the image.
        kept: Without; these boxes part the image.
    """

    read: tuple[int, int, int, int]
    kept: tuple[int, int, int, int]

    @property
    def inner(self) -> tuple[slice, slice]:
        """Where the kept pixels lie in the read ones."""
        top, left = self.read[:2]
        return slice(self.kept[0] - top, self.kept[2] - top), slice(self.kept[1] - left, self.kept[3] - left)

    @property
    def area_px(self) -> int:
        """Pixels that are read."""
        return (self.read[2] - self.read[0]) * (self.read[3] - self.read[1])


def halo_px(reach_px: int) -> int:
    """Return how far a tile must read beyond what it keeps."""
    return -(-reach_px // GRID_PX) * GRID_PX


def tiles_of(size_px: tuple[int, int], tile_px: tuple[int, int], reach_px: int) -> Iterator[Tile]:
    """Part an image.

    Args:
        size_px: (H, W) of the image.
        tile_px: (H, W) that a tile keeps, multiples of 32.
        reach_px: Of the translator.

    Raises:
        InputError: Tiles that are no multiples of 32 pixels.
    """
    if min(tile_px) < GRID_PX or any(side % GRID_PX for side in tile_px):
        raise InputError("tile_px", f"{tile_px[0]} x {tile_px[1]}", f"multiples of {GRID_PX}")
    halo = halo_px(reach_px)
    height, width = size_px
    for top in range(0, height, tile_px[0]):
        for left in range(0, width, tile_px[1]):
            bottom, right = min(top + tile_px[0], height), min(left + tile_px[1], width)
            read = (max(0, top - halo), max(0, left - halo), min(bottom + halo, height), min(right + halo, width))
            yield Tile(read, (top, left, bottom, right))


def choose_tile_px(size_px: tuple[int, int], reach_px: int, most_px: int = PIXELS_AT_ONCE) -> tuple[int, int]:
    """Choose what a tile keeps so that reading it fits into memory and the fewest pixels are computed.

    Args:
        size_px: (H, W) of the image.
        reach_px: Of the translator.
        most_px: Pixels that may be read at once; more, if the reach leaves no room for tiles twice as wide as it.
    """
    halo = halo_px(reach_px)
    most_px = max(most_px, ((LEAST_CORE_HALOS + 2) * halo) ** 2, GRID_PX**2)
    # Reading takes the same form along both axes: tiles from the first to the last, all but the last equally large.
    choices = [_choices(side, halo) for side in size_px]
    fitting = [
        (total_v * total_u, -core_v * core_u, core_v, core_u)
        for core_v, widest_v, total_v in choices[0]
        for core_u, widest_u, total_u in choices[1]
        if widest_v * widest_u <= most_px
    ]
    return min(fitting)[2:]


def _choices(side: int, halo: int) -> list[tuple[int, int, int]]:
    """List for one axis what tiles may keep, the widest that is then read, and the sum of all that is read."""
    choices = []
    for core in range(GRID_PX, side + GRID_PX, GRID_PX):
        reads = [min(start + core + halo, side) - max(0, start - halo) for start in range(0, side, core)]
        choices.append((core, max(reads), sum(reads)))
    return choices


def translate_image(
    translator: Translator,
    pixels: Float32[np.ndarray, "h w"],
    tile_px: tuple[int, int] | None = None,
    precision: Precision = "32",
    device: torch.device | str = "cpu",
) -> Float32[np.ndarray, "h w"]:
    """Translate one image of any size.

    Args:
        translator: On ``device``. One that looks at the whole image gets it whole, whatever its size.
        pixels: Line integrals, 0 where no beam fell.
        tile_px: (H, W) that a tile keeps, multiples of 32; by default as much as fits into some 2 GB.
        precision: ``bf16`` multiplies in bfloat16.
        device: Where the translator is.

    Returns:
        Line integrals as if from a bone DRR through the same camera; the same as of the whole image but for rounding.

    Raises:
        InputError: No float image, NaN, tiles that are no multiples of 32, or a translator that returned no numbers.
    """
    if pixels.ndim != 2 or not pixels.size or not np.isfinite(pixels).all():
        raise InputError("image", f"shape {pixels.shape}, NaN or infinite pixels", "(H, W) finite line integrals")
    height, width = pixels.shape
    # Edges are repeated: the translator then sees tissue going on, not a step down to air.
    padded = np.pad(pixels, ((0, -height % MULTIPLE_PX), (0, -width % MULTIPLE_PX)), mode="edge")
    reach = translator.reach_px
    if reach is None:
        whole = (0, 0, *padded.shape)
        tiles = [Tile(whole, whole)]
    else:
        tiles = list(tiles_of(padded.shape, tile_px or choose_tile_px(padded.shape, reach), reach))
    translated = np.empty(padded.shape, np.float32)
    half = torch.autocast(torch.device(device).type, torch.bfloat16) if precision == "bf16" else nullcontext()
    with torch.inference_mode(), half:
        for tile in tiles:
            top, left, bottom, right = tile.read
            part = torch.from_numpy(np.ascontiguousarray(padded[top:bottom, left:right], np.float32))
            made = translator.synthetic_from_real(part[None, None].to(device))[0, 0].float().cpu().numpy()
            translated[tile.kept[0] : tile.kept[2], tile.kept[1] : tile.kept[3]] = made[tile.inner]
    if not np.isfinite(translated).all():
        raise InputError("translated image", "NaN or infinite pixels", "a translator that was trained well")
    return translated[:height, :width].copy()
