"""The numbers of calibration: what is known beforehand, what counts as a match, and what an exposure must reach."""

from typing import Literal

from pydantic import Field

from drrkit.parameters import Parameters


class Drift(Parameters):
    """How a quantity of the machine varies over a session, as standard deviations in its own unit.

    The three parts add: one value for the whole session, a part that changes smoothly with the direction of the beam
    (a C-arm sags the same way each time it comes by), and a part that is new in every exposure.
    """

    session: float = Field(ge=0)
    smooth: float = Field(ge=0)
    single: float = Field(ge=0)


class CalibrationSettings(Parameters):
    """Settings of :func:`protocols.calibration.solve.calibrate`.

    Args:
        intrinsics: ``shared`` keeps focal length and principal point alike in all exposures; ``drifting`` lets them
            follow the beam's direction within the limits of ``focal`` and ``principal_point_px``.
        distortion: ``intensifier`` estimates an image intensifier's distortion; ``none`` is for flat panels.
        focal: Relative deviation of the focal length from the header's (0.005 is 5 mm of a meter).
        principal_point_px: Deviation of the principal point from the header's, in pixels.
        twist: S-shape of an intensifier: rotation, in radians, at the edge of the field.
        decentering: How far an intensifier's distortion is centered beside the image's center: its terms d.
        pincushion: Pincushion of an intensifier: stretch, as a share of the radius, at the edge of the field.
        ball_shift_mm: How far a ball may have moved in the soft tissue, along each axis, between CT and C-arm; added to
            the sigma of its center in the CT by :func:`protocols.calibration.run.calibrate_acquisition`.
        drift_correlation_deg: Over which angle of the beam the smooth parts stay alike.
        common_rotation_deg: How far the patient axes of CT and headers may be turned against each other.
        angle_error_deg: How far the angle read-out of one exposure may be off beyond that.
        isocenter_range_mm: How far the depth of the balls may differ from the isocenter's.
        search_cell_mm: Cell of the first search, in the patient.
        gate_sigmas: A detection farther than this many standard deviations from its ball is no match.
        gate_min_px: But nothing is refused within this distance.
        model_sigma_px: What the camera model leaves unexplained; added to every detection's sigma.
        robust_sigmas: Residuals beyond this many sigmas lose weight (Cauchy loss).
        chance_limit_log10: An exposure is trusted if fewer than 10 to this power such good matches are expected
            among pure chance.
        chance_pass_log10: The same, to pass.
        least_balls_fail: With fewer used balls an exposure fails.
        least_balls_pass: With fewer used balls an exposure does not pass.
        least_share_pass: Least share of the balls on the image that must be used to pass.
        noise_limit: An exposure whose residuals are this much larger than its detections' sigmas does not pass.
        noise_floor_px: But residuals below this are small enough, whatever the sigmas.
        near_miss_mm: An unmatched detection this close to an unmatched ball, in the patient, is a near miss.
        near_misses_warn: With so many of them, more than chance gives, an exposure does not pass.
        near_misses_session: With near misses, or most balls unmatched, in more than this share of its exposures, none
            of a session passes.
        rms_limit_mm: Largest root mean square residual to pass, in the patient.
        target_error_limit_mm: Largest leave-one-ball-out error to pass.
        sigma_in_plane_limit_mm: Largest in-plane sigma, anywhere in the cloud of balls, to pass.
        sigma_rotation_limit_deg: Largest rotation sigma to pass.
        flatness_limit: Least thickness of the used balls' cloud, as a share of its length, to pass.
        isocenter_warn_mm: An exposure whose isocenter lies farther than this from the session's does not pass.
        isocenter_fail_mm: Beyond this it fails.
        angle_warn_deg: An exposure turned farther than this against session and header does not pass.
        angle_fail_deg: Beyond this it fails.
    """

    intrinsics: Literal["shared", "drifting"] = "drifting"
    distortion: Literal["none", "intensifier"] = "none"

    focal: Drift = Drift(session=0.006, smooth=0.003, single=0.0005)
    principal_point_px: Drift = Drift(session=3.0, smooth=2.5, single=0.4)
    twist: Drift = Drift(session=0.02, smooth=0.01, single=0.001)
    decentering: Drift = Drift(session=0.003, smooth=0.001, single=0.0002)
    pincushion: float = Field(default=0.06, gt=0)
    ball_shift_mm: float = Field(default=0.25, ge=0)
    drift_correlation_deg: float = Field(default=60.0, gt=0)

    common_rotation_deg: float = Field(default=18.0, ge=0, le=60)
    angle_error_deg: float = Field(default=9.0, gt=0, le=45)
    isocenter_range_mm: float = Field(default=130.0, gt=0)
    search_cell_mm: float = Field(default=5.0, gt=0)

    gate_sigmas: float = Field(default=4.5, gt=0)
    gate_min_px: float = Field(default=0.8, gt=0)
    model_sigma_px: float = Field(default=0.03, ge=0)
    robust_sigmas: float = Field(default=2.5, gt=0)

    chance_limit_log10: float = -5.0
    chance_pass_log10: float = -7.0
    least_balls_fail: int = Field(default=6, ge=4)
    least_balls_pass: int = Field(default=7, ge=5)
    least_share_pass: float = Field(default=0.5, ge=0, le=1)
    noise_limit: float = Field(default=2.5, gt=0)
    noise_floor_px: float = Field(default=0.6, ge=0)
    near_miss_mm: float = Field(default=5.0, gt=0)
    near_misses_warn: int = Field(default=2, ge=1)
    near_misses_session: float = Field(default=0.25, gt=0, le=1)
    rms_limit_mm: float = Field(default=0.4, gt=0)
    target_error_limit_mm: float = Field(default=0.6, gt=0)
    sigma_in_plane_limit_mm: float = Field(default=0.5, gt=0)
    sigma_rotation_limit_deg: float = Field(default=0.5, gt=0)
    flatness_limit: float = Field(default=0.04, ge=0)
    isocenter_warn_mm: float = Field(default=30.0, gt=0)
    isocenter_fail_mm: float = Field(default=90.0, gt=0)
    angle_warn_deg: float = Field(default=12.0, gt=0)
    angle_fail_deg: float = Field(default=25.0, gt=0)
