"""Time and memory of translating large X-rays, whole and in tiles: ``python benchmarks/translate.py``.

Images are those of a pair of data/rehearse (SIMULATED), enlarged; what they show does not matter to the time. Each row
is measured in a process of its own, so that its memory is its own.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from scipy import ndimage

MODEL = Path("models/train_translator/paired/model.safetensors")
PAIRS = Path("data/rehearse")


def main() -> None:
    """Print the table, or measure one row if asked by the parent."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--pairs", type=Path, default=PAIRS)
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 1024, 2048])
    parser.add_argument("--images", type=int, default=5, help="after one that is not counted")
    parser.add_argument("--row", nargs=3, metavar=("SIZE", "PRECISION", "TILE"), help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.row:
        size_px, precision, tile_px = told.row
        print(json.dumps(measured(told, int(size_px), precision, int(tile_px) or None)))
        return
    print("| image | precision | tiles | s an image (median) | peak memory MB | farthest from the whole image |")
    print("|---|---|---|---|---|---|")
    for size_px in told.sizes:
        for precision in ("32", "bf16"):
            for tile_px in (0, 256):
                row = [str(size_px), precision, str(tile_px)]
                words = [sys.executable, __file__, "--model", told.model, "--pairs", told.pairs]
                words += ["--images", told.images, "--row", *row]
                done = subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True)
                found = json.loads(done.stdout.splitlines()[-1])
                tiles = f"{tile_px} px" if tile_px else "as memory asks"
                numbers = f"{found['seconds']:.2f} | {found['memory_mb']:.0f} | {found['difference']:.1e}"
                print(f"| {size_px} x {size_px} | {precision} | {tiles} | {numbers} |", flush=True)


def measured(told: argparse.Namespace, size_px: int, precision: str, tile_px: int | None) -> dict[str, float]:
    """Translate images of one size; the difference is that of tiles from the whole image, as a part of its maximum."""
    from drrkit.io.store import read_image
    from protocols.pairset import read_pairset
    from styletransfer.tiling import translate_image
    from styletransfer.weights import load_translator

    session = read_pairset(told.pairs)[0]
    small = read_image(sorted((session.pairs / "real").glob("*.tif"))[0])
    image = ndimage.zoom(small, size_px / small.shape[0], order=1).astype(np.float32)
    translator, _ = load_translator(told.model)
    tiles = None if tile_px is None else (tile_px, tile_px)
    seconds = []
    for _ in range(told.images + 1):
        start_s = time.perf_counter()
        made = translate_image(translator, image, tiles, precision)
        seconds.append(time.perf_counter() - start_s)
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    whole = translate_image(translator, image, (size_px, size_px), precision) if tile_px else made
    difference = float(np.abs(made - whole).max() / whole.max())
    return {"seconds": float(np.median(seconds[1:])), "memory_mb": memory_mb, "difference": difference}


if __name__ == "__main__":
    main()
