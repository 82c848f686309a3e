"""Everything that makes one phantom: parameters with units, and the populations they are drawn from."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from drrkit.errors import InputError
from drrkit.volume import LUMBAR_LEVELS

# What a parameter may be at all; beyond these the anatomy would no longer hold together.
LIMITS: dict[str, tuple[float, float]] = {
    "size": (0.8, 1.2),
    "individuality": (0.0, 1.5),
    "lordosis_deg": (10.0, 80.0),
    "scoliosis_deg": (-40.0, 40.0),
    "axial_rotation_deg": (-15.0, 15.0),
    "slip_mm": (-5.0, 12.0),
    "wedge_deg": (0.0, 25.0),
    "height_loss": (0.0, 0.35),
    "disc_degeneration": (0.0, 1.0),
    "osteophyte_mm": (0.0, 7.0),
    "bone_quality": (0.0, 1.0),
    "shell": (0.5, 2.5),
    "marrow": (0.1, 1.5),
    "fat_mm": (5.0, 60.0),
    "muscle": (0.6, 1.3),
    "bowel_gas": (0.0, 1.0),
    "noise_hu": (0.0, 80.0),
    "blur_mm": (0.0, 1.5),
    "pitch_deg": (-20.0, 20.0),
    "roll_deg": (-15.0, 15.0),
    "yaw_deg": (-15.0, 15.0),
}


@dataclass(frozen=True, kw_only=True)
class PhantomParameters:
    """One phantom; the same parameters give the same phantom, bit by bit.

    Args:
        seed: Draws the details: individual shape, texture, organs, noise.
        size: Lengths relative to the typical adult's.
        individuality: Scale of individual deviations; 0 gives the typical, symmetric spine.
        lordosis_deg: Between the upper end plates of L1 and S1.
        scoliosis_deg: Coronal Cobb angle between the end vertebrae, two levels from the apex; positive is convex to
            the patient's left.
        scoliosis_apex: Level in the middle of that curve.
        axial_rotation_deg: Rotation of the apex about the spine's axis; positive turns the front to the left.
        slip_mm: How far ``slip_level`` and all above have slid forward over the next level; negative is backward.
        slip_level: The sliding level.
        wedge_deg: Wedging of ``fracture_level``: its upper end plate is pressed down in front.
        height_loss: Share of that body's height lost in the middle, where the end plate is pressed in.
        fracture_level: The compressed level.
        disc_degeneration: 0 for full disc heights, 1 for collapsed discs.
        osteophyte_mm: Reach of the largest spurs around the end plates.
        bone_quality: 0 for osteoporotic, 1 for dense bone.
        shell: Thickness of compact bone relative to what its quality makes typical.
        marrow: Density of cancellous bone relative to what its quality makes typical.
        fat_mm: Subcutaneous fat at the back.
        muscle: Size of the muscles relative to typical.
        bowel_gas: 0 for none, 1 for much.
        noise_hu: Standard deviation of the image noise in soft tissue.
        blur_mm: Standard deviation of the scanner's point spread.
        pitch_deg: Turn of the whole spine about the left-right axis, head forward.
        roll_deg: Turn about the antero-posterior axis, head to the left.
        yaw_deg: Turn about the long axis, front to the left.
        position_mm: World position (LPS) of the middle of L3's body.

    Raises:
        InputError: A number that is not finite or outside ``LIMITS``, or a level that is not lumbar.
    """

    seed: int
    size: float = 1.0
    individuality: float = 1.0
    lordosis_deg: float = 46.0
    scoliosis_deg: float = 0.0
    scoliosis_apex: str = "L2"
    axial_rotation_deg: float = 0.0
    slip_mm: float = 0.0
    slip_level: str = "L4"
    wedge_deg: float = 0.0
    height_loss: float = 0.0
    fracture_level: str = "L1"
    disc_degeneration: float = 0.1
    osteophyte_mm: float = 0.0
    bone_quality: float = 0.6
    shell: float = 1.0
    marrow: float = 1.0
    fat_mm: float = 22.0
    muscle: float = 1.0
    bowel_gas: float = 0.3
    noise_hu: float = 14.0
    blur_mm: float = 0.55
    pitch_deg: float = 0.0
    roll_deg: float = 0.0
    yaw_deg: float = 0.0
    position_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise InputError("phantom seed", self.seed, "a whole number, 0 or more")
        for name, (low, high) in LIMITS.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                raise InputError(f"phantom {name}", value, f"a number from {low:g} to {high:g}")
        for name in ("scoliosis_apex", "slip_level", "fracture_level"):
            if getattr(self, name) not in LUMBAR_LEVELS:
                raise InputError(f"phantom {name}", getattr(self, name), f"one of {', '.join(LUMBAR_LEVELS)}")
        if len(self.position_mm) != 3 or not np.isfinite(self.position_mm).all():
            raise InputError("phantom position_mm", self.position_mm, "three finite numbers")


@dataclass(frozen=True)
class Spread:
    """A truncated normal distribution, present in some individuals only.

    Args:
        mean: Mean of the normal distribution.
        deviation: Its standard deviation.
        low: Draws below are drawn again.
        high: Draws above are drawn again.
        share: Share of individuals who have it; the others get 0.
    """

    mean: float
    deviation: float
    low: float
    high: float
    share: float = 1.0

    def __post_init__(self) -> None:
        values = [self.mean, self.deviation, self.low, self.high, self.share]
        if not np.isfinite(values).all() or self.deviation < 0 or not 0 <= self.share <= 1:
            raise InputError("spread", values, "finite mean, deviation >= 0, low, high, and a share from 0 to 1")
        if not self.low <= self.mean <= self.high:
            raise InputError("spread", f"mean {self.mean:g}", f"a mean between {self.low:g} and {self.high:g}")

    def draw(self, rng: np.random.Generator) -> float:
        """Draw one value; the stream advances by two draws or more."""
        present = rng.random() < self.share
        while True:
            value = float(self.mean + self.deviation * rng.standard_normal())
            if self.low <= value <= self.high:
                return value if present else 0.0


# Adults as they lie in a CT scanner. Lordosis meets the chord angles of calibration.py; slips, fractures, scoliosis
# and spurs are as frequent as in elderly surgical patients rather than in the street.
ADULTS: dict[str, Spread] = {
    "size": Spread(1.0, 0.06, 0.86, 1.15),
    "lordosis_deg": Spread(46.0, 14.0, 16.0, 78.0),
    "scoliosis_deg": Spread(0.0, 5.0, -15.0, 15.0),
    "axial_rotation_deg": Spread(0.0, 2.0, -6.0, 6.0),
    "slip_mm": Spread(4.0, 2.0, 1.0, 8.0, share=0.12),
    "wedge_deg": Spread(7.0, 3.0, 3.0, 15.0, share=0.1),
    "height_loss": Spread(0.12, 0.06, 0.05, 0.25, share=0.1),
    "disc_degeneration": Spread(0.25, 0.18, 0.0, 0.75),
    "osteophyte_mm": Spread(1.5, 1.2, 0.0, 5.0),
    "bone_quality": Spread(0.55, 0.2, 0.1, 1.0),
    "fat_mm": Spread(22.0, 9.0, 8.0, 50.0),
    "muscle": Spread(1.0, 0.1, 0.75, 1.25),
    "bowel_gas": Spread(0.4, 0.25, 0.0, 1.0),
    "noise_hu": Spread(14.0, 5.0, 5.0, 30.0),
    "blur_mm": Spread(0.55, 0.1, 0.35, 0.85),
    "pitch_deg": Spread(0.0, 4.0, -10.0, 10.0),
    "roll_deg": Spread(0.0, 2.0, -6.0, 6.0),
    "yaw_deg": Spread(0.0, 2.5, -7.0, 7.0),
    "x_mm": Spread(0.0, 10.0, -25.0, 25.0),
    "y_mm": Spread(0.0, 10.0, -25.0, 25.0),
    "z_mm": Spread(0.0, 10.0, -25.0, 25.0),
    "individuality": Spread(1.0, 0.0, 1.0, 1.0),
    "shell": Spread(1.0, 0.0, 1.0, 1.0),
    "marrow": Spread(1.0, 0.0, 1.0, 1.0),
}

# A harder cohort to evaluate on: crooked, slipped, collapsed and soft-boned spines.
SHIFTED: dict[str, Spread] = ADULTS | {
    "lordosis_deg": Spread(38.0, 14.0, 12.0, 70.0),
    "scoliosis_deg": Spread(0.0, 16.0, -30.0, 30.0),
    "axial_rotation_deg": Spread(0.0, 5.0, -10.0, 10.0),
    "slip_mm": Spread(5.5, 2.0, 2.0, 10.0, share=0.4),
    "wedge_deg": Spread(10.0, 5.0, 3.0, 20.0, share=0.4),
    "height_loss": Spread(0.18, 0.06, 0.05, 0.32, share=0.4),
    "disc_degeneration": Spread(0.45, 0.18, 0.0, 0.8),
    "osteophyte_mm": Spread(3.0, 1.5, 0.0, 6.0),
    "bone_quality": Spread(0.2, 0.12, 0.0, 0.6),
    "noise_hu": Spread(22.0, 7.0, 8.0, 45.0),
    "blur_mm": Spread(0.7, 0.12, 0.4, 1.1),
}

# A cohort to learn from: the adults' diseases, but shapes, bone and scanners vary more than people's do, so that those
# of people lie within. Two real CTs had denser rims and emptier marrow than any of the adults here; docs/phantom.md.
VARIED: dict[str, Spread] = ADULTS | {
    "size": Spread(1.0, 0.08, 0.82, 1.18),
    "individuality": Spread(1.15, 0.25, 0.6, 1.5),
    "axial_rotation_deg": Spread(0.0, 4.0, -10.0, 10.0),
    "disc_degeneration": Spread(0.3, 0.25, 0.0, 0.9),
    "osteophyte_mm": Spread(1.5, 2.0, 0.0, 6.0),
    "bone_quality": Spread(0.5, 0.3, 0.0, 1.0),
    "shell": Spread(1.5, 0.45, 0.7, 2.4),
    "marrow": Spread(0.6, 0.35, 0.1, 1.4),
    "noise_hu": Spread(16.0, 12.0, 3.0, 50.0),
    "blur_mm": Spread(0.7, 0.3, 0.35, 1.4),
    "pitch_deg": Spread(0.0, 6.0, -15.0, 15.0),
    "roll_deg": Spread(0.0, 4.0, -10.0, 10.0),
    "yaw_deg": Spread(0.0, 4.0, -10.0, 10.0),
}

POPULATIONS: dict[str, dict[str, Spread]] = {"adults": ADULTS, "shifted": SHIFTED, "varied": VARIED}

# Parameters that came later. Their streams follow all others, so that individuals drawn before stay as they were.
_LATER = ("individuality", "shell", "marrow")

_SLIP_LEVELS = (("L3", 0.15), ("L4", 0.55), ("L5", 0.3))
_FRACTURE_LEVELS = (("L1", 0.4), ("L2", 0.25), ("L3", 0.15), ("L4", 0.1), ("L5", 0.1))
_APEX_LEVELS = (("L1", 0.2), ("L2", 0.4), ("L3", 0.4))


def sample_parameters(seed: int, population: Mapping[str, Spread] = ADULTS) -> PhantomParameters:
    """Draw the parameters of one individual.

    Args:
        seed: The individual; the same seed draws the same individual.
        population: A :class:`Spread` for each parameter: one of ``POPULATIONS``, as it is or with entries replaced.

    Raises:
        InputError: A bad seed, or a population that misses a parameter, has an unknown one, or leaves ``LIMITS``.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise InputError("phantom seed", seed, "a whole number, 0 or more")
    if population.keys() != ADULTS.keys():
        odd = ", ".join(sorted(population.keys() ^ ADULTS.keys()))
        raise InputError("phantom population", f"missing or unknown: {odd}", f"exactly {', '.join(ADULTS)}")
    # One stream a parameter: changing one distribution leaves the others' draws alone.
    names = [*(name for name in ADULTS if name not in _LATER), "levels", *_LATER]
    streams = dict(zip(names, np.random.SeedSequence([seed, 0]).spawn(len(names)), strict=True))
    drawn = {name: spread.draw(np.random.default_rng(streams[name])) for name, spread in population.items()}
    rng = np.random.default_rng(streams["levels"])
    position = tuple(drawn.pop(f"{axis}_mm") for axis in "xyz")
    return PhantomParameters(
        seed=seed,
        scoliosis_apex=_pick(_APEX_LEVELS, rng),
        slip_level=_pick(_SLIP_LEVELS, rng),
        fracture_level=_pick(_FRACTURE_LEVELS, rng),
        position_mm=(position[0], position[1], position[2]),
        **drawn,
    )


def _pick(choices: tuple[tuple[str, float], ...], rng: np.random.Generator) -> str:
    names, shares = zip(*choices, strict=True)
    return str(rng.choice(names, p=shares))
