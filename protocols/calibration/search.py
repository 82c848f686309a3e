"""First cameras for all exposures of a session: a wide search in some, a narrow one in the rest, then the hard ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from drrkit.geometry.camera import Camera
from protocols.calibration.correspondence import Expectation, Placement, find_placement
from protocols.calibration.frame import SessionFrame, session_frame, with_pose
from protocols.calibration.model import SessionState
from protocols.calibration.result import Observation
from protocols.calibration.settings import CalibrationSettings

_ENOUGH_FOR_FRAME = 5
_CLEARLY_LOG10 = -9.0
# A fine search of all orientations takes a second; where the first so many find nothing, the rest is searched coarsely.
_FINE_SEARCHES = 12
_COARSE_DEG, _FINE_DEG = 4.0, 2.5


@dataclass(frozen=True, eq=False)
class Found:
    """What the search found.

    Args:
        placements: By index of the exposure; those that chance does not explain, and for others the best there was.
        mirrored: Exposures that only fit with left and right swapped.
        frame: The common frame; None when no exposure was found.
    """

    placements: Mapping[int, Placement]
    mirrored: frozenset[int]
    frame: SessionFrame | None


def search_session(
    observations: Sequence[Observation],
    balls: Float[np.ndarray, "m 3"],
    settings: CalibrationSettings,
    usable: Sequence[int],
) -> Found:
    """Find a camera and matches for every usable exposure.

    Args:
        observations: All exposures.
        balls: Ball centers in the world.
        settings: Ranges and limits.
        usable: Indices of the exposures to search.
    """
    placements: dict[int, Placement] = {}
    mirrored: set[int] = set()

    def is_sure(index: int) -> bool:
        return index in placements and placements[index].log10_chance <= settings.chance_limit_log10

    def keep(index: int, placement: Placement | None) -> None:
        if placement is not None and (
            index not in placements or placement.log10_chance < placements[index].log10_chance
        ):
            placements[index] = placement

    # Spread over the session, so that the first few see all sides.
    tried: list[int] = []
    for index in _spread(usable):
        tried.append(index)
        keep(index, wide_search(observations[index], balls, settings, fine=len(tried) <= _FINE_SEARCHES))
        if sum(is_sure(other) for other in tried) >= _ENOUGH_FOR_FRAME:
            frame = _frame(observations, placements, [other for other in tried if is_sure(other)], settings)
            if frame.agrees.sum() >= _ENOUGH_FOR_FRAME:
                break
    if not any(map(is_sure, tried)):
        # Perhaps the whole session is swapped.
        for number, index in enumerate(_spread(usable)):
            placement = wide_search(flipped(observations[index]), balls, settings, fine=number < _FINE_SEARCHES)
            if placement is not None and placement.log10_chance <= settings.chance_limit_log10:
                placements[index] = placement
                mirrored.add(index)
    sure = [index for index in usable if is_sure(index)]
    if not sure:
        return Found(placements, frozenset(mirrored), None)
    frame = _frame(observations, placements, sure, settings)
    for index in usable:
        if not is_sure(index):
            keep(index, narrow_search(observations[index], balls, frame, settings))
    frame = _frame(observations, placements, [index for index in usable if is_sure(index)], settings)
    for index in usable:
        if is_sure(index):
            continue
        keep(index, narrow_search(observations[index], balls, frame, settings))
        if not is_sure(index) and index not in tried:
            keep(index, wide_search(observations[index], balls, settings, fine=False))
        if not is_sure(index):
            swapped = narrow_search(flipped(observations[index]), balls, frame, settings)
            if swapped is not None and swapped.log10_chance <= settings.chance_limit_log10:
                placements[index] = swapped
                mirrored.add(index)
    frame = _frame(observations, placements, [index for index in usable if is_sure(index)], settings)
    return Found(placements, frozenset(mirrored), frame)


def search_again(
    observations: Sequence[Observation],
    state: SessionState,
    sure: Sequence[int],
    missing: Sequence[int],
    found: Found,
    settings: CalibrationSettings,
) -> Found:
    """Look again for the exposures that were not found, with what bundle adjustment knows by now.

    Args:
        observations: All exposures.
        state: Adjusted balls, poses, intrinsics and distortion.
        sure: Indices of the exposures in the state, in its order.
        missing: Indices of the exposures to look for.
        found: What the first search found.
        settings: Ranges and limits.

    Returns:
        The same as ``found``, with the adjusted cameras and with those that are now found.
    """
    placements = dict(found.placements)
    cameras = [state.camera(row) for row in range(len(sure))]
    frame = session_frame([observations[index].nominal_camera for index in sure], cameras, settings)
    stretch = float(np.exp(np.median(state.intrinsics[:, 0])))
    shift_u, shift_v = np.median(state.intrinsics[:, 1:], axis=0)
    bends = (float(state.shared[0]), float(np.median(state.bends[:, 0])))
    for index in missing:
        nominal = observations[index].nominal_camera
        K = nominal.pixel_from_camera.copy()
        K[:2, :2] *= stretch
        K[:2, 2] += np.sign(K[0, 0]) * shift_u, shift_v
        better = Camera(K, nominal.camera_from_world, nominal.height, nominal.width, nominal.pixel_spacing_mm)
        sight = replace(observations[index], nominal_camera=better)
        placement = narrow_search(sight, state.balls, frame, settings, bends)
        if placement is not None and placement.log10_chance <= settings.chance_limit_log10:
            # The adjustment measures intrinsics from the header's.
            camera = with_pose(nominal, placement.camera.camera_from_world)
            placements[index] = replace(placement, camera=camera)
    return Found(placements, found.mirrored, frame)


def wide_search(
    observation: Observation, balls: Float[np.ndarray, "m 3"], settings: CalibrationSettings, fine: bool
) -> Placement | None:
    """Search an exposure of which nothing but the header is known: coarsely, then finely if wanted and needed."""
    nominal = observation.nominal_camera
    pose = nominal.camera_from_world.copy()
    pose[:3, 3] -= pose[:3, :3] @ balls.mean(axis=0)
    radius_deg = settings.common_rotation_deg + settings.angle_error_deg
    expectation = Expectation(
        with_pose(nominal, pose), radius_deg, settings.isocenter_range_mm, bend_sigmas=_bend_sigmas(settings)
    )
    coarse = find_placement(observation, balls, expectation, settings, _COARSE_DEG)
    if not fine or (coarse is not None and coarse.log10_chance <= _CLEARLY_LOG10):
        return coarse
    return _better(coarse, find_placement(observation, balls, expectation, settings, _FINE_DEG))


def narrow_search(
    observation: Observation,
    balls: Float[np.ndarray, "m 3"],
    frame: SessionFrame,
    settings: CalibrationSettings,
    bends: tuple[float, float] = (0.0, 0.0),
) -> Placement | None:
    """Search an exposure around where session and neighbors expect it, first closely, then as far as headers err."""
    camera, spread_deg, spread_mm = frame.expected(observation.nominal_camera)
    depth_mm = min(spread_mm, settings.isocenter_range_mm)
    radius_deg = min(max(spread_deg, 3.0), settings.angle_error_deg)
    expectation = Expectation(camera, radius_deg, depth_mm, bends, _bend_sigmas(settings))
    found = find_placement(observation, balls, expectation, settings, step_deg=2.0 if radius_deg < 5 else 3.0)
    if found is not None and found.log10_chance <= _CLEARLY_LOG10:
        return found
    far = replace(expectation, radius_deg=settings.angle_error_deg + 3.0, depth_mm=max(depth_mm, 40.0))
    return _better(found, find_placement(observation, balls, far, settings, step_deg=2.2))


def flipped(observation: Observation) -> Observation:
    """The same exposure if its image were mirrored against what its header says."""
    nominal = observation.nominal_camera
    return replace(observation, nominal_camera=nominal.flipped_horizontally())


def _better(one: Placement | None, other: Placement | None) -> Placement | None:
    if one is None or other is None:
        return one or other
    return one if one.log10_chance <= other.log10_chance else other


def _bend_sigmas(settings: CalibrationSettings) -> tuple[float, float]:
    if settings.distortion == "none":
        return 0.0, 0.0
    return settings.pincushion, float(np.hypot(settings.twist.session, settings.twist.smooth))


def _frame(
    observations: Sequence[Observation],
    placements: Mapping[int, Placement],
    known: Sequence[int],
    settings: CalibrationSettings,
) -> SessionFrame:
    headers: list[Camera] = [observations[index].nominal_camera for index in known]
    return session_frame(headers, [placements[index].camera for index in known], settings)


def _spread(usable: Sequence[int]) -> list[int]:
    """Order indices so that each prefix is spread over the whole (van der Corput)."""
    count = len(usable)
    bits = max(1, (count - 1).bit_length())
    order = [int(f"{number:0{bits}b}"[::-1], 2) for number in range(2**bits)]
    return [usable[position] for position in order if position < count]
