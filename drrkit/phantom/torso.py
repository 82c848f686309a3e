"""Soft tissue around the spine: a stack of painted ellipses, slice by slice.

Every muscle, vessel and organ is a track: an ellipse for each slice. Tracks are painted in order, later ones over
earlier ones, with edges one voxel soft. Sizes follow anatomy atlases by eye; none is measured from a patient.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Float32

from drrkit.phantom.parameters import PhantomParameters
from drrkit.phantom.tracks import Column, Track, beside, blob, paint
from drrkit.volume import AIR_HU

FAT_HU, MUSCLE_HU, SKIN_HU, VESSEL_HU, KIDNEY_HU, LIVER_HU, SPLEEN_HU = -100.0, 55.0, 25.0, 42.0, 32.0, 58.0, 48.0
BOWEL_HU, GAS_HU, LUNG_HU, FLUID_HU = 30.0, -950.0, -820.0, 12.0
SKIN_MM = 2.0
BOWEL_LOOPS = 60


def paint_torso(
    hu: Float32[np.ndarray, "z y x"],
    column: Column,
    x_mm: Float[np.ndarray, " x"],
    y_mm: Float[np.ndarray, " y"],
    parameters: PhantomParameters,
) -> None:
    """Fill a volume of air with soft tissue, in place.

    Args:
        hu: The volume.
        column: The spine's course over the volume's slices.
        x_mm: World coordinates of its columns.
        y_mm: World coordinates of its rows.
        parameters: Body habitus; their seed draws the organs.
    """
    rng = np.random.default_rng(np.random.SeedSequence([parameters.seed, 2]))
    hu[:] = AIR_HU
    outline = Outline(column, parameters)
    tracks = [
        *outline.tracks(),
        *_abdomen(column, outline, parameters, rng),
        *_muscles(column, parameters),
        *_canal(column, parameters),
    ]
    paint(hu, tracks, x_mm, y_mm)


class Outline:
    """Skin, fat and abdominal wall, and the cavity that they leave.

    Args:
        column: The spine's course.
        parameters: Fat and muscle.
    """

    def __init__(self, column: Column, parameters: PhantomParameters) -> None:
        size, fat = parameters.size, parameters.fat_mm
        level = column.level
        self.column = column
        self.fat_mm = fat
        self.wall_mm = 13.0 * parameters.muscle * size
        # Waist at L3; the pelvis and the chest are wider. The back is hollow where the spine is lordotic.
        spread = 1 + 0.012 * np.clip(level - 2.0, -4, 4) ** 2
        self.inner_wide_mm = 138 * size * spread
        back_mm = column.y_mm.mean() + 0.6 * (column.y_mm - column.y_mm.mean()) + 66 * size
        front_mm = back_mm - (192 + 0.5 * fat) * size * (1 - 0.02 * np.clip(-level, 0, 3))
        # Below L5 the buttocks cover the sacrum.
        back_mm += size * 34 * np.clip((level - 4.2) / 2.5, 0, 1)
        self.y_mm, self.inner_deep_mm = (back_mm + front_mm) / 2, (back_mm - front_mm) / 2
        self.x_mm = column.straight_x_mm

    def tracks(self) -> Iterator[Track]:
        """Yield skin, subcutaneous fat, muscular wall and the fat of the cavity, from outside inwards."""
        level = np.zeros_like(self.x_mm)
        layers = [(self.fat_mm + SKIN_MM, SKIN_HU), (self.fat_mm, FAT_HU), (0.0, MUSCLE_HU), (-self.wall_mm, FAT_HU)]
        for out_mm, tissue_hu in layers:
            yield Track(
                self.x_mm, self.y_mm, self.inner_wide_mm + out_mm, self.inner_deep_mm + out_mm, level, 2.4, tissue_hu
            )

    def extent_mm(self) -> tuple[float, float, float, float]:
        """Return the skin's least and largest x and y."""
        out_mm = self.fat_mm + SKIN_MM
        wide, deep = self.inner_wide_mm + out_mm, self.inner_deep_mm + out_mm
        x, y = self.x_mm, self.y_mm
        return float((x - wide).min()), float((x + wide).max()), float((y - deep).min()), float((y + deep).max())


def _abdomen(
    column: Column, outline: Outline, parameters: PhantomParameters, rng: np.random.Generator
) -> Iterator[Track]:
    """Yield lungs, bowel, solid organs and the great vessels."""
    size, level = parameters.size, column.level
    cavity_wide, cavity_deep = outline.inner_wide_mm - outline.wall_mm, outline.inner_deep_mm - outline.wall_mm
    # The lungs reach down behind the diaphragm as two crescents: lung first, then the dome's contents over it.
    lung = np.clip((-level - 0.4) / 0.8, 0, 1)
    for side in (1.0, -1.0):
        x = outline.x_mm + side * 0.52 * cavity_wide
        yield Track(
            x,
            outline.y_mm + 0.25 * cavity_deep,
            lung * 0.42 * cavity_wide,
            lung * 0.66 * cavity_deep,
            0 * x,
            2.0,
            LUNG_HU,
        )
        dome = np.where(lung > 0, 1.0 - 0.10 * np.clip(-level - 0.8, 0, 3), 0.0)
        yield Track(
            x,
            outline.y_mm - 0.02 * cavity_deep,
            dome * 0.42 * cavity_wide,
            dome * 0.72 * cavity_deep,
            0 * x,
            2.0,
            FAT_HU,
        )
    for _ in range(BOWEL_LOOPS):
        place = np.array([rng.uniform(-0.62, 0.62), rng.uniform(-0.68, 0.0), rng.uniform(0.3, 6.0)])
        loop_mm = size * rng.uniform(11, 24)
        stretch = rng.uniform(0.8, 1.5, 3)
        gas = rng.random() < 0.55 * parameters.bowel_gas
        x, y = outline.x_mm + place[0] * cavity_wide, outline.y_mm + place[1] * cavity_deep
        yield blob(column, x, y, place[2], loop_mm * stretch, BOWEL_HU + rng.normal(0, 8))
        if gas:
            yield blob(column, x, y - 0.2 * loop_mm, place[2], 0.75 * loop_mm * stretch, GAS_HU)
    # Colon on both sides, liver on the right, spleen and stomach on the left.
    for side in (1.0, -1.0):
        x = outline.x_mm + side * 0.78 * cavity_wide
        yield blob(column, x, outline.y_mm + 0.05 * cavity_deep, 2.5, size * np.array([21, 24, 85]), BOWEL_HU)
        if parameters.bowel_gas > 0.15:
            gas_mm = size * np.array([13, 14, 26]) * (0.6 + 0.6 * parameters.bowel_gas)
            yield blob(column, x, outline.y_mm - 0.05 * cavity_deep, rng.uniform(1.8, 3.5), gas_mm, GAS_HU)
    tall = rng.uniform(0.9, 1.15)
    liver = size * np.array([66, 84, 95 * tall])
    yield blob(column, outline.x_mm - 0.50 * cavity_wide, outline.y_mm - 0.05 * cavity_deep, -1.3, liver, LIVER_HU)
    spleen = size * np.array([28, 42, 55])
    yield blob(column, outline.x_mm + 0.72 * cavity_wide, outline.y_mm + 0.3 * cavity_deep, -1.2, spleen, SPLEEN_HU)
    stomach = size * np.array([42, 38, 48])
    yield blob(column, outline.x_mm + 0.38 * cavity_wide, outline.y_mm - 0.42 * cavity_deep, -0.8, stomach, BOWEL_HU)
    for side in (1.0, -1.0):
        height = 0.7 + rng.normal(0, 0.2) + (0.0 if side > 0 else 0.35)
        x = column.x_mm + side * size * (64 + 6 * (level - height))
        yield blob(column, x, column.y_mm + 6 * size, height, size * np.array([27, 25, 55]), KIDNEY_HU)
        yield blob(column, x - side * 8 * size, column.y_mm + 3 * size, height, size * np.array([10, 9, 28]), FAT_HU)
    # Aorta on the left and vena cava on the right part into iliac vessels below L4.
    front = column.y_mm - 31 * size
    parted = np.clip(level - 3.4, 0, None)
    for side, radius_mm in ((1.0, 9.5), (-1.0, 11.0)):
        radius = np.full_like(level, radius_mm * size * rng.uniform(0.9, 1.12)) * np.where(parted > 0, 0.75, 1.0)
        yield Track(
            column.x_mm + side * size * (12 + 20 * parted),
            front + 9 * parted,
            radius,
            radius,
            0 * level,
            2.0,
            VESSEL_HU,
        )


def _muscles(column: Column, parameters: PhantomParameters) -> Iterator[Track]:
    """Yield the muscles that lie on the spine, with the fat between them."""
    size, level = parameters.size, column.level
    strong = size * parameters.muscle
    back = np.clip((5.6 - level) / 1.6, 0.15, 1)
    pelvis = np.clip((level - 3.6) / 1.5, 0, 1)
    for side in (1.0, -1.0):
        # Gluteal muscles cover the iliac wings from behind and outside.
        yield beside(
            column,
            side * size * 92,
            size * (30 + 6 * pelvis),
            strong * 62 * pelvis,
            strong * 46 * pelvis,
            -0.6 * side,
            MUSCLE_HU,
        )
        iliacus = np.clip((level - 3.8) / 1.2, 0, 1)
        yield beside(
            column, side * size * 88, -size * 14, strong * 34 * iliacus, strong * 15 * iliacus, 0.9 * side, MUSCLE_HU
        )
        quadratus = np.clip(np.minimum(level + 0.2, 4.2 - level), 0, 1)
        yield beside(
            column,
            side * size * (54 + 5 * level),
            size * 26,
            strong * 19 * quadratus,
            strong * 9 * quadratus,
            0.25 * side,
            MUSCLE_HU,
        )
        psoas = np.interp(level, [-0.6, 0.3, 2, 3.5, 5, 7], [0, 9, 17, 22, 21, 19])
        out = np.interp(level, [0, 2, 4, 7], [29, 35, 43, 62])
        ahead = np.interp(level, [0, 4, 7], [4, 2, -38])
        yield beside(
            column, side * size * out, size * ahead, strong * 0.82 * psoas, strong * 1.1 * psoas, 0 * level, MUSCLE_HU
        )
        # Erector spinae and multifidus, a fat plane apart.
        yield beside(column, side * size * 42, size * 47, strong * 31 * back, strong * 20 * back, 0.18 * side, FAT_HU)
        yield beside(
            column, side * size * 44, size * 47, strong * 29 * back, strong * 18.5 * back, 0.18 * side, MUSCLE_HU
        )
        yield beside(
            column, side * size * 17, size * 48, strong * 15 * np.sqrt(back), strong * 20 * back, -0.1 * side, MUSCLE_HU
        )
    # Interspinous ligaments fill the midline between the spinous processes.
    yield beside(column, 0.0, size * 52, 2.5 * size * np.sqrt(back), 17 * size * back, 0 * level, MUSCLE_HU)


def _canal(column: Column, parameters: PhantomParameters) -> Iterator[Track]:
    """Yield epidural fat and the dural sac."""
    size, level = parameters.size, column.level
    narrowing = np.interp(level, [-2, 4, 6, 8], [1.0, 1.0, 0.7, 0.4])
    yield beside(column, 0.0, size * 24.5, size * 11.5 * narrowing, size * 8.5 * narrowing, 0 * level, FAT_HU)
    yield beside(column, 0.0, size * 23.0, size * 9.0 * narrowing, size * 6.6 * narrowing, 0 * level, FLUID_HU)
