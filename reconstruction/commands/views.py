"""``drrkit views``: which shots to take."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from reconstruction.planning.budget import BudgetParameters
    from reconstruction.planning.expectation import Expectation
    from reconstruction.planning.reach import Pose
    from reconstruction.planning.report import PricedPlan

_reach = "What the C-arm reaches"
_choice = "How the shots are chosen"
_estimate = "Estimate of dose and time"
_result = "Result"

views = typer.Typer(help="Choose the shots of a C-arm.", no_args_is_help=True)


@views.callback()
def group() -> None:
    """Choose the shots of a C-arm."""


@views.command("plan")
def plan(
    shots: Annotated[int, typer.Option(min=1, max=12, help="How many shots.", metavar="N")] = 3,
    primary_range: Annotated[
        tuple[float, float] | None,
        typer.Option(help="Primary angles in degrees; positive is LAO.", metavar="LOW HIGH", rich_help_panel=_reach),
    ] = None,
    secondary_range: Annotated[
        tuple[float, float] | None,
        typer.Option(
            help="Secondary angles in degrees; positive is cranial.", metavar="LOW HIGH", rich_help_panel=_reach
        ),
    ] = None,
    step_deg: Annotated[
        float, typer.Option(help="Grid of angles in degrees.", metavar="DEG", rich_help_panel=_reach)
    ] = 5.0,
    poses: Annotated[
        Path | None,
        typer.Option(
            help="CSV or JSON of poses (primary_deg, secondary_deg), instead of ranges.",
            metavar="FILE",
            rich_help_panel=_reach,
        ),
    ] = None,
    forbid: Annotated[
        list[str] | None,
        typer.Option(
            help="Sector to leave out, in degrees: lowest and highest primary, then secondary angle, as 60:80,-25:0;"
            " may be given several times.",
            metavar="P:P,S:S",
            rich_help_panel=_reach,
        ),
    ] = None,
    model_file: Annotated[
        Path, typer.Option(help="Fitted model of expected F1.", metavar="FILE", rich_help_panel=_choice)
    ] = Path("results/study/view_expectation.json"),
    min_angle_deg: Annotated[
        float,
        typer.Option(help="Between any two lines of sight, in degrees.", metavar="DEG", rich_help_panel=_choice),
    ] = 15.0,
    dose_price: Annotated[
        float,
        typer.Option(
            min=0,
            help="F1 that the dose of one AP + lateral is worth; 0 takes the best F1 at any dose.",
            metavar="F1",
            rich_help_panel=_choice,
        ),
    ] = 0.001,
    caution: Annotated[
        float,
        typer.Option(
            min=0,
            help="Standard deviations of the model's own uncertainty to take off: the best of many sets is flattered.",
            metavar="N",
            rich_help_panel=_choice,
        ),
    ] = 1.0,
    alternatives: Annotated[
        int, typer.Option(min=0, max=50, help="Further sets to rank.", metavar="N", rich_help_panel=_choice)
    ] = 2,
    carm: Annotated[
        str, typer.Option(help="C-arm preset: distances and size of the detector.", rich_help_panel=_estimate)
    ] = "siemens-cios-spin",
    kvp: Annotated[float, typer.Option(help="Tube voltage in kV.", metavar="KV", rich_help_panel=_estimate)] = 80.0,
    filtration: Annotated[
        tuple[float, float],
        typer.Option(help="Filters in mm: all aluminum, further copper.", metavar="AL CU", rich_help_panel=_estimate),
    ] = (3.0, 0.1),
    detector_dose: Annotated[
        float,
        typer.Option(help="Air kerma at the detector in microgray a shot.", metavar="UGY", rich_help_panel=_estimate),
    ] = 1.0,
    trunk: Annotated[
        tuple[float, float],
        typer.Option(help="Width and depth of the patient in mm.", metavar="W D", rich_help_panel=_estimate),
    ] = (340.0, 220.0),
    spine_depth: Annotated[
        float,
        typer.Option(help="How far the spine lies behind the middle, in mm.", metavar="MM", rich_help_panel=_estimate),
    ] = 30.0,
    arm_speed: Annotated[
        float, typer.Option(help="Degrees a second, one axis at a time.", metavar="DEG/S", rich_help_panel=_estimate)
    ] = 10.0,
    shot_seconds: Annotated[
        float, typer.Option(min=0, help="Seconds a shot, standing.", metavar="S", rich_help_panel=_estimate)
    ] = 5.0,
    out: Annotated[
        Path | None,
        typer.Option(help="Write the plans, as .json or .csv.", metavar="FILE", rich_help_panel=_result),
    ] = None,
    views_out: Annotated[
        Path | None,
        typer.Option(
            help="Write the best plan as JSON for drrkit render --views.", metavar="FILE", rich_help_panel=_result
        ),
    ] = None,
) -> None:
    """Find the shots with the best expected result among those that a C-arm reaches.

    Expected is the union F1 of L1 to L5, by a model of reconstructions of validation donors.
    +- is one standard deviation for a new donor. Dose and time are estimates.
    """
    from drrkit.errors import InputError
    from reconstruction.planning.budget import estimate_budget
    from reconstruction.planning.expectation import read_expectation
    from reconstruction.planning.plan import plan_views
    from reconstruction.planning.reach import pose_record
    from reconstruction.planning.report import check_suffix, priced, standard_plan, write_plans

    if out is not None:
        check_suffix(out)
    if views_out is not None and views_out.suffix.lower() != ".json":
        raise InputError("--views-out", views_out, "a .json file")
    expectation = read_expectation(model_file)
    settings = _checked(
        carm=carm,
        kvp=kvp,
        aluminum_mm=filtration[0],
        copper_mm=filtration[1],
        detector_kerma_ugy=detector_dose,
        trunk_width_mm=trunk[0],
        trunk_depth_mm=trunk[1],
        spine_behind_middle_mm=spine_depth,
        arm_speed_deg_s=arm_speed,
        shot_s=shot_seconds,
    )
    reached = _reached(poses, primary_range, secondary_range, step_deg, forbid or [])
    usable = [pose for pose, good in zip(reached, expectation.trusted(reached), strict=True) if good]
    prices = [dose_price * estimate_budget([pose], settings).dose_rel for pose in usable]
    found = plan_views(expectation, usable, shots, min_angle_deg, prices, alternatives, caution=caution)
    plans = [priced(one, settings) for one in found]
    standard = priced(standard_plan(expectation, shots), settings)
    _show(plans, standard, expectation, len(reached), len(reached) - len(usable))
    if out is not None:
        about = {
            "model_file": str(model_file),
            "reach": {"poses": len(reached), "unlike_any_scored_view": len(reached) - len(usable)},
            "settings": {
                "min_angle_deg": min_angle_deg,
                "dose_price": dose_price,
                "caution": caution,
                **settings.model_dump(),
            },
        }
        write_plans(out, plans, about)
    if views_out is not None:
        from drrkit.io.store import write_json

        write_json(views_out, [pose_record(shot.pose) for shot in plans[0].shots])


def _reached(
    poses: Path | None,
    primary_range: tuple[float, float] | None,
    secondary_range: tuple[float, float] | None,
    step_deg: float,
    forbid: list[str],
) -> "tuple[Pose, ...]":
    from drrkit.errors import InputError
    from reconstruction.planning.reach import allowed, parse_sector, reachable_poses, read_poses

    sectors = [parse_sector(text) for text in forbid]
    ranges = primary_range is not None, secondary_range is not None
    if poses is not None and not any(ranges):
        return allowed(read_poses(poses), sectors)
    if poses is not None or primary_range is None or secondary_range is None:
        raise InputError("reach", "neither of the two ways", "--primary-range and --secondary-range, or --poses")
    return reachable_poses(primary_range, secondary_range, step_deg, sectors)


def _checked(**values: Any) -> "BudgetParameters":
    from pydantic import ValidationError

    from drrkit.errors import InputError
    from reconstruction.planning.budget import BudgetParameters

    try:
        return BudgetParameters(**values)
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"estimate, {first['loc'][0]}", first["input"], first["msg"]) from error


def _show(
    plans: "list[PricedPlan]", standard: "PricedPlan", expectation: "Expectation", reached: int, unlike: int
) -> None:
    from rich.console import Console
    from rich.table import Table

    from reconstruction.planning.report import ESTIMATE

    table = Table(show_lines=True, padding=(0, 0, 0, 1))
    table.add_column("")
    table.add_column("shots", no_wrap=True)
    table.add_column("nearest standard\nview +deg off", overflow="fold")
    for name in ("skin\nmGy", "expected\nF1", "dose /\nAP+lat", "s"):
        table.add_column(name, justify="right", no_wrap=True)
    for title, plan in [*((str(rank), plan) for rank, plan in enumerate(plans, start=1)), ("std", standard)]:
        table.add_row(
            title,
            "\n".join(shot.pose.clinical_name for shot in plan.shots),
            "\n".join(_view_words(shot.nearest_view, shot.nearest_off_deg) for shot in plan.shots),
            "\n".join(f"{shot.skin_mgy:.1f}" for shot in plan.shots),
            f"{plan.plan.expected_f1:.3f}\n+- {plan.plan.sd:.3f}",
            f"{plan.budget.dose_rel:.2f}",
            f"{plan.budget.seconds:.0f}",
        )
    Console(highlight=False).print(table)
    notes = Console(highlight=False, soft_wrap=True, stderr=True)
    kind, donors = expectation.about.get("kind", "?"), expectation.about.get("donors", ())
    simulated = "SIMULATED " if expectation.about.get("simulated") else ""
    left_out = f", {unlike} of them unlike any view that was scored" if unlike else ""
    notes.print(f"{reached} poses reached{left_out}; std: AP, lateral and the next standard views", markup=False)
    notes.print(f"F1 expected from {kind} images of {len(donors)} {simulated}validation donors", markup=False)
    notes.print(ESTIMATE, markup=False)


def _view_words(name: str, off_deg: float) -> str:
    return name if off_deg < 0.5 else f"{name} {off_deg:+.0f}"
