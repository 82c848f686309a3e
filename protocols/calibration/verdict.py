"""Pass, warn or fail, with the reason in words for the lab."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from protocols.calibration.proof import Proof
from protocols.calibration.result import ExposureCalibration, Status
from protocols.calibration.settings import CalibrationSettings

# The angle and offset limits of "fail" hold only where the match itself is not beyond doubt.
_BEYOND_DOUBT_LOG10 = -12.0
NEAR_MISS_WORDS = "lie a few millimeters beside their places"
FEW_WORDS = "balls on the image were found"


@dataclass(frozen=True, eq=False)
class Evidence:
    """All that decides on one exposure.

    Args:
        proof: Residuals and sigmas.
        balls_used: Matched balls.
        balls_on_image: Balls of the CT that the camera puts on the image, those in each other's shadow left out.
        log10_chance: Expected number of equally good matches by chance.
        flatness: Thickness of the used balls' cloud over its length.
        mirrored: Whether only the mirrored image fits.
        saturated: Whether the image is black or white over much of its area.
        angle_off_deg: How far it is turned against header and session; None when there is no session to compare with.
        isocenter_off_mm: How far its isocenter lies from the session's.
        near_misses: Unmatched balls with an unmatched detection just beside them, if that is more than chance.
        noise_scale: How much larger the residuals are than the detections' sigmas say.
    """

    proof: Proof
    balls_used: int
    balls_on_image: int
    log10_chance: float
    flatness: float
    mirrored: bool
    saturated: bool
    angle_off_deg: float | None
    isocenter_off_mm: float | None
    noise_scale: float
    near_misses: int


def verdict(evidence: Evidence, settings: CalibrationSettings) -> tuple[Status, str]:
    """Judge one exposure."""
    failures = list(_failures(evidence, settings))
    if failures:
        return "fail", "; ".join(failures)
    doubts = list(_doubts(evidence, settings))
    return ("warn", "; ".join(doubts)) if doubts else ("pass", "")


def doubt_session(
    exposures: Mapping[int, ExposureCalibration], settings: CalibrationSettings
) -> dict[int, ExposureCalibration]:
    """Let no exposure pass where many of the session miss balls: the camera model is wrong for all of them.

    A wrong model (an intensifier's distortion left out) fits one part of the balls or another, each time rather well.
    """
    missing = [
        exposure
        for exposure in exposures.values()
        if NEAR_MISS_WORDS in exposure.reason or FEW_WORDS in exposure.reason
    ]
    if len(missing) < 2 or len(missing) <= settings.near_misses_session * len(exposures):
        return dict(exposures)
    reason = (
        f"in {len(missing)} of {len(exposures)} exposures of the session many balls do not fit or {NEAR_MISS_WORDS}: "
        "check the detector"
    )
    return {
        index: replace(exposure, status="warn", reason=reason) if exposure.status == "pass" else exposure
        for index, exposure in exposures.items()
    }


def _failures(evidence: Evidence, settings: CalibrationSettings) -> Iterator[str]:
    if evidence.balls_used < settings.least_balls_fail:
        yield f"only {evidence.balls_used} balls fit; {settings.least_balls_fail} are needed"
    if evidence.log10_chance > settings.chance_limit_log10:
        yield "no camera that fits better than chance: another specimen, or too few balls seen"
    if evidence.log10_chance > _BEYOND_DOUBT_LOG10:
        if evidence.angle_off_deg is not None and evidence.angle_off_deg > settings.angle_fail_deg:
            yield f"turned {evidence.angle_off_deg:.0f} degrees against header and session"
        if evidence.isocenter_off_mm is not None and evidence.isocenter_off_mm > settings.isocenter_fail_mm:
            yield f"its isocenter lies {evidence.isocenter_off_mm:.0f} mm from the session's"


def _doubts(evidence: Evidence, settings: CalibrationSettings) -> Iterator[str]:
    proof = evidence.proof
    if evidence.mirrored:
        yield "left and right swapped against the header; the camera given here is mirrored to fit"
    if evidence.saturated:
        yield "much of the image is black or white"
    if evidence.log10_chance > settings.chance_pass_log10:
        yield f"the match might be chance, once in 10^{-evidence.log10_chance:.0f} times"
    if evidence.balls_used < settings.least_balls_pass:
        yield f"only {evidence.balls_used} balls fit; {settings.least_balls_pass} are wanted"
    if evidence.balls_used < settings.least_share_pass * evidence.balls_on_image:
        yield f"only {evidence.balls_used} of the {evidence.balls_on_image} {FEW_WORDS}"
    if evidence.flatness < settings.flatness_limit:
        yield "the balls used lie almost in one plane"
    if evidence.near_misses >= settings.near_misses_warn:
        yield (
            f"{evidence.near_misses} balls {NEAR_MISS_WORDS}: is the detector an image intensifier, or did balls move?"
        )
    if evidence.noise_scale > settings.noise_limit and proof.rms_px > settings.noise_floor_px:
        yield f"residuals {evidence.noise_scale:.0f} times larger than the detections promise"
    for found, limit, name in (
        (proof.rms_mm, settings.rms_limit_mm, "residual"),
        (proof.target_error_mm, settings.target_error_limit_mm, "leave-one-ball-out error"),
        (proof.sigma_in_plane_worst_mm, settings.sigma_in_plane_limit_mm, "in-plane sigma at the farthest ball"),
    ):
        if not found <= limit:
            yield f"{name} {found:.2f} mm, more than {limit:g} mm"
    if not proof.sigma_rotation_deg <= settings.sigma_rotation_limit_deg:
        yield f"rotation sigma {proof.sigma_rotation_deg:.2f} degrees, more than {settings.sigma_rotation_limit_deg:g}"
    if evidence.angle_off_deg is not None and evidence.angle_off_deg > settings.angle_warn_deg:
        yield f"turned {evidence.angle_off_deg:.0f} degrees against header and session"
    if evidence.isocenter_off_mm is not None and evidence.isocenter_off_mm > settings.isocenter_warn_mm:
        yield f"its isocenter lies {evidence.isocenter_off_mm:.0f} mm from the session's"
