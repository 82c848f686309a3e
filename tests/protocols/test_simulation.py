"""The simulated session: what is written, what is true, and that both agree."""

from dataclasses import replace

import numpy as np
import pytest

from drrkit.errors import InputError
from drrkit.fluoroscopy.devices import MACHINES
from drrkit.fluoroscopy.machine import Collimator
from drrkit.geometry.camera import Camera
from drrkit.geometry.carm import angles_from_camera
from drrkit.geometry.viewsets import View
from drrkit.io.ct import read_volume
from drrkit.io.xray import read_xray, read_xray_header
from drrkit.phantom.phantom import make_phantom
from protocols.acquisition import check_acquisition, read_acquisition, read_exposure
from protocols.linearize import field_of_view
from protocols.simulation.balls import APART_MM, FROM_BONE_MM, place_balls, vertebral_centers
from protocols.simulation.faults import ANGLES_OFF_DEG, FAULTS, Take, parse_faults
from protocols.simulation.gantry import make_gantry, take_shots
from protocols.simulation.session import simulate_session
from protocols.simulation.settings import CARMS, Errors, MachineChanges, SessionSettings
from protocols.simulation.truth import read_truth

VIEWS = tuple(View(name, "misc", primary, 0.0) for name, primary in (("ap", 0.0), ("lat", 90.0), ("obl", 40.0)))
EXACT = Errors(
    angle_bias_deg=0, angle_noise_deg=0, roll_deg=0, isocenter_mm=0,
    specimen_turn_deg=0, wobble_mm=0, sag_px=0, sag_mm=0,
)  # fmt: skip


@pytest.fixture(scope="module")
def donor():
    return make_phantom(5, 2.5).volume


def simulated(donor, folder, device="flat-panel", faults=None, **wishes):
    settings = SessionSettings(device=device, size_px=160, ball_count=10, ball_diameter_mm=5.0, seed=4, **wishes)
    truth = simulate_session(
        folder.name, "donor-5", donor, donor, settings, folder, folder.parent / "truth.json", faults, views=VIEWS
    )
    return truth, read_acquisition(folder)


@pytest.fixture(scope="module")
def session(donor, tmp_path_factory):
    return simulated(donor, tmp_path_factory.mktemp("session") / "sim-a", faults={"obl": "mirrored"})


# ---- what is written -----------------------------------------------------------------------------------------------


def test_everything_says_that_it_is_simulated(session):
    _, acquisition = session
    assert acquisition.simulated
    assert "SIMULATED" in (acquisition.folder / "acquisition.yaml").read_text()
    for exposure in acquisition.exposures:
        content = exposure.path.read_bytes()
        assert b"SIMULATED" in content
        assert b"DERIVED" in content
    assert all(b"SIMULATED" in path.read_bytes() for path in acquisition.ct_path.glob("*.dcm"))
    assert '"simulated": true' in (acquisition.folder.parent / "truth.json").read_text()


def test_the_session_passes_the_labs_own_check(session):
    _, acquisition = session
    assert [finding for finding in check_acquisition(acquisition.folder) if finding.severity == "error"] == []


def test_the_handed_over_ct_has_the_balls_and_the_labels(session, donor):
    truth, acquisition = session
    volume = read_volume(acquisition.ct_path, acquisition.labels_path, acquisition.label_scheme)
    assert volume.levels == donor.levels
    for center in truth.balls_world.values():
        x, y, z = np.rint((volume.voxel_from_world @ [*center, 1])[:3]).astype(int)
        # At voxels of 2.5 mm a ball of 3 mm fills at most a part of its own.
        assert volume.hu[z - 1 : z + 2, y - 1 : y + 2, x - 1 : x + 2].max() > 1500


def test_linear_and_logarithmic_files_hold_the_same_image(donor, session, tmp_path):
    _, linear = session
    _, logarithmic = simulated(donor, tmp_path / "sim-a", relation="LOG", faults={"obl": "mirrored"})
    for first, second in zip(linear.exposures, logarithmic.exposures, strict=True):
        counts, restored = (read_exposure(*pair) for pair in ((linear, first), (logarithmic, second)))
        assert counts.domain == restored.domain == "intensity"
        scale = np.median(restored.pixels / np.maximum(counts.pixels, 1))
        assert np.abs(restored.pixels / scale - counts.pixels).max() < 0.003 * counts.pixels.max()


def test_the_same_seed_writes_the_same_bytes(donor, session, tmp_path):
    _, first = session
    _, second = simulated(donor, tmp_path / "sim-a", faults={"obl": "mirrored"})
    for one, other in zip(first.exposures, second.exposures, strict=True):
        assert one.path.read_bytes() == other.path.read_bytes()


# ---- what is true --------------------------------------------------------------------------------------------------


def test_balls_are_dark_where_the_truth_puts_them(session):
    truth, acquisition = session
    exposures = {exposure.exposure_id: exposure for exposure in acquisition.exposures}
    darker = []
    for shot in truth.exposures:
        image = read_exposure(acquisition, exposures[shot.exposure_id])
        height, width = image.pixels.shape
        for u, v in shot.balls_px.values():
            if not (6 < u < width - 7 and 6 < v < height - 7):
                continue
            row, column = round(v), round(u)
            around = image.pixels[row - 6 : row + 7, column - 6 : column + 7]
            darker.append(image.pixels[row, column] < np.quantile(around, 0.2))
    assert len(darker) > 15
    assert np.mean(darker) > 0.8


def test_true_cameras_are_those_of_the_stored_images(session):
    truth, acquisition = session
    exposures = {exposure.exposure_id: exposure for exposure in acquisition.exposures}
    for shot in truth.exposures:
        nominal = exposures[shot.exposure_id].nominal_camera
        swapped = shot.fault == "mirrored"
        assert shot.camera.is_mirrored != swapped
        # The header knows the view to some degrees, and nothing of the isocenter.
        true, told = (
            camera if camera.is_mirrored else camera.flipped_horizontally() for camera in (shot.camera, nominal)
        )
        assert np.degrees(np.arccos(true.view_direction_world @ told.view_direction_world)) < 25
        pixels = shot.camera.project(list(truth.vertebrae_world.values()))
        assert np.abs(pixels - np.array(list(shot.vertebrae_px.values()))).max() < 1e-6


def test_an_intensifier_bends_the_image_and_the_truth_knows_it(donor, tmp_path):
    truth, acquisition = simulated(donor, tmp_path / "sim-b", device="image-intensifier")
    bends = [
        np.abs(shot.camera.project(list(truth.vertebrae_world.values())) - list(shot.vertebrae_px.values())).max()
        for shot in truth.exposures
    ]
    assert max(bends) > 0.5
    corner = read_exposure(acquisition, acquisition.exposures[0]).pixels[:12, :12]
    assert corner.max() < 60  # the field is round


def test_an_exact_machine_stands_where_its_header_says(donor):
    rng = np.random.default_rng(1)
    carm = CARMS["flat-panel"].resized(100, 100)
    gantry = make_gantry(carm, np.array([1.0, 2.0, 3.0]), EXACT, rng)
    for shot in take_shots(gantry, VIEWS, rng):
        expected = carm.camera(shot.header_primary_deg, shot.header_secondary_deg, isocenter_world=(1.0, 2.0, 3.0))
        assert shot.camera.allclose(expected)


def test_errors_have_the_size_they_are_given():
    rng = np.random.default_rng(2)
    errors = Errors(angle_bias_deg=1.5, angle_noise_deg=0.7)
    views = [View(f"v{angle}", "misc", float(angle), 0.0) for angle in range(-90, 91, 5)]
    primary_off, focal = [], []
    for _ in range(40):
        exact_table = errors.model_copy(update={"specimen_turn_deg": 0.0})
        gantry = make_gantry(CARMS["flat-panel"], np.zeros(3), exact_table, rng)
        for shot in take_shots(gantry, views, rng):
            primary_off.append(angles_from_camera(shot.camera)[0] - shot.header_primary_deg)
            focal.append(shot.camera.source_to_detector_mm - CARMS["flat-panel"].source_to_detector_mm)
    assert 1.2 < np.std(primary_off) < 2.2  # sqrt(1.5^2 + 0.7^2) = 1.66, from forty draws of the bias
    assert 2.4 < np.std(focal) < 3.6


def test_truth_comes_back_from_its_file(session, tmp_path):
    truth, acquisition = session
    again = read_truth(acquisition.folder.parent / "truth.json")
    assert again.balls_world == truth.balls_world
    assert [shot.vertebrae_px for shot in again.exposures] == [shot.vertebrae_px for shot in truth.exposures]
    other = tmp_path / "other.json"
    other.write_text('{"convention": "something else"}')
    with pytest.raises(InputError, match="convention"):
        read_truth(other)


# ---- balls and faults ----------------------------------------------------------------------------------------------


def test_balls_lie_apart_in_soft_tissue_and_never_on_bone(donor):
    balls = place_balls(donor, 16, np.random.default_rng(3))
    apart = np.linalg.norm(balls[:, None] - balls, axis=-1)[np.triu_indices(16, 1)]
    assert apart.min() > APART_MM - 4
    voxels = np.rint(balls @ donor.voxel_from_world[:3, :3].T + donor.voxel_from_world[:3, 3]).astype(int)
    assert (np.abs(donor.hu[voxels[:, 2], voxels[:, 1], voxels[:, 0]]) < 250).all()
    bone = np.argwhere(donor.labels > 0)[:, ::-1] @ donor.world_from_voxel[:3, :3].T + donor.world_from_voxel[:3, 3]
    for ball in balls:
        assert np.linalg.norm(bone - ball, axis=1).min() > FROM_BONE_MM - 3.5  # to voxels of 2.5 mm
    assert (np.diff(balls[:, 2]) < 0).all()
    with pytest.raises(InputError, match="ball_count"):
        place_balls(donor, 4000, np.random.default_rng(3))


def test_the_middle_of_a_vertebra_is_inside_its_box(donor):
    for center in vertebral_centers(donor).values():
        assert np.abs(center - donor.center_world).max() < 150
    with pytest.raises(InputError, match="no labelled lumbar"):
        vertebral_centers(replace(donor, labels=None))


@pytest.fixture
def take():
    rng = np.random.default_rng(0)
    camera = CARMS["flat-panel"].resized(300, 300).camera(30.0, 5.0)
    return Take((30.0, 5.0), camera, rng.uniform(-50, 50, (20, 3)), np.zeros((0, 3)), np.zeros((0, 3)))


def test_every_fault_does_what_its_name_says(take):
    rng = np.random.default_rng(7)
    done = {name: fault(take, rng) for name, fault in FAULTS.items()}
    assert len(done["hidden-balls"].balls_world) == 14
    assert {tuple(ball) for ball in done["hidden-balls"].balls_world} < {tuple(ball) for ball in take.balls_world}
    merged = done["merged-balls"]
    gaps_px = np.linalg.norm(
        take.camera.project(merged.decoys_world)[:, None] - take.camera.project(take.balls_world), axis=-1
    ).min(axis=1)
    assert len(gaps_px) == 6
    assert (gaps_px < 8).all()
    assert len(done["false-balls"].decoys_world) == 10
    assert len(done["false-balls"].bubbles_world) == 5
    assert np.abs(np.subtract(done["angles-off"].header_deg, take.header_deg)) == pytest.approx(ANGLES_OFF_DEG)
    assert done["mirrored"].mirrored
    assert not done["other-specimen"].same_specimen
    assert np.hypot(*done["motion-blur"].motion_px) > 1.5
    assert done["saturated"].exposure_factor > 4
    assert set(done["instruments"].instruments) == {"k-wire", "pedicle-screw"}
    moved = done["half-out-of-field"].camera.project(take.balls_world)
    outside = ((moved < 0) | (moved > 299)).any(axis=1)
    assert 0.2 < outside.mean() <= 1
    assert isinstance(moved, np.ndarray)
    assert isinstance(done["half-out-of-field"].camera, Camera)


def test_bad_requests_are_refused(donor, tmp_path):
    with pytest.raises(InputError, match="no-such-fault"):
        parse_faults({"ap": "no-such-fault"})
    with pytest.raises(InputError, match="exposure nowhere"):
        simulated(donor, tmp_path / "sim-c", faults={"nowhere": "mirrored"})
    settings = SessionSettings(device="flat-panel", size_px=160, ball_count=10)
    with pytest.raises(InputError, match="truth inside"):
        simulate_session("s", "d", donor, donor, settings, tmp_path / "s", tmp_path / "s" / "t.json", views=VIEWS)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(InputError, match="files in it"):
        simulate_session("s", "d", donor, donor, settings, tmp_path / "full", tmp_path / "t.json", views=VIEWS)


def test_simpleitk_and_headers_agree_on_the_files(session):
    import SimpleITK as sitk

    _, acquisition = session
    for exposure in acquisition.exposures:
        image = sitk.ReadImage(str(exposure.path))
        header = read_xray_header(exposure.path)
        assert image.GetSize()[:2] == (header.width, header.height)
        assert header.burned_in_annotation == "NO"
        ours = read_xray(exposure.path)[0].pixels
        assert np.array_equal(sitk.GetArrayFromImage(image).reshape(ours.shape), ours)


def test_blades_darken_the_rim_and_the_file_says_where(donor, tmp_path):
    _, acquisition = simulated(donor, tmp_path / "sim-d", collimator_mm=200.0)
    for exposure in acquisition.exposures:
        left, top, right, bottom = (int(edge) for edge in exposure.collimator_px)
        pixels = read_exposure(acquisition, exposure).pixels
        assert (right - left + 1) * exposure.nominal_camera.pixel_spacing_mm[1] == pytest.approx(200.0, abs=4.0)
        inside = pixels[top + 4 : bottom - 3, left + 4 : right - 3]
        assert pixels[: top - 4].mean() < 0.5 * inside.mean()
        assert pixels[:, right + 5 :].mean() < 0.5 * inside.mean()
        field = field_of_view(read_exposure(acquisition, exposure), exposure.collimator_px)
        assert not field[:top].any()
        assert field[(top + bottom) // 2, (left + right) // 2]


# ---- another machine, another panel --------------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["flat-panel", "image-intensifier"])
def test_a_machine_without_changes_is_the_device_itself(device):
    plain = SessionSettings(device=device, size_px=200)
    assert plain.simulated_machine() is MACHINES[device]
    unchanged = SessionSettings(device=device, size_px=200, machine=MachineChanges())
    assert unchanged.simulated_machine() == MACHINES[device]
    assert plain.carm() == CARMS[device].resized(200, 200)


def test_every_change_of_the_machine_arrives_and_nothing_else():
    device = MACHINES["flat-panel"]
    changes = {
        "kvp": 95.0, "copper_mm": 0.3, "scatter_to_primary": 0.9, "blur_fwhm_mm": 0.6, "glare_fraction": 0.1,
        "electronic_noise_factor": 2.0, "bits": 14, "gain_factor": 0.5,
    }  # fmt: skip
    assert set(changes) == set(MachineChanges.model_fields)
    settings = SessionSettings(device="flat-panel", machine=MachineChanges(**changes), collimator_mm=200.0)
    assert settings.simulated_machine() == replace(
        device,
        technique=replace(device.technique, kvp=95.0, copper_mm=0.3),
        detector=replace(
            device.detector,
            blur_fwhm_mm=0.6,
            glare_fraction=0.1,
            electronic_noise_kev_mm2=2 * device.detector.electronic_noise_kev_mm2,
            bits=14,
            gain=device.detector.gain / 2,
        ),
        scatter_to_primary=0.9,
        collimator=Collimator("rectangle", (200.0, 200.0)),
    )
    with pytest.raises(InputError, match="kvp"):
        MachineChanges(kvp=1000.0).applied(device)


def test_another_panel_stands_in_the_same_gantry():
    own = SessionSettings(device="flat-panel", size_px=200).carm()
    large = SessionSettings(device="flat-panel", size_px=200, panel_mm=460.8).carm()
    assert large.pixel_spacing_mm == pytest.approx((2.304, 2.304))
    assert (large.height, large.width) == (200, 200)
    assert large.source_to_detector_mm == own.source_to_detector_mm
    assert large.source_to_isocenter_mm == own.source_to_isocenter_mm
    camera = large.camera(0.0, 0.0)
    assert camera.pixel_from_camera[:2, 2] == pytest.approx([99.5, 99.5])


def test_a_machine_without_changes_writes_the_same_bytes(donor, session, tmp_path):
    _, first = session
    _, second = simulated(donor, tmp_path / "sim-a", faults={"obl": "mirrored"}, machine=MachineChanges())
    for one, other in zip(first.exposures, second.exposures, strict=True):
        assert one.path.read_bytes() == other.path.read_bytes()


def test_no_truth_is_written_where_none_is_wanted(donor, tmp_path):
    settings = SessionSettings(device="flat-panel", size_px=128, ball_count=6, ball_diameter_mm=6.0)
    truth = simulate_session("sim-n", "d", donor, donor, settings, tmp_path / "sim-n", None, views=VIEWS[:1])
    assert len(truth.exposures) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["sim-n"]
    assert not list(tmp_path.rglob("*truth*"))
