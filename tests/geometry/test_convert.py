"""Goldens: numbers from the tools themselves or from their definitions, and round trips through each of them."""

import numpy as np
import pytest

from drrkit.errors import InputError
from drrkit.geometry import convert
from drrkit.geometry.camera import Camera
from drrkit.geometry.carm import CArm

ISOCENTER = np.array([12.0, -180.0, 310.0])
CENTER = np.array([5.0, -170.0, 300.0])
# Not square, odd and even sizes, two spacings, principal point off the center.
CARM = CArm(1000.0, 600.0, 101, 128, (0.8, 0.7), (60.3, 52.1))
SQUARE = CArm(1000.0, 600.0, 101, 128, (0.7, 0.7), (60.3, 52.1))
ANGLES = [(0.0, 0.0, 0.0), (30.0, 20.0, 10.0), (90.0, 0.0, 0.0), (-120.0, -30.0, 170.0), (180.0, 5.0, -90.0)]
MARKERS = ISOCENTER + np.random.default_rng(0).normal(size=(20, 3)) * 40


def camera_at(angles, mirrored: bool, carm: CArm = CARM) -> Camera:
    camera = carm.camera(*angles, isocenter_world=ISOCENTER)
    return camera.flipped_horizontally() if mirrored else camera


def through_matrix(camera):
    matrix = -2.5 * convert.matrix_from_camera(camera, pixel_center=0.5)
    return convert.camera_from_matrix(
        matrix, camera.height, camera.width, camera.pixel_spacing_mm, ISOCENTER, pixel_center=0.5
    )


def through_opencv(camera):
    view = convert.opencv_from_camera(camera)
    return convert.camera_from_opencv(
        view.rvec, view.tvec, view.camera_matrix, camera.height, camera.width, camera.pixel_spacing_mm
    )


def through_astra(camera):
    return convert.camera_from_astra(convert.astra_from_camera(camera, CENTER), camera.height, camera.width, CENTER)


def through_rtk(camera):
    return convert.camera_from_rtk(*convert.rtk_from_camera(camera))


def through_rtk_iec(camera):
    projection, detector = convert.rtk_from_camera(camera, convert.IEC_FROM_LPS)
    return convert.camera_from_rtk(projection, detector, convert.IEC_FROM_LPS)


def through_diffdrr(orientation):
    return lambda camera: convert.camera_from_diffdrr(convert.diffdrr_from_camera(camera, CENTER, orientation))


def through_nanodrr(camera):
    return convert.camera_from_nanodrr(convert.nanodrr_from_camera(camera))


def through_dicom(camera):
    return convert.camera_from_dicom(convert.dicom_from_camera(camera, ISOCENTER + np.array([3.0, -1, 2])))


def through_itk(camera):
    pose = convert.transform_from_itk("AffineTransform_double_3_3", *convert.itk_from_camera(camera))
    return convert.camera_from_itk(pose, camera)


def through_xreg(camera):
    view = convert.xreg_from_camera(camera)
    return convert.camera_from_xreg(
        view.intrinsic, view.extrinsic, camera.height, camera.width, camera.pixel_spacing_mm
    )


def through_deepdrr(camera):
    placed = CARM.camera(20, 30, 40).camera_from_world
    view = convert.deepdrr_from_camera(camera, placed)
    return convert.camera_from_deepdrr(view, placed)


@pytest.mark.parametrize("angles", ANGLES, ids=str)
@pytest.mark.parametrize("mirrored", [False, True], ids=["as-seen", "mirrored"])
@pytest.mark.parametrize(
    "through",
    [
        through_matrix,
        through_opencv,
        through_astra,
        through_rtk,
        through_rtk_iec,
        pytest.param(through_diffdrr("AP"), id="diffdrr-AP"),
        pytest.param(through_diffdrr("PA"), id="diffdrr-PA"),
        pytest.param(through_diffdrr(None), id="diffdrr-None"),
        through_nanodrr,
        through_dicom,
        through_itk,
    ],
)
def test_round_trip(through, mirrored, angles):
    camera = camera_at(angles, mirrored)
    back = through(camera)
    assert np.abs(back.project(MARKERS) - camera.project(MARKERS)).max() < 1e-8
    assert back.allclose(camera, 1e-7)


@pytest.mark.parametrize("angles", ANGLES, ids=str)
def test_round_trip_of_tools_with_one_handedness(angles):
    mirrored, as_seen = camera_at(angles, True), camera_at(angles, False, SQUARE)
    assert through_xreg(mirrored).allclose(mirrored, 1e-7)
    assert through_deepdrr(as_seen).allclose(as_seen, 1e-7)


def skewed(camera: Camera) -> Camera:
    return camera.warped([[1, 0.1, 0], [0, 1, 0], [0, 0, 1]], camera.height, camera.width)


@pytest.mark.parametrize("through", [through_matrix, through_astra, through_nanodrr])
def test_skewed_cameras_pass_where_the_tool_can(through):
    camera = skewed(camera_at((30, 20, 10), False))
    assert through(camera).allclose(camera, 1e-7)


@pytest.mark.parametrize(
    ("refused", "camera"),
    [
        (convert.opencv_from_camera, skewed(camera_at((0, 0, 0), False))),
        (convert.rtk_from_camera, skewed(camera_at((0, 0, 0), False))),
        (lambda camera: convert.diffdrr_from_camera(camera, CENTER), skewed(camera_at((0, 0, 0), False))),
        (lambda camera: convert.dicom_from_camera(camera, ISOCENTER), skewed(camera_at((0, 0, 0), False))),
        (convert.xreg_from_camera, camera_at((0, 0, 0), False)),
        (convert.deepdrr_from_camera, camera_at((0, 0, 0), True, SQUARE)),
        (convert.deepdrr_from_camera, camera_at((0, 0, 0), False)),
        (lambda camera: convert.dicom_from_camera(camera, ISOCENTER - (0, 900, 0)), camera_at((0, 0, 0), False)),
    ],
    ids=[
        "opencv-skew",
        "rtk-skew",
        "diffdrr-skew",
        "dicom-skew",
        "xreg-not-mirrored",
        "deepdrr-mirrored",
        "deepdrr-oblong-pixels",
        "dicom-isocenter-behind-detector",
    ],
)
def test_what_a_tool_cannot_express_is_refused(refused, camera):
    with pytest.raises(InputError):
        refused(camera)


# ---- bare matrices ---------------------------------------------------------------------------------------------------


def test_a_matrix_alone_is_taken_as_not_mirrored_and_a_seen_point_settles_it():
    mirrored = camera_at((30, 20, 10), True)
    matrix = convert.matrix_from_camera(mirrored)
    size = (mirrored.height, mirrored.width, mirrored.pixel_spacing_mm)
    guessed = convert.camera_from_matrix(matrix, *size)
    assert not guessed.is_mirrored
    assert np.isnan(guessed.project(MARKERS)).all()  # looks the other way
    settled = convert.camera_from_matrix(matrix, *size, seen_world=ISOCENTER)
    assert settled.allclose(mirrored)


def test_matrix_by_hand():
    # A source at the origin looking along +y with z up: u = 500 x / y + 100, v = -500 z / y + 80.
    matrix = np.array([[500.0, 100, 0, 0], [0, 80, -500, 0], [0, 1, 0, 0]])
    camera = convert.camera_from_matrix(matrix, 160, 200, (2.0, 2.0))
    assert camera.source_to_detector_mm == pytest.approx(1000)
    np.testing.assert_allclose(camera.view_direction_world, [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(camera.project([30.0, 600, 60]), [125.0, 30.0])
    half = convert.camera_from_matrix(matrix, 160, 200, (2.0, 2.0), pixel_center=0.5)
    np.testing.assert_allclose(half.project([30.0, 600, 60]), [124.5, 29.5])


@pytest.mark.parametrize(
    ("matrix", "seen"),
    [
        (np.zeros((3, 4)), None),
        (np.eye(3), None),
        (np.full((3, 4), np.nan), None),
        (np.array([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]), None),  # a parallel beam
        (np.hstack([np.diag([500.0, 500, 1]), np.zeros((3, 1))]), [3.0, 4.0, 0.0]),  # beside the source
        (np.hstack([np.diag([500.0, 900, 1]), np.zeros((3, 1))]), None),  # two focal lengths for square pixels
    ],
)
def test_matrices_that_are_no_camera(matrix, seen):
    with pytest.raises(InputError):
        convert.camera_from_matrix(matrix, 100, 100, (1.0, 1.0), seen)


@pytest.mark.parametrize(("u", "v"), [([1.0, 0, 0], [2.0, 0, 0]), ([1.0, 0, 0], [0, 0, 1.0])])
def test_detector_frames_that_are_no_camera(u, v):
    with pytest.raises(InputError, match="detector"):
        convert.camera_from_detector_frame([0, 0, 0], [-50.0, 0, -50], u, v, 100, 100)


# ---- OpenCV ----------------------------------------------------------------------------------------------------------


def test_opencv_by_hand():
    # A quarter turn about x takes world y to camera z.
    view = ([np.pi / 2, 0, 0], [0, 0, 0], np.array([[500.0, 0, 100], [0, 500, 80], [0, 0, 1]]))
    camera = convert.camera_from_opencv(*view, 160, 200, (2.0, 2.0))
    np.testing.assert_allclose(camera.project([30.0, 600, -60]), [125.0, 130.0])


@pytest.mark.parametrize(
    ("matrix", "distortion"),
    [
        ([[500.0, 0, 100], [0, 500, 80], [0, 0, 1]], [0.01, 0, 0, 0, 0]),
        ([[500.0, 1, 100], [0, 500, 80], [0, 0, 1]], []),
    ],
    ids=["distortion", "skew"],
)
def test_opencv_refuses_what_a_pinhole_is_not(matrix, distortion):
    with pytest.raises(InputError):
        convert.camera_from_opencv([0, 0, 0], [0, 0, 600.0], matrix, 160, 200, (2.0, 2.0), distortion)


# ---- RTK -------------------------------------------------------------------------------------------------------------

# GetMatrix and GetSourcePosition of AddProjection(600, 1000, 30, 5, -7, 10, -20, 3, 4) and (600, 1000, 90) in
# itk-rtk 2.7.0. Its Joseph forward projector also draws a spot where these cameras do, with both directions of x.
RTK_GOLDEN = [
    (
        convert.RtkProjection(600.0, 1000.0, 30.0, 5.0, -7.0, 10.0, -20.0, 3.0, 4.0),
        [
            [-785.0869017954436, 337.17138518879904, 519.574839305271, 4200.0],
            [-372.36964566772417, -927.3267083526596, 39.07714115841918, -2600.0],
            [0.49240387650610395, -0.17364817766693033, 0.8528685319524433, -600.0],
        ],
        [299.30577653902685, -101.49771255306533, 510.0384950931306],
    ),
    (
        convert.RtkProjection(600.0, 1000.0, 90.0),
        [[0.0, 0.0, 1000.0, 0.0], [0.0, -1000.0, 0.0, 0.0], [1.0, 0.0, 0.0, -600.0]],
        [600.0, 0.0, 0.0],
    ),
]


@pytest.mark.parametrize(("projection", "matrix", "source"), RTK_GOLDEN, ids=["all-nine", "quarter-turn"])
def test_rtk_golden(projection, matrix, source):
    matrix = np.array(matrix)
    np.testing.assert_allclose(convert.matrix_from_rtk(projection), matrix, atol=1e-9)
    detector = convert.RtkDetector(90, 121, (0.7, 0.8))
    camera = convert.camera_from_rtk(projection, detector)
    np.testing.assert_allclose(camera.source_world, source, atol=1e-9)
    points = np.random.default_rng(1).normal(size=(10, 3)) * 50
    homogeneous = points @ matrix[:, :3].T + matrix[:, 3]
    plane_mm = homogeneous[:, :2] / homogeneous[:, 2:]
    # The image's center, (60, 44.5), lies at 0 mm of the detector's plane.
    np.testing.assert_allclose(camera.project(points), plane_mm / [0.7, 0.8] + [60.0, 44.5], atol=1e-9)
    assert camera.is_mirrored  # RTK's plain detector is seen against the beam
    assert camera.pixel_spacing_mm == pytest.approx((0.8, 0.7))


def test_rtk_says_when_the_image_header_runs_backward():
    as_seen, mirrored = camera_at((30, 20, 10), False), camera_at((30, 20, 10), True)
    plain, backward = convert.rtk_from_camera(mirrored)[1], convert.rtk_from_camera(as_seen)[1]
    assert (plain.direction_x, backward.direction_x) == (1, -1)
    np.testing.assert_allclose(plain.corner_mm, [-127 / 2 * 0.7, -100 / 2 * 0.8])
    np.testing.assert_allclose(backward.corner_mm, [127 / 2 * 0.7, -100 / 2 * 0.8])


def test_rtk_takes_an_origin_from_the_header():
    projection, detector = convert.rtk_from_camera(camera_at((30, 20, 10), True))
    x_mm, y_mm = detector.corner_mm
    moved = convert.RtkDetector(101, 128, detector.spacing_mm, (x_mm + 0.7, y_mm - 0.8))
    shift = convert.camera_from_rtk(projection, moved).project(MARKERS) - camera_at((30, 20, 10), True).project(MARKERS)
    np.testing.assert_allclose(shift, np.broadcast_to([-1.0, 1.0], shift.shape), atol=1e-9)


def test_iec_frame_of_a_supine_patient():
    # IEC 61217: x to the patient's left, y to the head, z up, which is to the front.
    np.testing.assert_allclose(convert.IEC_FROM_LPS @ [1, 0, 0, 1], [1, 0, 0, 1])
    np.testing.assert_allclose(convert.IEC_FROM_LPS @ [0, 0, 1, 1], [0, 1, 0, 1])
    np.testing.assert_allclose(convert.IEC_FROM_LPS @ [0, -1, 0, 1], [0, 0, 1, 1])
    # A gantry at 0 holds the source above the patient.
    projection, _ = convert.rtk_from_camera(
        CArm(1000.0, 600.0, 100, 100, (1.0, 1.0)).camera(180, 0).flipped_horizontally(), convert.IEC_FROM_LPS
    )
    assert min(projection.gantry_angle, 360 - projection.gantry_angle) == pytest.approx(0, abs=1e-9)
    assert projection.source_to_isocenter_distance == pytest.approx(600)


@pytest.mark.parametrize(("distance", "direction"), [(0.0, 1), (1000.0, 0)], ids=["parallel-beam", "no-direction"])
def test_rtk_refuses(distance, direction):
    with pytest.raises(InputError):
        convert.camera_from_rtk(
            convert.RtkProjection(600.0, distance, 0.0), convert.RtkDetector(10, 10, (1.0, 1.0), None, direction)
        )


# ---- ASTRA -----------------------------------------------------------------------------------------------------------


def test_astra_golden():
    # astra.geom_2vec of cone(1.2, 0.9, 90, 121, [pi/6], 600, 400) in astra-toolbox 2.5.0.
    vector = [
        *(299.99999999999994, -519.6152422706632, 0.0),
        *(-199.99999999999997, 346.4101615137755, 0.0),
        *(1.0392304845413265, 0.5999999999999999, 0.0),
        *(0.0, 0.0, 0.9),
    ]
    camera = convert.camera_from_astra(vector, 90, 121)
    assert camera.source_to_detector_mm == pytest.approx(1000)
    assert camera.pixel_spacing_mm == pytest.approx((0.9, 1.2))
    # The origin falls on the detector's center. ASTRA's CPU line projector draws a spot at (13, -17) of this plane at
    # 63.9716 of the fan beam (center of mass).
    np.testing.assert_allclose(camera.project([0, 0, 0]), [60.0, 44.5])
    np.testing.assert_allclose(camera.project([13.0, -17, 0]), [63.971488647, 44.5], atol=1e-8)
    np.testing.assert_allclose(convert.astra_from_camera(camera), vector, atol=1e-9)


def test_astra_wants_twelve_numbers():
    with pytest.raises(InputError, match="12 numbers"):
        convert.camera_from_astra(np.zeros(13), 90, 121)


# ---- xreg and DeepFluoro ---------------------------------------------------------------------------------------------


def test_xreg_golden():
    # MakeNaiveIntrins(1020, 1536, 1536, 0.194, 0.194, z_is_neg): focal entries -1020 / 0.194, center (1536 - 1) / 2.
    intrinsic = [[-5257.731958762887, 0, 767.5], [0, -5257.731958762887, 767.5], [0, 0, 1]]
    camera = convert.camera_from_xreg(intrinsic, np.eye(4), 1536, 1536, (0.194, 0.194))
    # phys_pt_to_ind_pt of (10, -20, -700): 767.5 + 5257.731958762887 * (10, -20) / 700.
    np.testing.assert_allclose(camera.project([10.0, -20, -700]), [842.6104565537555, 617.279086892489])
    assert camera.is_mirrored
    assert camera.source_to_detector_mm == pytest.approx(1020)
    np.testing.assert_allclose(camera.view_direction_world, [0, 0, -1])
    view = convert.xreg_from_camera(camera)
    np.testing.assert_allclose(view.intrinsic, intrinsic)
    np.testing.assert_allclose(view.extrinsic, np.eye(4))


def test_xreg_frame_with_z_to_the_detector():
    intrinsic = [[5257.7, 0, 767.5], [0, 5257.7, 767.5], [0, 0, 1]]
    camera = convert.camera_from_xreg(intrinsic, np.eye(4), 1536, 1536, (0.194, 0.194))
    assert not camera.is_mirrored
    np.testing.assert_allclose(camera.project([10.0, -20, 700]), [767.5 + 5257.7 / 70, 767.5 - 5257.7 / 35])


def test_deepfluoro_pose_places_the_ct():
    camera = camera_at((30, 20, 10), True)
    view = convert.xreg_from_camera(camera)
    ct_from_world = CARM.camera(10, 20, 30, (100, 200, 300)).camera_from_world
    placed = convert.camera_from_xreg(view.intrinsic, view.extrinsic, 101, 128, camera.pixel_spacing_mm, ct_from_world)
    in_ct = MARKERS @ ct_from_world[:3, :3].T + ct_from_world[:3, 3]
    np.testing.assert_allclose(placed.project(in_ct), camera.project(MARKERS), atol=1e-8)


def test_xreg_refuses_two_signs():
    with pytest.raises(InputError, match="one sign"):
        convert.camera_from_xreg([[-5000, 0, 767.5], [0, 5000, 767.5], [0, 0, 1]], np.eye(4), 9, 9, (0.2, 0.2))


# ---- DeepDRR ---------------------------------------------------------------------------------------------------------


def test_deepdrr_golden():
    # killeengeo 0.0.5: CameraIntrinsicTransform.from_sizes((128, 96), 0.8, 1000) and CameraProjection of the extrinsic
    # below take the anatomical (RAS) point (10, 20, 30), placed by a quarter turn about z and (5, 6, 7), to the index
    # (34.322697, -4.7213984) in float32. DeepDRR's kernel samples pixel i at i + 0.5.
    extrinsic = [
        [0.66341394, -0.7350241, -0.14007685, 12.0],
        [0.5566704, 0.6099232, -0.564014, -7.0],
        [0.5, 0.29619813, 0.81379765, 600.0],
        [0, 0, 0, 1.0],
    ]
    placed = np.array([[0.0, -1, 0, 5], [1, 0, 0, 6], [0, 0, 1, 7], [0, 0, 0, 1]])
    intrinsic = np.array([[1250.0, 0, 64], [0, 1250, 48], [0, 0, 1]])
    camera = convert.camera_from_deepdrr(convert.DeepDrrView(intrinsic, np.array(extrinsic), 96, 128, 0.8), placed)
    np.testing.assert_allclose(camera.project([-10.0, -20, 30]), [33.822697, -5.2213984], atol=2e-5)
    lps = convert.camera_from_deepdrr(convert.DeepDrrView(intrinsic, np.array(extrinsic), 96, 128, 0.8), placed, "LPS")
    np.testing.assert_allclose(lps.project([10.0, 20, 30]), [33.822697, -5.2213984], atol=2e-5)


def test_deepdrr_refuses_unknown_frames():
    with pytest.raises(InputError, match="RAS or LPS"):
        convert.deepdrr_from_camera(camera_at((0, 0, 0), False, SQUARE), anatomical_frame="RAI")


# ---- DICOM -----------------------------------------------------------------------------------------------------------


def dicom_view(primary: float, secondary: float, mirrored: bool = False) -> convert.DicomView:
    return convert.DicomView(primary, secondary, 1000.0, 600.0, 512, 512, (0.3, 0.3), ISOCENTER, mirrored=mirrored)


@pytest.mark.parametrize(
    ("primary", "secondary", "detector_from_isocenter"),
    [
        (0.0, 0.0, [0, -400.0, 0]),  # in front of the patient
        (90.0, 0.0, [400.0, 0, 0]),  # at the patient's left (LAO)
        (-90.0, 0.0, [-400.0, 0, 0]),
        (0.0, 90.0, [0, 0, 400.0]),  # cranial
        (30.0, 20.0, [187.9385242, -325.5190728, 136.8080573]),  # 400 (sin 30 cos 20, -cos 30 cos 20, sin 20)
    ],
)
def test_dicom_angles_place_the_detector(primary, secondary, detector_from_isocenter):
    camera = convert.camera_from_dicom(dicom_view(primary, secondary))
    detector = camera.source_world + 1000 * camera.view_direction_world
    np.testing.assert_allclose(detector - ISOCENTER, detector_from_isocenter, atol=1e-6)
    np.testing.assert_allclose(camera.project(ISOCENTER), [255.5, 255.5])


def test_dicom_images_as_stored_show_the_patients_left_on_the_right():
    marker = ISOCENTER + np.array([30.0, 0, 0])  # to the patient's left
    as_seen = convert.camera_from_dicom(dicom_view(0, 0)).project(marker)
    stored = convert.camera_from_dicom(dicom_view(0, 0, mirrored=True)).project(marker)
    np.testing.assert_allclose(as_seen, [255.5 - 30 / 0.3 / 0.6, 255.5])
    np.testing.assert_allclose(stored, [255.5 + 30 / 0.3 / 0.6, 255.5])


# ---- Slicer and ITK --------------------------------------------------------------------------------------------------


def test_markups_by_hand():
    points = convert.points_from_markups(
        {
            "markups": [
                {"coordinateSystem": "RAS", "controlPoints": [{"label": "L3", "position": [1, 2, 3]}]},
                {
                    "coordinateSystem": "LPS",
                    "controlPoints": [
                        {"label": "L4", "position": [1, 2, 3]},
                        {"label": "gone", "position": [0, 0, 0], "positionStatus": "undefined"},
                    ],
                },
            ]
        }
    )
    assert list(points) == ["L3", "L4"]
    np.testing.assert_array_equal(points["L3"], [-1, -2, 3])
    np.testing.assert_array_equal(points["L4"], [1, 2, 3])
    back = convert.points_from_markups(convert.markups_from_points(points))
    np.testing.assert_array_equal([back[name] for name in points], list(points.values()))


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"markups": [{"coordinateSystem": "IJK", "controlPoints": [{"position": [0, 0, 0]}]}]},
        {"markups": [{"coordinateUnits": "m", "controlPoints": [{"position": [0, 0, 0]}]}]},
        {"markups": [{"controlPoints": []}]},
        {"markups": [{"controlPoints": [{"label": "a", "position": [0, 0, 0]}] * 2}]},
    ],
    ids=["none", "voxels", "meters", "empty", "twice"],
)
def test_markups_that_are_refused(content):
    with pytest.raises(InputError):
        convert.points_from_markups(content)


@pytest.mark.parametrize(
    ("kind", "count", "fixed"),
    [
        ("BSplineTransform_double_3_3", 12, [0, 0, 0]),
        ("AffineTransform_double_3_3", 11, [0, 0, 0]),
        ("Euler3DTransform_double_3_3", 6, [0, 0, 0, 1.0]),
        ("AffineTransform_double_3_3", 12, []),
    ],
)
def test_transforms_that_are_refused(kind, count, fixed):
    with pytest.raises(InputError):
        convert.transform_from_itk(kind, np.zeros(count), fixed)


# ---- Euler angles ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("second", [0.3, np.pi / 2, -np.pi / 2, np.pi / 2 - 1e-8, 0.0])
def test_zxy_angles_come_back_even_in_gimbal_lock(second):
    from drrkit.geometry.convert.euler import rotation_from_zxy, zxy_from_rotation

    rotation = rotation_from_zxy([0.7, second, -2.1])
    np.testing.assert_allclose(rotation_from_zxy(zxy_from_rotation(rotation)), rotation, atol=1e-8)


def test_zxy_by_hand():
    from drrkit.geometry.convert.euler import rotation_from_zxy

    # A quarter turn about z takes x to y; then y stays y under the turn about y, applied first.
    np.testing.assert_allclose(rotation_from_zxy([np.pi / 2, 0, np.pi / 2]) @ [0, 0, 1], [0, 1, 0], atol=1e-15)


def test_orientations_are_checked():
    view = convert.nanodrr_from_camera(camera_at((0, 0, 0), False))
    with pytest.raises(InputError, match="AP, PA or None"):
        convert.diffdrr_from_camera(camera_at((0, 0, 0), False), CENTER, "LAT")
    with pytest.raises(InputError, match="AP, PA or None"):
        convert.rt_inv_from_nanodrr_euler([0, 0, 0], [0, 0, 0], "LAT")
    with pytest.raises(InputError, match="handedness"):
        convert.nanodrr_euler_from_rt_inv(view.rt_inv, "PA")
