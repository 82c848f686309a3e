"""What is typical of each level, and how individuals differ from it.

The medians are set so that the cohort meets the published figures of calibration.py; the rest follows anatomy texts.
Lengths grow with the individual's size; angles do not.
"""

from dataclasses import replace

import numpy as np

from drrkit.phantom.shape import VertebraShape

# From head to foot. T11 only fills the upper end of the field.
MODELED_LEVELS: tuple[str, ...] = ("T11", "T12", "L1", "L2", "L3", "L4", "L5")

# fmt: off
TYPICAL: dict[str, tuple[float, ...]] = {
    #                         T11    T12    L1     L2     L3     L4     L5
    "body_width_mm":         (40.4,   43.4,   45.9,   47.9,   49.9,   52.4,   54.4),
    "body_depth_mm":         (33.0,   34.8,   36.2,   37.3,   38.2,   38.8,   39.0),
    "body_height_mm":        (24.2,   26.2,   27.5,   28.5,   28.8,   28.4,   27.4),
    "waist_mm":              (2.0,   2.2,   2.4,   2.6,   2.7,   2.7,   2.5),
    "end_plate_depth_mm":    (1.6,   1.8,   2.0,   2.2,   2.3,   2.3,   2.2),
    "pedicle_distance_mm":   (27.5,   29.0,   30.1,   30.3,   33.1,   36.6,   48.6),
    "pedicle_width_mm":      (7.6,    7.6,    7.2,    7.5,    9.2,    11.4,   16.3),
    "pedicle_height_mm":     (15.0,  15.8,  15.2,  14.8,  14.4,  14.2,  14.4),
    "pedicle_back_mm":       (23.0,  24.4,  25.4,  25.5,  25.3,  24.9,  23.3),
    "canal_depth_mm":        (16.4,   16.3,   15.6,   15.0,   14.6,   14.8,   15.4),
    "lamina_height_mm":      (17.0,  17.0,  16.5,  16.5,  15.5,  14.0,  11.5),
    "facet_separation_mm":   (22.0,  23.0,  25.5,  27.0,  30.0,  35.0,  42.0),
    "facet_back_mm":         (7.5,   8.0,   9.3,   9.9,   10.2,  10.4,  11.0),
    "facet_rise_mm":         (9.5,   9.2,   9.0,   9.0,   8.8,   8.0,   6.0),
    "facet_angle_deg":       (75.0,  70.0,  24.0,  25.0,  31.0,  40.0,  47.0),
    "articular_scale":       (0.70,  0.75,  0.88,  0.95,  1.00,  1.03,  1.05),
    "transverse_span_mm":    (62.0,  58.0,  76.0,  83.0,  93.0,  90.0,  94.0),
    "transverse_sweep_mm":   (20.0,  19.0,  19.0,  19.5,  20.0,  18.0,  15.0),
    "transverse_rise_mm":    (5.0,   4.0,   3.6,   3.6,   3.8,   5.0,   6.0),
    "transverse_height_mm":  (10.0,  9.5,   8.6,   9.2,   9.6,   10.0,  12.5),
    "spinous_length_mm":     (44.0,   44.0,   48.0,   50.5,   50.5,   47.5,   41.5),
    "spinous_drop_mm":       (24.0,  19.0,  18.0,  18.0,  18.0,  17.0,  16.0),
    "spinous_height_mm":     (10.0,  13.5,  17.0,  18.0,  17.0,  14.5,  10.0),
    "spinous_width_mm":      (6.5,   7.0,   7.5,   8.0,   8.5,   8.5,   8.0),
}
# Front minus back of each body, as an angle (kyphotic below zero), and the disc below each level.
TYPICAL_WEDGE_DEG = dict(zip(MODELED_LEVELS, (-3.5, -3.5, -2.0, -0.5, 1.0, 2.5, 8.0), strict=True))
TYPICAL_DISC_MM = dict(zip(MODELED_LEVELS, (5.8, 6.8, 7.8, 8.3, 9.2, 10.1, 9.4), strict=True))
# fmt: on

# Standard deviations of individuals about the typical measure, relative to it, beyond their size.
INDIVIDUAL_SPREAD: dict[str, float] = {
    "body_width_mm": 0.04, "body_depth_mm": 0.04, "body_height_mm": 0.035, "waist_mm": 0.25, "end_plate_depth_mm": 0.2,
    "pedicle_distance_mm": 0.06, "pedicle_width_mm": 0.12, "pedicle_height_mm": 0.07, "pedicle_back_mm": 0.07,
    "canal_depth_mm": 0.07, "lamina_height_mm": 0.07, "facet_separation_mm": 0.05, "facet_back_mm": 0.05,
    "facet_rise_mm": 0.06, "facet_angle_deg": 0.15, "articular_scale": 0.05, "transverse_span_mm": 0.06,
    "transverse_sweep_mm": 0.15, "transverse_rise_mm": 0.5, "transverse_height_mm": 0.1, "spinous_length_mm": 0.06,
    "spinous_drop_mm": 0.1, "spinous_height_mm": 0.1, "spinous_width_mm": 0.12,
}  # fmt: skip
# Some measures vary more at the lowest levels.
LEVEL_SPREAD: dict[str, dict[str, float]] = {"pedicle_distance_mm": {"L4": 1.3, "L5": 1.8}}
SHARED = 0.7  # correlation of an individual's deviations between levels
DISC_SPREAD, WEDGE_SPREAD_DEG = 0.13, 1.2


def individual_shapes(size: float, individuality: float, rng: np.random.Generator) -> dict[str, VertebraShape]:
    """Draw the healthy shapes of one individual.

    Args:
        size: Lengths relative to the typical adult's.
        individuality: Scale of all other deviations; 0 gives the typical shape.
        rng: The individual's stream.
    """
    drawn: dict[str, dict[str, float]] = {level: {} for level in MODELED_LEVELS}
    for name, typical in TYPICAL.items():
        shared, own = rng.standard_normal(), rng.standard_normal(len(MODELED_LEVELS))
        deviation = SHARED**0.5 * shared + (1 - SHARED) ** 0.5 * own
        spread = INDIVIDUAL_SPREAD[name] * np.array(
            [LEVEL_SPREAD.get(name, {}).get(level, 1.0) for level in MODELED_LEVELS]
        )
        factor = np.exp(individuality * spread * np.clip(deviation, -2.5, 2.5))
        scale = size if name.endswith("_mm") else 1.0
        for level, value, ratio in zip(MODELED_LEVELS, typical, factor, strict=True):
            drawn[level][name] = float(value * ratio * scale)
    wedges = individuality * WEDGE_SPREAD_DEG * np.clip(rng.standard_normal(len(MODELED_LEVELS)), -2.5, 2.5)
    shapes = {}
    for level, deviation_deg in zip(MODELED_LEVELS, wedges, strict=True):
        half_deg = float(TYPICAL_WEDGE_DEG[level] + deviation_deg) / 2
        shapes[level] = replace(VertebraShape(**drawn[level]), upper_tilt_deg=half_deg, lower_tilt_deg=-half_deg)
    return shapes


def individual_discs(
    size: float, individuality: float, degeneration: float, rng: np.random.Generator
) -> dict[str, float]:
    """Draw the height in mm of the disc below each level; degeneration 1 leaves two fifths of it."""
    deviation = SHARED**0.5 * rng.standard_normal() + (1 - SHARED) ** 0.5 * rng.standard_normal(len(MODELED_LEVELS))
    factor = np.exp(individuality * DISC_SPREAD * np.clip(deviation, -2.5, 2.5)) * (1 - 0.6 * degeneration) * size
    return {level: TYPICAL_DISC_MM[level] * float(ratio) for level, ratio in zip(MODELED_LEVELS, factor, strict=True)}
