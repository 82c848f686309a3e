"""Sessions of small pairs on disk, whose images can be told from each other; no translator is known here."""

from pathlib import Path

import numpy as np

from drrkit.geometry.camera import Camera
from drrkit.geometry.carm import CArm
from drrkit.io.store import write_cameras, write_image, write_mask
from protocols.pairs import CAMERAS_NAME, PairRow, field_path, image_path, write_pairs
from protocols.pairset import PairedSession, Split
from styletransfer.images import PairImage

SIZE_PX = (32, 32)


def toy_camera(number: int, size_px: tuple[int, int] = SIZE_PX) -> Camera:
    return CArm(1000.0, 600.0, *size_px, (5.0, 5.0)).camera(25.0 * number, 5.0 * number)


def toy_images(donor_id: str, number: int, size_px: tuple[int, int] = SIZE_PX):
    """Real, synthetic and field of one view: noise of its own for bone, half of it under a veil, two dark columns."""
    rng = np.random.default_rng([*donor_id.encode(), number])
    bone = np.round(rng.uniform(0, 2, size_px), 2).astype(np.float32)
    field = np.ones(size_px, bool)
    field[:, :2] = field[:, -2:] = False
    return np.where(field, 0.5 * bone + 1, 0).astype(np.float32), bone, field


def toy_pair(donor_id: str, number: int = 0, size_px: tuple[int, int] = SIZE_PX) -> PairImage:
    """One pair that was never on disk."""
    real, bone, field = toy_images(donor_id, number, size_px)
    names = (f"s-{donor_id}/view-{number}", f"s-{donor_id}", f"view-{number}", donor_id, "flat-panel")
    return PairImage(*names, real, bone, field, toy_camera(number, size_px))


def write_session(root: Path, donor_id: str, split: Split = "train", views: int = 4) -> PairedSession:
    """Write a folder of pairs."""
    folder = root / donor_id / "pairs"
    rows = []
    for number in range(views):
        name = f"view-{number}"
        real, bone, field = toy_images(donor_id, number)
        images = {"real": write_image(folder / image_path("real", name), real)}
        images["drr_bone"] = write_image(folder / image_path("drr_bone", name), bone)
        rows.append(
            PairRow(
                pair_id=f"s-{donor_id}/{name}",
                acquisition_id=f"s-{donor_id}",
                exposure_id=name,
                donor_id=donor_id,
                simulated=True,
                status="pass",
                reason="",
                rating="",
                target_error_mm=None,
                rms_px=None,
                open_field=None,
                open_field_from="",
                boxes={},
                visibility={},
                images_sha256=images,
                field_sha256=write_mask(folder / field_path(name), field),
                masks_sha256={},
                identity_sha256="",
            )
        )
    write_cameras(folder / CAMERAS_NAME, {f"view-{number}": toy_camera(number) for number in range(views)})
    write_pairs(folder, rows)
    return PairedSession(f"s-{donor_id}", donor_id, split, "flat-panel", True, folder, root / donor_id / "session")
