"""How good one translated image is, measured against the DRR of the same camera.

Distances between sets of images (FID, KID) are left out: see :data:`KID_REASON`.
"""

import numpy as np
from jaxtyping import Bool, Float

from drrkit.metrics import gradient_ncc, psnr, ssim
from styletransfer.edges import bone_edge_shift_mm

# One span for all images, or the decibels of a lateral view were not those of an AP view: about the densest bone of
# lumbar DRRs, whose 99.9th percentile is 2 in views from the front and reaches 4 in lateral ones.
DATA_RANGE = 4.0

KID_REASON = (
    "KID compares images as a network with trained weights sees them. None of the project's dependencies brings one"
    " (the image networks among onnx's test models are light: their weights are constants), and weights trained on"
    " photographs would say little about line integrals. What is measured instead needs pairs and has units."
)
"""Why no KID is reported; to be written wherever results are."""

Image = Float[np.ndarray, "h w"]


def score_pair(
    translated: Image, reference: Image, field: Bool[np.ndarray, "h w"], mm_per_px: float
) -> dict[str, float]:
    """Score a translated image against the paired DRR, inside the field of view.

    Args:
        translated: (H, W) line integrals.
        reference: (H, W) DRR of the same camera.
        field: (H, W) where the beam fell.
        mm_per_px: Size of a pixel, scaled back to the middle of the patient.

    Returns:
        ``psnr_db`` and ``ssim`` for a span of :data:`DATA_RANGE`, ``gradient_ncc``, ``mae`` in line integrals,
        ``bone_edge_shift_mm`` (median), ``edge_p95_mm``, and the shares ``edges_lost`` and ``edges_invented``.

    Raises:
        InputError: Images that do not fit together, NaN, an empty field, or a reference without edges.
    """
    shift = bone_edge_shift_mm(translated, reference, field, mm_per_px)
    difference = np.subtract(translated, reference, dtype=np.float64)[field]
    return {
        "psnr_db": psnr(translated, reference, field, DATA_RANGE),
        "ssim": ssim(translated, reference, field, DATA_RANGE),
        "gradient_ncc": gradient_ncc(translated, reference, field),
        "mae": float(np.abs(difference).mean()),
        "bone_edge_shift_mm": shift.median_mm,
        "edge_p95_mm": shift.p95_mm,
        "edges_lost": shift.lost_share,
        "edges_invented": shift.invented_share,
    }
