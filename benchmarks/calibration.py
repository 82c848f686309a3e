"""Measure calibration on simulated sessions whose truth it does not see.

    python benchmarks/calibration.py                     # 4 donors x 2 devices, 500 hard trials; about 40 minutes
    python benchmarks/calibration.py --donors 1 --trials 20 --every 4    # a first look

For each donor and device one session is simulated: the protocol's orbit, all sound, and beside it hard exposures, each
with one fault drawn at random. The sound ones are calibrated alone (accuracy, time), then all together (hard cases).
A camera is wrong if it puts the center of any lumbar vertebra on the image more than 2 mm off, in the patient, or if
another specimen was exposed. Prints tables and writes results/calibration/summary.json.
"""

import argparse
import itertools
import json
import multiprocessing
import os
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

WRONG_MM = 2.0
OUT = Path("results/calibration/summary.json")
FIRST_SEED = 901  # phantoms that no stage of the pipeline draws


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--donors", type=int, default=4)
    parser.add_argument("--devices", nargs="+", default=["flat-panel", "image-intensifier"])
    parser.add_argument("--trials", type=int, default=500, help="hard exposures, over all sessions")
    parser.add_argument("--every", type=int, default=1, help="keep each so-manieth view of the orbit")
    parser.add_argument("--size-px", type=int, default=512)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--work", type=Path, help="keep the simulated sessions here; none are simulated twice")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    work = options.work or Path(tempfile.mkdtemp(prefix="calibration-"))
    jobs = list(itertools.product(range(FIRST_SEED, FIRST_SEED + options.donors), options.devices))
    shares = np.full(len(jobs), options.trials // len(jobs))
    shares[: options.trials % len(jobs)] += 1
    os.environ["NUMBA_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // options.workers))
    context = multiprocessing.get_context("spawn")
    with context.Pool(options.workers, maxtasksperchild=1) as pool:
        arguments = [
            (donor, device, int(share), options.every, options.size_px, work)
            for (donor, device), share in zip(jobs, shares, strict=True)
        ]
        pool.starmap(simulate, arguments, chunksize=1)
    # Alone and with all processors, as a lab would run it.
    os.environ.pop("NUMBA_NUM_THREADS")
    with context.Pool(1, maxtasksperchild=1) as pool:
        measured = pool.starmap(measure, [(session_id(*job), work, job[0] == FIRST_SEED) for job in jobs], chunksize=1)
    sound = [row for session in measured for row in session["sound"]]
    hard = [row for session in measured for row in session["hard"]]
    print_sound(sound, measured)
    print_hard(hard)
    write_summary(sound, hard, measured, options)
    if options.work is None:
        shutil.rmtree(work)


def session_id(donor, device):
    return f"sim-{donor}-{device}"


def simulate(donor, device, hard_count, every, size_px, work):
    """Simulate one session, sound and hard exposures together."""
    from drrkit.geometry.viewsets import View, view_set
    from protocols.simulation.faults import FAULTS
    from protocols.simulation.session import simulate_phantom_session
    from protocols.simulation.settings import PhantomDonor, SessionSettings

    name = session_id(donor, device)
    if (work / f"{name}.json").exists():
        return
    shutil.rmtree(work / name, ignore_errors=True)
    rng = np.random.default_rng([donor, len(device)])
    views = list(view_set("orbit").views[::every])
    faults = {}
    for number in range(hard_count):
        fault = list(FAULTS)[rng.integers(len(FAULTS))]
        base = view_set("orbit").views[rng.integers(len(view_set("orbit").views))]
        view_id = f"hard-{number:03d}-{fault}"
        primary_deg = float(np.clip(base.primary_deg + rng.uniform(-1.5, 1.5), -179, 179))
        secondary_deg = base.secondary_deg + float(rng.uniform(-3, 3))
        views.append(View(view_id, "misc", round(primary_deg, 1), round(secondary_deg, 1)))
        faults[view_id] = fault
    settings = SessionSettings(
        device=device,
        size_px=size_px,
        seed=donor,
        relation="LOG" if donor % 2 else "LIN",
        instruments=("k-wire",) if donor % 4 == 3 else (),
    )
    donor_settings = PhantomDonor(seed=donor, population="shifted")
    simulate_phantom_session(
        name, donor_settings, settings, work / name, work / f"{name}.json", faults=faults, views=views
    )


def measure(name, work, pairs):
    """Calibrate one session twice, sound exposures alone and all together, and compare with the truth."""
    from protocols.acquisition import read_acquisition
    from protocols.calibration.run import calibrate_acquisition, find_balls, solve
    from protocols.calibration.settings import CalibrationSettings
    from protocols.pairing import PairSettings, make_pairs
    from protocols.simulation.truth import read_truth

    truth = read_truth(work / f"{name}.json")
    acquisition = read_acquisition(work / name)
    faults = {exposure.exposure_id: exposure.fault for exposure in truth.exposures}
    sound_ids = [name for name, fault in faults.items() if not fault]
    orbit_ids = [name for name in sound_ids if "cranial" not in name and "caudal" not in name]

    def only(chosen):
        return replace(acquisition, exposures=tuple(e for e in acquisition.exposures if e.exposure_id in chosen))

    settings = CalibrationSettings()
    calibrate_acquisition(only(orbit_ids[:8]), settings)  # compile
    orbit = only(orbit_ids)
    start = time.perf_counter()
    calibration = calibrate_acquisition(orbit, settings)
    calibrate_s, pair_s = time.perf_counter() - start, None
    if pairs:
        shutil.rmtree(work / f"{name}-pairs", ignore_errors=True)
        start = time.perf_counter()
        make_pairs(orbit, calibration, work / f"{name}-pairs", PairSettings(), {})
        pair_s = time.perf_counter() - start
        shutil.rmtree(work / f"{name}-pairs")
    balls, observations = find_balls(acquisition)
    alone = [observation for observation in observations if not faults[observation.exposure_id]]
    sound = compare(solve(acquisition, balls, alone, settings), truth, name)
    both = compare(solve(acquisition, balls, observations, settings), truth, name)
    paired = "" if pair_s is None else f", paired in {pair_s:.1f} s"
    print(f"{name}: {len(orbit_ids)} shots calibrated in {calibrate_s:.1f} s{paired}", flush=True)
    return {
        "name": name,
        "shots": len(orbit_ids),
        "calibrate_s": calibrate_s,
        "pair_s": pair_s,
        "sound": sound,
        "hard": [row for row in both if row["fault"]],
    }


def compare(calibration, truth, name):
    """Compare cameras with the truth at the centers of the lumbar vertebrae."""
    from drrkit.geometry import rigid
    from protocols.undistort import Distortion

    truths = {exposure.exposure_id: exposure for exposure in truth.exposures}
    centers = np.array(list(truth.vertebrae_world.values()))
    rows = []
    for found in calibration.exposures:
        true = truths[found.exposure_id]
        row = {
            "session": name,
            "exposure": found.exposure_id,
            "fault": true.fault,
            "status": found.status,
            "reason": found.reason,
            "in_plane_mm": [],
            "along_ray_mm": [],
            "rotation_deg": np.nan,
            "self_mm": found.target_error_mm,
            "wrong": True,
        }
        rows.append(row)
        if found.camera is None or true.camera is None:
            continue
        camera = found.camera
        pixels = camera.project(centers)
        if found.distortion is not None:
            pixels = Distortion.from_record(found.distortion).distorted_from_ideal(pixels)
        taken = np.array([true.vertebrae_px[level] for level in truth.vertebrae_world])
        seen = (taken > -0.5).all(axis=1) & (taken < [camera.width - 0.5, camera.height - 0.5]).all(axis=1)
        if not seen.any():
            seen[:] = True
        mm_per_px = camera.depth_mm(centers) / camera.pixel_from_camera[1, 1]
        row["in_plane_mm"] = (np.linalg.norm(pixels - taken, axis=1) * mm_per_px)[seen].tolist()
        row["along_ray_mm"] = np.abs(camera.depth_mm(centers) - true.camera.depth_mm(centers))[seen].tolist()
        row["rotation_deg"] = rigid.geodesic_error(camera.camera_from_world, true.camera.camera_from_world)[0]
        row["wrong"] = not max(row["in_plane_mm"]) < WRONG_MM
    return rows


def trusted(rows):
    return [row for row in rows if row["status"] != "fail"]


def spread(values):
    values = np.array(values, float)
    return float(np.median(values)), float(np.quantile(values, 0.95))


def print_sound(rows, measured):
    print("\nSound exposures, each session calibrated alone (SIMULATED)")
    print(f"{'session':32} {'shots':>5} {'pass':>5} {'warn':>5} {'fail':>5} {'in-plane mm':>16} {'along ray mm':>16} "
          f"{'rotation deg':>16} {'calibrate s':>11} {'pair s':>7}")  # fmt: skip
    for session in [*measured, None]:
        chosen = rows if session is None else session["sound"]
        good = trusted(chosen)
        columns = [
            spread(list(itertools.chain(*(row[kind] for row in good)))) for kind in ("in_plane_mm", "along_ray_mm")
        ]
        columns.append(spread([row["rotation_deg"] for row in good]))
        counts = [sum(row["status"] == status for row in chosen) for status in ("pass", "warn", "fail")]
        label = "all" if session is None else session["name"]
        seconds = "" if session is None else f"{session['calibrate_s']:11.1f} {session['pair_s'] or 0:7.1f}"
        text = " ".join(f"{f'{median:.3f} / {high:.3f}':>16}" for median, high in columns)
        print(f"{label:32} {len(chosen):5d} {counts[0]:5d} {counts[1]:5d} {counts[2]:5d} {text} {seconds}")
    print("(median / 95th percentile, over vertebral centers on the image)")
    for row in rows:
        if row["status"] == "fail" or row["wrong"]:
            print(f"  {row['session']} {row['exposure']}: {row['status']}, {row['reason']}")


def print_hard(rows):
    print(f"\nHard exposures among sound ones: {len(rows)} trials (SIMULATED)")
    print(f"{'fault':20} {'trials':>6} {'pass':>5} {'warn':>5} {'refused':>8} {'wrong pass':>11} {'wrong warn':>11}")
    for fault in [*sorted({row["fault"] for row in rows}), "all"]:
        chosen = [row for row in rows if fault in (row["fault"], "all")]
        counts = [
            sum(row["status"] == "pass" and not row["wrong"] for row in chosen),
            sum(row["status"] == "warn" and not row["wrong"] for row in chosen),
            sum(row["status"] == "fail" for row in chosen),
            sum(row["status"] == "pass" and row["wrong"] for row in chosen),
            sum(row["status"] == "warn" and row["wrong"] for row in chosen),
        ]
        print(
            f"{fault:20} {len(chosen):6d} {counts[0]:5d} {counts[1]:5d} {counts[2]:8d} {counts[3]:11d} {counts[4]:11d}"
        )
    for row in rows:
        if row["wrong"] and row["status"] != "fail":
            off = f"{max(row['in_plane_mm']):.2f} mm off" if row["in_plane_mm"] else "another specimen"
            print(f"  WRONG {row['status']}: {row['session']} {row['exposure']}, {off}; {row['reason']}")


def write_summary(sound, hard, measured, options):
    good = trusted(sound)
    in_plane, along, rotation = (
        spread(list(itertools.chain(*(row["in_plane_mm"] for row in good)))),
        spread(list(itertools.chain(*(row["along_ray_mm"] for row in good)))),
        spread([row["rotation_deg"] for row in good]),
    )
    summary = {
        "simulated": True,
        "donors": options.donors,
        "devices": options.devices,
        "size_px": options.size_px,
        "sound_exposures": len(sound),
        "target_error_median_mm": round(in_plane[0], 4),
        "target_error_p95_mm": round(in_plane[1], 4),
        "along_ray_median_mm": round(along[0], 4),
        "along_ray_p95_mm": round(along[1], 4),
        "rotation_median_deg": round(rotation[0], 4),
        "calibrated_fraction": round(sum(not row["wrong"] for row in good) / len(sound), 4),
        "wrong_passes": sum(row["status"] == "pass" and row["wrong"] for row in hard),
        "trials": len(hard),
        "hard_right_fraction": round(
            sum(row["status"] != "fail" and not row["wrong"] for row in hard) / max(1, len(hard)), 4
        ),
        "shots_per_session": measured[0]["shots"],
        "seconds_per_session": round(max(session["calibrate_s"] for session in measured), 1),
        "pair_seconds_per_session": round(max(session["pair_s"] or 0 for session in measured), 1),
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(summary, indent=1) + "\n")
    print(f"\n{json.dumps(summary, indent=1)}\nwritten to {options.out}")


if __name__ == "__main__":
    main()
