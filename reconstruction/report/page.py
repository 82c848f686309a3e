"""The page: contents and figures poured into the template; plotly and everything else stand in the file itself.

Its content security policy lets nothing in or out. Nothing in it tells when or where it was made, so that the same
inputs give the same bytes.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from drrkit.io.store import write_bytes, write_json
from reconstruction.report.charts import (
    METRICS,
    angle_map_chart,
    calibration_chart,
    camera_chart,
    donors_chart,
    ladder_chart,
    origin_chart,
    sets_chart,
    views_chart,
)
from reconstruction.report.contents import Contents, read_contents
from reconstruction.report.drawings import Drawing, words
from reconstruction.report.scenes import mean_vertebra_scene, mesh_scene
from reconstruction.report.settings import CEILING, LEVELS, RUNGS, SOURCE, Places, ReportParameters
from reconstruction.report.studies import SETS
from reconstruction.report.summary import summary_of

_TEMPLATES = Path(__file__).parent / "templates"
_TEMPLATE = "report.html.j2"
# A closing tag within a string of a script would end it.
_END = "</script"
_STUDY_CHARTS: Mapping[str, Callable[[pd.DataFrame], Drawing]] = {
    "number_of_views": views_chart,
    "view_sets": sets_chart,
    "camera_noise": camera_chart,
    "origin_error": origin_chart,
}


def write_report(places: Places, parameters: ReportParameters, out_html: Path, out_summary: Path) -> None:
    """Read what the stages wrote, and write the page and the summary.

    Raises:
        InputError: Anything that is missing or unusable, or a path that cannot be written.
    """
    contents = read_contents(places, parameters)
    write_bytes(out_html, render_page(contents, parameters).encode())
    write_json(out_summary, summary_of(contents))


def render_page(contents: Contents, parameters: ReportParameters) -> str:
    """Return the page as HTML."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(number=_number, words=words, percent=_percent, megabytes=_megabytes, minutes=_minutes)
    return environment.get_template(_TEMPLATE).render(
        contents=contents,
        parameters=parameters,
        ladder=contents.ladder,
        studies=contents.studies,
        provenance=contents.provenance,
        drawings=_drawings(contents, parameters),
        plotly=Markup(get_plotlyjs().replace(_END, "<\\/script")),
        rung_words={rung: text.format(xrays=contents.ladder.xrays) for rung, text in RUNGS.items()},
        source=SOURCE,
        ceiling=CEILING,
        levels=LEVELS,
        metrics=METRICS,
        worst_regions=worst_regions(contents.studies.regions),
        median=median,
        words_of_sets=words_of_sets,
    )


def worst_regions(table: pd.DataFrame) -> pd.DataFrame:
    """Average surface errors over levels, a row for each kind of image and region, the worst region first."""
    numbers = ["mean_abs_mm", "p95_mm", "mean_signed_mm"]
    means = table.groupby(["images", "region"], sort=False)[numbers].mean().reset_index()
    return means.sort_values(["images", "mean_abs_mm"], ascending=[True, False], kind="stable")


def _drawings(contents: Contents, parameters: ReportParameters) -> dict[str, Drawing]:
    drawings = [
        ladder_chart(contents.ladder),
        *(_STUDY_CHARTS[name](table) for name, table in contents.studies.lines.items()),
        donors_chart(contents.studies.paired_donors),
        mean_vertebra_scene(contents.mean_vertebra),
        calibration_chart(contents.qualities),
        mesh_scene(contents.meshes, parameters.error_limit_mm),
    ]
    if contents.studies.maps:
        drawings.append(angle_map_chart(contents.studies.maps, contents.map_bases))
    return {drawing.name: drawing for drawing in drawings}


def words_of_sets(views: str) -> str:
    """Return the views of a set with commas, or how many sets a row stands for."""
    sets = views.split(SETS)
    return views.replace("+", ", ") if len(sets) == 1 else f"mean of {len(sets)} sets"


def _number(value: object, digits: int = 3) -> str:
    """Write numbers with a fixed number of digits, text as it is, and nothing where there is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if value != value:
        return "–"
    return f"{value:d}" if isinstance(value, int) else f"{value:.{digits}f}"


def _percent(value: float) -> str:
    return "–" if value != value else f"{100 * value:.0f} %"


def _megabytes(value: float) -> str:
    return f"{value:.1f} MB" if value < 100 else f"{value:,.0f} MB"


def _minutes(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
