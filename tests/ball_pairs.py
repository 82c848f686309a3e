"""Pair sets of donors that are two bony balls in soft tissue, seen from the first four standard views.

The DRR is the shadow of the balls; the X-ray adds tissue and scatter, and a shadow beside the balls, which looks like
bone to whoever knows DRRs alone.
"""

import numpy as np

import hull_network
from acquisition_folder import edit
from drrkit.geometry.viewsets import view_set
from drrkit.io import volumefile
from drrkit.io.ct import write_labels
from drrkit.io.store import write_cameras, write_image, write_mask
from drrkit.phantom.anatomy import REGION_CODES
from drrkit.volume import LEVEL_CODES, Volume
from protocols.acquisition import new_acquisition
from protocols.pairs import PairRow, field_path, image_path, write_pairs
from protocols.pairset import PairedSession, write_pairset

VIEWS = ("ap-00", "lat-left", "obl-left", "obl-right")
SHAPE, SPACING_MM = (30, 24, 24), 2.0
TISSUE = 0.9
# Line integrals a millimeter of bone.
BONE = 0.1


def ball_volume() -> tuple[Volume, np.ndarray]:
    """Labels of the balls, and regions: the half towards the back is spinous."""
    affine = np.diag([SPACING_MM, SPACING_MM, SPACING_MM, 1.0])
    affine[:3, 3] = hull_network.ISOCENTER - SPACING_MM * (np.array(SHAPE[::-1]) - 1) / 2
    z, y, x = np.indices(SHAPE)
    world = np.stack([x, y, z], axis=-1) * SPACING_MM + affine[:3, 3]
    codes, regions = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    for level, center in hull_network.BALLS.items():
        inside = np.linalg.norm(world - center, axis=-1) <= hull_network.RADIUS_MM
        codes[inside] = LEVEL_CODES[level]
        regions[inside] = np.where(world[inside][:, 1] > center[1], REGION_CODES["spinous"], REGION_CODES["body"])
    return Volume(np.zeros(SHAPE, np.int16), affine, codes), regions


def write_ball_session(folder, name, donor, split, group="flat-panel", tissue=TISSUE, regions=True) -> PairedSession:
    """Write one session and its pairs."""
    acquisition, pairs = folder / name / "session", folder / name / "pairs"
    new_acquisition(acquisition, name)
    volume, codes = ball_volume()
    write_labels(volume, acquisition / "labels.nii.gz")
    if regions:
        volumefile.write(acquisition / "regions.nii.gz", codes, volume.world_from_voxel)
    edit(
        acquisition,
        donor_id=donor,
        simulated=True,
        site="nowhere",
        consent_reference="none needed",
        specimen={"levels": ["L1", "L2"]},
        ct={"labels": "labels.nii.gz", "label_scheme": "verse"},
    )
    every = view_set("adapt-28").cameras(hull_network.CARM, hull_network.ISOCENTER)
    cameras = {view: every[view] for view in VIEWS}
    write_cameras(pairs / "cameras.json", cameras)
    rows = []
    for view, camera in cameras.items():
        bone = BONE * hull_network.radiograph(camera).pixels
        v, u = np.mgrid[: camera.height, : camera.width]
        field = np.hypot(v - camera.height / 2, u - camera.width / 2) < 0.49 * min(camera.height, camera.width)
        shadow = tissue * (np.abs(v - camera.height / 2) < 12) + 0.002 * u
        real = np.where(field, 0.8 * bone + shadow.astype(np.float32) + 0.05, 0).astype(np.float32)
        hashes = {}
        for kind, pixels in (("real", real), ("drr_bone", bone)):
            hashes[kind] = write_image(pairs / image_path(kind, view), pixels)
        rows.append(_row(name, donor, view, hashes, write_mask(pairs / field_path(view), field)))
    write_pairs(pairs, rows)
    return PairedSession(name, donor, split, group, True, pairs, acquisition)


def write_ball_set(folder) -> list[PairedSession]:
    """Write a set of one train, one validation and two test donors, and one of them on another device."""
    plan = (
        ("train-1", "a", "train", "flat-panel", TISSUE),
        ("validation-1", "b", "validation", "flat-panel", TISSUE),
        ("test-1", "c", "test", "flat-panel", TISSUE),
        ("test-2", "d", "test", "flat-panel", 0.8 * TISSUE),
        ("test-1-ii", "c", "test", "intensifier", 2 * TISSUE),
    )
    sessions = [write_ball_session(folder, *one) for one in plan]
    write_pairset(folder / "pairset.json", sessions)
    return sessions


def _row(name, donor, view, hashes, field_sha256) -> PairRow:
    return PairRow(
        pair_id=f"{name}/{view}",
        acquisition_id=name,
        exposure_id=view,
        donor_id=donor,
        simulated=True,
        status="pass",
        reason="",
        rating="",
        target_error_mm=0.2,
        rms_px=0.1,
        open_field=1.0,
        open_field_from="image",
        boxes={},
        visibility={},
        images_sha256=hashes,
        field_sha256=field_sha256,
        masks_sha256={},
        identity_sha256="",
    )
