"""What shots cost: an ESTIMATE of dose from a water-equivalent trunk, and of time from the way the C-arm has to go.

Dose. Automatic exposure holds the air kerma at the detector constant, so the tube gives what the patient takes away:
the kerma-area product of a shot is that at the detector over the trunk's transmission along the central ray,

    KAP = K_detector A_detector / T(L),   T(L) = sum f E (mu_en/rho)_air exp(-mu L) / sum f E (mu_en/rho)_air,

with the tube's spectrum f(E) of :mod:`drrkit.fluoroscopy.spectrum` and the length L of the ray in an elliptic cylinder
of water. The incident air kerma at the skin is KAP / A, brought from the detector to the skin by the inverse square.
Left out: scatter (the longer the path the more of it reaches the detector, so laterals come out too dear), the grid,
the table top, what bone takes, collimation, and that machines also raise the voltage for thick patients.

Time. Both axes move one after the other at one speed, on the shortest tour that starts from AP; every shot takes the
same time more. That the way may lead through a forbidden sector is not looked at.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from pydantic import Field, NonNegativeFloat, PositiveFloat

from drrkit.errors import InputError
from drrkit.fluoroscopy.spectrum import tube_spectrum
from drrkit.geometry.carm import CArm
from drrkit.geometry.presets import preset
from drrkit.parameters import Parameters
from reconstruction.planning.reach import Pose, directions_world

AP, LATERAL = Pose(0.0, 0.0), Pose(90.0, 0.0)
# The tour of more shots takes too long to find exactly.
MOST_SHOTS = 12

# Hubbell & Seltzer, NISTIR 5632 (1995), tables 4: mass attenuation of liquid water (with coherent scatter) and mass
# energy-absorption of dry air, both in cm2/g. Between the energies, logarithms are interpolated.
_ENERGIES_KEV = np.array([10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 80.0, 100.0, 150.0])
_WATER_CM2_G = np.array([5.329, 1.673, 0.8096, 0.3756, 0.2683, 0.2269, 0.2059, 0.1837, 0.1707, 0.1505])
_AIR_EN_CM2_G = np.array([4.742, 1.334, 0.5389, 0.1537, 0.06833, 0.04098, 0.03041, 0.02407, 0.02325, 0.02496])


class BudgetParameters(Parameters):
    """Patient, beam and machine of an estimate.

    Args:
        carm: Preset of :mod:`drrkit.geometry.presets`: distances and the detector's area.
        kvp: Tube voltage in kV.
        aluminum_mm: All filtration in mm of aluminum, the tube's own included.
        copper_mm: Further filtration in mm of copper.
        detector_kerma_ugy: Air kerma at the detector that automatic exposure holds, in microgray a shot.
        trunk_width_mm: Left to right, of the elliptic trunk.
        trunk_depth_mm: Front to back.
        spine_behind_middle_mm: Where the central ray passes: so far behind the trunk's middle.
        arm_speed_deg_s: Speed of either axis.
        shot_s: Of one shot, from standing still to moving on.
    """

    carm: str
    kvp: PositiveFloat
    aluminum_mm: PositiveFloat
    copper_mm: NonNegativeFloat
    detector_kerma_ugy: PositiveFloat
    trunk_width_mm: float = Field(ge=100, le=800)
    trunk_depth_mm: float = Field(ge=100, le=800)
    spine_behind_middle_mm: NonNegativeFloat
    arm_speed_deg_s: PositiveFloat
    shot_s: NonNegativeFloat


@dataclass(frozen=True)
class Budget:
    """What a set of shots costs, by estimate.

    Args:
        shots: Poses in the order of the tour.
        dose_rel: KAP of all shots over that of AP + lateral.
        shot_dose_rel: KAP of each shot over that of an AP.
        kap_gy_cm2: KAP of all shots in Gy cm2, of the full detector's field.
        skin_mgy: Incident air kerma of each shot, where its central ray enters, in mGy.
        travel_deg: Length of the tour.
        seconds: Of tour and shots.
    """

    shots: tuple[Pose, ...]
    dose_rel: float
    shot_dose_rel: tuple[float, ...]
    kap_gy_cm2: float
    skin_mgy: tuple[float, ...]
    travel_deg: float
    seconds: float


def estimate_budget(poses: Sequence[Pose], parameters: BudgetParameters) -> Budget:
    """Estimate dose and time of shots.

    Raises:
        InputError: No or too many shots, a C-arm or spectrum that is not there, a spine outside the trunk, a trunk that
            reaches to the tube.
    """
    travel_deg, shots = shortest_tour(poses)
    carm = preset(parameters.carm)
    path_mm, to_skin_mm = trunk_path_mm((*shots, AP, LATERAL), parameters)
    skin_from_source_mm = carm.source_to_isocenter_mm - to_skin_mm
    if skin_from_source_mm.min() < 50:
        found = f"{skin_from_source_mm.min():.0f} mm from tube to skin"
        raise InputError("dose", found, "a trunk that leaves 50 mm, or a C-arm with more room")
    at_detector_ugy = parameters.detector_kerma_ugy / kerma_transmission(path_mm, parameters)
    kap_gy_cm2 = at_detector_ugy * 1e-6 * _area_cm2(carm)
    skin_mgy = at_detector_ugy * 1e-3 * (carm.source_to_detector_mm / skin_from_source_mm) ** 2
    count = len(shots)
    ap, lateral = kap_gy_cm2[count:]
    return Budget(
        shots=shots,
        dose_rel=float(kap_gy_cm2[:count].sum() / (ap + lateral)),
        shot_dose_rel=tuple((kap_gy_cm2[:count] / ap).tolist()),
        kap_gy_cm2=float(kap_gy_cm2[:count].sum()),
        skin_mgy=tuple(skin_mgy[:count].tolist()),
        travel_deg=travel_deg,
        seconds=travel_deg / parameters.arm_speed_deg_s + count * parameters.shot_s,
    )


def trunk_path_mm(
    poses: Sequence[Pose], parameters: BudgetParameters
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Follow the central rays through the spine in an endless elliptic cylinder along the patient's axis.

    Returns:
        (N,) length in the trunk in mm, and (N,) way from the spine back to where the ray enters.

    Raises:
        InputError: A spine outside the trunk, or a ray along the patient.
    """
    half_mm = np.array([parameters.trunk_width_mm, parameters.trunk_depth_mm]) / 2
    # In units of the half axes the trunk is the unit circle, and +y is the patient's back.
    spine = np.array([0.0, parameters.spine_behind_middle_mm]) / half_mm
    if np.linalg.norm(spine) >= 1:
        raise InputError("spine_behind_middle_mm", parameters.spine_behind_middle_mm, f"less than {half_mm[1]:g} mm")
    along = directions_world(poses)[:, :2] / half_mm
    square = (along**2).sum(axis=1)
    if square.min() < (0.05 / half_mm.max()) ** 2:
        raise InputError("dose", "a line of sight along the patient", "shots through the trunk from side to side")
    middle = along @ spine
    half_chord_mm = np.sqrt(middle**2 - square * (spine @ spine - 1)) / square
    return 2 * half_chord_mm, middle / square + half_chord_mm


def kerma_transmission(path_mm: Float[np.ndarray, " n"], parameters: BudgetParameters) -> Float[np.ndarray, " n"]:
    """Return the part of the air kerma of the primary beam that so much water lets through.

    Raises:
        InputError: A voltage or filtration that no C-arm has.
    """
    spectrum = tube_spectrum(parameters.kvp, parameters.aluminum_mm, parameters.copper_mm)
    energies_kev = spectrum.energies_kev
    kerma = spectrum.fluence * energies_kev * _interpolated(energies_kev, _AIR_EN_CM2_G)
    water_per_mm = _interpolated(energies_kev, _WATER_CM2_G) / 10
    passed = np.exp(-np.asarray(path_mm, np.float64)[:, None] * water_per_mm) @ kerma
    return passed / kerma.sum()


def shortest_tour(poses: Sequence[Pose], start: Pose = AP) -> tuple[float, tuple[Pose, ...]]:
    """Find the shortest way from a start through all poses, which ends at the last (Held and Karp's exact method).

    Returns:
        Degrees that both axes turn together, and the poses in order.

    Raises:
        InputError: No pose, or too many.
    """
    count = len(poses)
    if not 1 <= count <= MOST_SHOTS:
        raise InputError("shots", count, f"1 to {MOST_SHOTS}")
    angles = np.array([(pose.primary_deg, pose.secondary_deg) for pose in (*poses, start)])
    ways = np.abs(angles[:, None] - angles[None]).sum(axis=2)
    # (visited as bits, last) -> (length, order); ties go to the order that is given.
    best: dict[tuple[int, int], tuple[float, tuple[int, ...]]] = {
        (1 << first, first): (float(ways[count, first]), (first,)) for first in range(count)
    }
    for _ in range(count - 1):
        longer: dict[tuple[int, int], tuple[float, tuple[int, ...]]] = {}
        for (visited, last), (length, order) in best.items():
            for following in range(count):
                if visited >> following & 1:
                    continue
                state = (visited | 1 << following, following)
                way = (round(length + float(ways[last, following]), 9), (*order, following))
                if state not in longer or way < longer[state]:
                    longer[state] = way
        best = longer
    length_deg, order = min(best.values())
    return length_deg, tuple(poses[number] for number in order)


def _area_cm2(carm: CArm) -> float:
    row_mm, column_mm = carm.pixel_spacing_mm
    return carm.height * row_mm * carm.width * column_mm / 100


def _interpolated(
    energies_kev: Float[np.ndarray, " e"], values: Float[np.ndarray, " tabulated"]
) -> Float[np.ndarray, " e"]:
    return np.exp(np.interp(np.log(energies_kev), np.log(_ENERGIES_KEV), np.log(values)))
