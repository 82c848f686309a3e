"""Stage ``render``: DRRs, masks and boxes of the cohort, and the overview pictures."""

from pathlib import Path
from typing import Literal

from drrkit.accounts import run_stage
from drrkit.dataset.plan import Settings, cohort_sources, make_plan
from drrkit.dataset.rig import ViewRig, carm_with_detector
from drrkit.dataset.run import render_dataset
from drrkit.figures import write_overview
from drrkit.geometry.presets import preset
from drrkit.geometry.viewsets import view_set
from drrkit.parameters import Parameters, read_parameters

COHORT = Path("data/cohort")
OUT = Path("data/render")
PICTURES = Path("results/render")


class Overview(Parameters):
    """One picture: some views of one CT."""

    name: str
    title: str
    ct_id: str
    views: tuple[str, ...]


class RenderParameters(Parameters):
    """What is rendered and from where; ``size_px`` reads the preset's whole detector out with so many pixels."""

    views: str
    carm: str
    size_px: tuple[int, int]
    tissue: Literal["bone", "vertebrae", "full"]
    bone_threshold_hu: float
    energy_kev: float
    backend: Literal["siddon", "joseph", "diffdrr", "nanodrr"]
    jitter_seed: int | None
    overviews: tuple[Overview, ...]


def main() -> None:
    """Write data/render and results/render."""
    parameters = read_parameters("render", RenderParameters)
    views = view_set(parameters.views)
    if parameters.jitter_seed is not None:
        views = views.jittered(parameters.jitter_seed)
    rig = ViewRig(views, carm_with_detector(preset(parameters.carm), parameters.size_px, None))
    settings = Settings(
        parameters.tissue, parameters.bone_threshold_hu, parameters.energy_kev, parameters.backend, device="cpu"
    )
    plan = make_plan(OUT, cohort_sources(COHORT), rig, settings)
    render_dataset(plan)
    for overview in parameters.overviews:
        image_ids = [f"{overview.ct_id}_{view}" for view in overview.views]
        write_overview(OUT, image_ids, PICTURES / f"{overview.name}.png", overview.title)


if __name__ == "__main__":
    run_stage("render", main)
