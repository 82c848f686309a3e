import errno
import gc
import os
import weakref
from dataclasses import replace

import numpy as np
import pytest

from drrkit.dataset import run
from drrkit.dataset.plan import make_plan
from drrkit.dataset.run import render_dataset
from drrkit.errors import InputError
from drrkit.io.manifest import JOURNAL_NAME, read_manifest, write_manifest
from drrkit.io.store import LOCK_NAME, read_cameras, read_image, read_mask, write_image
from drrkit.projection.renderer import render
from toys import SETTINGS, toy_volume, view_rig, write_toy

VIEWS = [("ap", 0, 0), ("lat", 90, 0), ("obl", 40, 10)]


@pytest.fixture
def source(tmp_path):
    return write_toy(tmp_path / "in", "")


def reasons(plan):
    return [item.reason for item in plan.items]


def snapshot(folder):
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != LOCK_NAME)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_a_dataset_is_what_the_contract_says(tmp_path, source):
    out = tmp_path / "out"
    rig = view_rig(*VIEWS)
    render_dataset(make_plan(out, [source], rig, SETTINGS))
    assert sorted(snapshot(out)) == sorted(
        ["cameras.json", "manifest.csv"]
        + [f"images/{view}.tif" for view, _, _ in VIEWS]
        + [f"masks/{view}_{level}.png" for view, _, _ in VIEWS for level in ("L1", "L2")]
    )
    rows, cameras = read_manifest(out), read_cameras(out / "cameras.json")
    assert list(rows) == list(cameras) == ["ap", "lat", "obl"]
    volume = toy_volume()
    middle = (volume.level_centroid_world("L1") + volume.level_centroid_world("L2")) / 2
    for view, camera in cameras.items():
        assert np.allclose(camera.project(middle), [9.5, 11.5])
        image = render(volume, camera, tissue="bone", bone_threshold_hu=150.0, energy_kev=60.0, backend="siddon")
        assert np.array_equal(read_image(out / rows[view].image), image.pixels)
        for level, box in rows[view].boxes.items():
            mask = read_mask(out / rows[view].mask_path(level))
            ys, xs = np.nonzero(mask)
            assert box == (xs.min(), ys.min(), xs.max(), ys.max())
            assert rows[view].visibility[level] == 1.0
    # Head up: L1 stands above L2 in every view.
    assert all(row.boxes["L1"][1] < row.boxes["L2"][1] for row in rows.values())


def test_a_second_run_renders_nothing(tmp_path, source):
    out = tmp_path / "out"
    plan = make_plan(out, [source], view_rig(*VIEWS), SETTINGS)
    assert reasons(plan) == ["new"] * 3
    render_dataset(plan)
    before = snapshot(out)
    again = make_plan(out, [source], view_rig(*VIEWS), SETTINGS, verify=True)
    assert reasons(again) == [""] * 3
    render_dataset(again)
    assert snapshot(out) == before


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("view", ["", "the view changed", ""]),
        ("ct", ["the CT changed"] * 3),
        ("labels", ["the labels changed"] * 3),
        ("tissue", ["another tissue"] * 3),
        ("threshold", ["another bone threshold"] * 3),
        ("backend", ["another backend"] * 3),
        ("image gone", ["a file is missing", "", ""]),
        ("mask gone", ["", "", "a file is missing"]),
        ("image altered", ["", "a file was altered", ""]),
    ],
)
def test_only_what_changed_is_rendered_and_the_reason_is_told(tmp_path, source, change, expected):
    out, rig, settings = tmp_path / "out", view_rig(*VIEWS), SETTINGS
    render_dataset(make_plan(out, [source], rig, settings))
    if change == "view":
        rig = view_rig(VIEWS[0], ("lat", 91, 0), VIEWS[2])
    elif change == "ct":
        write_toy(tmp_path / "in", "", bone_hu=800)
    elif change == "labels":
        source = replace(source, labels_path=None, label_scheme=None)
    elif change == "tissue":
        settings = replace(settings, tissue="full")
    elif change == "threshold":
        settings = replace(settings, bone_threshold_hu=200.0)
    elif change == "backend":
        settings = replace(settings, backend="joseph")
    elif change == "image gone":
        (out / "images/ap.tif").unlink()
    elif change == "mask gone":
        (out / "masks/obl_L2.png").unlink()
    else:
        write_image(out / "images/lat.tif", np.zeros((24, 20), np.float32))
    plan = make_plan(out, [source], rig, settings, verify=True)
    assert reasons(plan) == expected
    render_dataset(plan)
    assert reasons(make_plan(out, [source], rig, settings, verify=True)) == [""] * 3
    fresh = tmp_path / "fresh"
    render_dataset(make_plan(fresh, [source], rig, settings))
    assert snapshot(out) == snapshot(fresh)


def test_files_of_views_that_are_gone_are_pruned_and_foreign_files_stay(tmp_path, source):
    out = tmp_path / "out"
    render_dataset(make_plan(out, [source], view_rig(*VIEWS), SETTINGS))
    (out / "images" / "mine.txt").write_text("keep me")
    plan = make_plan(out, [source], view_rig(VIEWS[0]), SETTINGS)
    assert sorted(plan.stale_files) == sorted(
        f"{folder}/{view}{end}"
        for view in ("lat", "obl")
        for folder, end in (("images", ".tif"), ("masks", "_L1.png"), ("masks", "_L2.png"))
    )
    render_dataset(plan)
    assert sorted(path.name for path in (out / "images").iterdir()) == ["ap.tif", "mine.txt"]
    assert list(read_cameras(out / "cameras.json")) == ["ap"]


def test_a_killed_run_goes_on_where_it_was(tmp_path, source, monkeypatch):
    out, rig = tmp_path / "out", view_rig(*[(f"v{number}", 5.0 * number, 0) for number in range(7)])
    rendered = []

    def write_then_die(path, pixels):
        if len(rendered) == 5:
            raise KeyboardInterrupt
        rendered.append(path.name)
        return write_image(path, pixels)

    monkeypatch.setattr(run, "write_image", write_then_die)
    with pytest.raises(KeyboardInterrupt):
        render_dataset(make_plan(out, [source], rig, SETTINGS), batch_size=2)
    assert not (out / "manifest.csv").exists()
    # A kill can also cut the journal's last line in two.
    with (out / JOURNAL_NAME).open("a") as stream:
        stream.write('{"row": {"id": "v4", "ct')
    monkeypatch.setattr(run, "write_image", write_image)
    plan = make_plan(out, [source], rig, SETTINGS)
    assert [item.image_id for item in plan.pending] == ["v4", "v5", "v6"]
    render_dataset(plan)
    fresh = tmp_path / "fresh"
    render_dataset(make_plan(fresh, [source], rig, SETTINGS))
    assert snapshot(out) == snapshot(fresh)


def test_a_full_disk_is_told_and_what_was_written_is_kept(tmp_path, source, monkeypatch):
    out, rig = tmp_path / "out", view_rig(*VIEWS)
    room = [5]  # files that still fit: one image, two masks, one image, one mask

    def write_bytes(path, content):
        if not room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        room[0] -= 1
        with path.open("wb") as stream:
            return stream.write(content)

    with monkeypatch.context() as patched:
        patched.setattr("pathlib.Path.write_bytes", write_bytes)
        with pytest.raises(InputError, match="no space left on the disk"):
            render_dataset(make_plan(out, [source], rig, SETTINGS), batch_size=1)
    assert not [name for name in snapshot(out) if "partial" in name]
    assert [item.image_id for item in make_plan(out, [source], rig, SETTINGS).pending] == ["lat", "obl"]


def test_one_ct_and_one_batch_in_memory(tmp_path, monkeypatch):
    sources = [write_toy(tmp_path / "in", f"ct{number}") for number in range(4)]
    alive, most, batches = weakref.WeakSet(), [], []
    read_volume = run.read_volume

    def read_and_watch(*paths):
        gc.collect()
        most.append(len(alive))
        volume = read_volume(*paths)
        alive.add(volume)
        return volume

    from drrkit.projection import renderer

    project = renderer.project

    def project_and_watch(prepared, cameras, **options):
        batches.append(len(cameras))
        return project(prepared, cameras, **options)

    monkeypatch.setattr(run, "read_volume", read_and_watch)
    monkeypatch.setattr(renderer, "project", project_and_watch)
    rig = view_rig(*[(f"v{number}", 5.0 * number, 0) for number in range(20)])
    render_dataset(make_plan(tmp_path / "out", sources, rig, SETTINGS))
    assert most == [0, 0, 0, 0]
    assert sum(batches) == 80
    assert max(batches) <= run.BATCH_SIZE


def test_workers_make_the_same_dataset(tmp_path):
    sources = [write_toy(tmp_path / "in", f"ct{number}", 500 + 100 * number) for number in range(3)]
    counts = []
    for workers in (1, 2):
        plan = make_plan(tmp_path / f"out{workers}", sources, view_rig(*VIEWS), SETTINGS)
        render_dataset(plan, workers, counts.append)
    assert sum(counts) == 18
    assert snapshot(tmp_path / "out1") == snapshot(tmp_path / "out2")


def test_a_worker_that_fails_stops_the_run_with_its_reason(tmp_path):
    sources = [write_toy(tmp_path / "in", f"ct{number}") for number in range(3)]
    sources[1].ct_path.write_bytes(b"no CT")
    with pytest.raises(InputError, match=r"ct1ct\.nii"):
        render_dataset(make_plan(tmp_path / "out", sources, view_rig(*VIEWS), SETTINGS), workers=2)
    assert not (tmp_path / "out" / "manifest.csv").exists()


def test_levels_outside_the_image_have_no_mask(tmp_path, source):
    rig = replace(
        view_rig(("ap", 0, 0)), isocenter=tuple(toy_volume().level_centroid_world("L1") + np.array([0, 0, 40]))
    )
    out = tmp_path / "out"
    render_dataset(make_plan(out, [source], rig, SETTINGS))
    row = read_manifest(out)["ap"]
    assert row.boxes["L2"] is None
    assert row.visibility["L2"] == 0.0
    assert list(row.masks_sha256) == ["L1"]
    assert 0 < row.visibility["L1"] < 1


def test_plans_refuse_what_they_cannot_do(tmp_path, source):
    rig = view_rig(*VIEWS)
    with pytest.raises(InputError, match="no CT"):
        make_plan(tmp_path / "out", [], rig, SETTINGS)
    with pytest.raises(InputError, match="ap twice"):
        make_plan(tmp_path / "out", [source, source], rig, SETTINGS)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="a file; wanted a folder"):
        make_plan(tmp_path / "file", [source], rig, SETTINGS)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "cameras.json").write_text("{}")
    with pytest.raises(InputError, match="no manifest beside it"):
        make_plan(foreign, [source], rig, SETTINGS)
    write_manifest(foreign, [])
