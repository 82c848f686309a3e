"""A plan in a user's terms: what the C-arm shows, the nearest standard view, what is expected and what it costs."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from drrkit.errors import InputError
from reconstruction.judging.viewplan import VIEW_SET, views_for
from reconstruction.planning.budget import Budget, BudgetParameters, estimate_budget
from reconstruction.planning.expectation import Expectation
from reconstruction.planning.plan import Plan
from reconstruction.planning.reach import Pose, directions_world, standard_poses

CONVENTION = "drrkit-view-plan/1"
ESTIMATE = (
    "dose and time are estimates: water-equivalent elliptic trunk, no scatter; for choosing views, not for dosimetry"
)
_CSV_COLUMNS = (
    "rank", "shot", "primary_deg", "secondary_deg", "c_arm", "nearest_view", "nearest_off_deg", "dose_of_ap",
    "skin_mgy", "set_expected_f1", "set_sd", "set_dose_rel", "set_kap_gy_cm2", "set_seconds",
)  # fmt: skip


@dataclass(frozen=True)
class Shot:
    """One shot of a plan.

    Args:
        pose: Its angles.
        nearest_view: Id of the view of ``adapt-28`` that looks most alike.
        nearest_off_deg: How far off that is.
        dose_of_ap: Estimated kerma-area product over that of an AP.
        skin_mgy: Estimated incident air kerma in mGy.
    """

    pose: Pose
    nearest_view: str
    nearest_off_deg: float
    dose_of_ap: float
    skin_mgy: float


@dataclass(frozen=True)
class PricedPlan:
    """A plan with its shots in the order of the tour, and what it costs."""

    plan: Plan
    shots: tuple[Shot, ...]
    budget: Budget


def priced(plan: Plan, parameters: BudgetParameters) -> PricedPlan:
    """Estimate what a plan costs and name its shots.

    Raises:
        InputError: As :func:`reconstruction.planning.budget.estimate_budget`.
    """
    budget = estimate_budget(plan.poses, parameters)
    named = [nearest_view(pose) for pose in budget.shots]
    rows = zip(budget.shots, named, budget.shot_dose_rel, budget.skin_mgy, strict=True)
    return PricedPlan(plan, tuple(Shot(pose, *name, dose, skin) for pose, name, dose, skin in rows), budget)


def standard_plan(expectation: Expectation, shots: int) -> Plan:
    """Return AP, lateral and the next standard views as a plan to compare with, reachable or not.

    Raises:
        InputError: More shots than there are standard views, or than the model knows.
    """
    poses = standard_poses(VIEW_SET)
    chosen = tuple(poses[view] for view in views_for(shots))
    f1, sd = expectation.predict(directions_world(chosen)[None])
    return Plan(chosen, float(f1[0]), float(sd[0]))


def nearest_view(pose: Pose) -> tuple[str, float]:
    """Return the view of ``adapt-28`` that looks most nearly the same way, and the angle between in degrees."""
    standard = standard_poses(VIEW_SET)
    cosines = directions_world(list(standard.values())) @ directions_world([pose])[0]
    place = int(cosines.argmax())
    return list(standard)[place], float(np.degrees(np.arccos(np.clip(cosines[place], -1, 1))))


def plan_records(plans: Sequence[PricedPlan]) -> list[dict[str, Any]]:
    """Turn ranked plans into plain records, for JSON."""
    return [
        {
            "rank": rank,
            "expected_f1": round(priced_plan.plan.expected_f1, 4),
            "sd": round(priced_plan.plan.sd, 4),
            "dose_rel": round(priced_plan.budget.dose_rel, 3),
            "kap_gy_cm2": round(priced_plan.budget.kap_gy_cm2, 3),
            "travel_deg": round(priced_plan.budget.travel_deg, 1),
            "seconds": round(priced_plan.budget.seconds, 1),
            "poses": [_shot_record(shot) for shot in priced_plan.shots],
        }
        for rank, priced_plan in enumerate(plans, start=1)
    ]


def write_plans(path: Path, plans: Sequence[PricedPlan], about: Mapping[str, Any]) -> None:
    """Write ranked plans; JSON has all, CSV a row for each shot.

    JSON has the best plan's ``poses`` at the top as well, where :func:`reconstruction.planning.reach.read_poses` looks.

    Raises:
        InputError: Another suffix than ``.json`` or ``.csv``, or a file that cannot be written.
    """
    from drrkit.io.store import write_bytes, write_json  # it brings image files along, which printing needs not

    records = plan_records(plans)
    if check_suffix(path) == ".json":
        best = {"poses": records[0]["poses"]} if records else {}
        write_json(path, {"convention": CONVENTION, "estimate": ESTIMATE, **about, **best, "plans": records})
        return
    text = io.StringIO()
    writer = csv.DictWriter(text, _CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for record in records:
        of_set = {f"set_{name}": record[name] for name in ("expected_f1", "sd", "dose_rel", "kap_gy_cm2", "seconds")}
        for number, shot in enumerate(record["poses"], start=1):
            writer.writerow({"rank": record["rank"], "shot": number, **shot, **of_set})
    write_bytes(path, text.getvalue().encode())


def check_suffix(path: Path) -> str:
    """Return the suffix of a plan's file.

    Raises:
        InputError: It is neither ``.json`` nor ``.csv``.
    """
    suffix = path.suffix.lower()
    if suffix not in (".json", ".csv"):
        raise InputError(path, f"the suffix {path.suffix!r}", ".json or .csv")
    return suffix


def _shot_record(shot: Shot) -> dict[str, Any]:
    return {
        "primary_deg": shot.pose.primary_deg,
        "secondary_deg": shot.pose.secondary_deg,
        "c_arm": shot.pose.clinical_name,
        "nearest_view": shot.nearest_view,
        "nearest_off_deg": round(shot.nearest_off_deg, 1),
        "dose_of_ap": round(shot.dose_of_ap, 3),
        "skin_mgy": round(shot.skin_mgy, 3),
    }
