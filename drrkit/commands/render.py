"""``drrkit render``: DRRs of one CT or of a whole cohort."""

import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from drrkit.errors import InputError

if TYPE_CHECKING:
    from drrkit.dataset.plan import Plan, Settings, Source
    from drrkit.dataset.rig import Rig
    from drrkit.projection.attenuation import Tissue

PROBE_IMAGES = 3

_what = "What is rendered"
_views = "From where"
_how = "How"


def render(
    ct: Annotated[Path, typer.Argument(metavar="CT", help="NIfTI, NRRD or MHA file, DICOM folder, or cohort folder.")],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder for images, masks, cameras.json and manifest.csv.")
    ],
    cameras: Annotated[
        Path | None, typer.Option(help="drrkit-camera/1 file.", metavar="FILE", rich_help_panel=_views)
    ] = None,
    views: Annotated[
        str | None,
        typer.Option(
            help="View set (x23d-20, adapt-28, orbit, ap-lateral) or a file that lists views.",
            metavar="SET",
            rich_help_panel=_views,
        ),
    ] = None,
    carm: Annotated[str, typer.Option(help="C-arm preset for --views.", rich_help_panel=_views)] = "generic",
    isocenter: Annotated[
        str,
        typer.Option(
            help="What --views turn about: auto (lumbar labels, else the volume), volume, or X,Y,Z in mm (LPS).",
            rich_help_panel=_views,
        ),
    ] = "auto",
    jitter_seed: Annotated[
        int | None, typer.Option(help="Shake --views at random, by this seed.", rich_help_panel=_views)
    ] = None,
    size: Annotated[
        tuple[int, int] | None,
        typer.Option(help="Detector pixels; alone it keeps the area.", metavar="H W", rich_help_panel=_views),
    ] = None,
    spacing: Annotated[
        float | None, typer.Option(help="Pixel spacing at the detector.", metavar="MM", rich_help_panel=_views)
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Vertebra label map of CT.", metavar="FILE", rich_help_panel=_what)
    ] = None,
    label_scheme: Annotated[
        str | None,
        typer.Option(
            help="Numbers of --labels: verse, ctspine1k, totalsegmentator (v2) or totalsegmentator_v1.",
            rich_help_panel=_what,
        ),
    ] = None,
    tissue: Annotated[
        str, typer.Option(help="bone, vertebrae (needs labels) or full.", rich_help_panel=_what)
    ] = "bone",
    bone_threshold_hu: Annotated[
        float | None, typer.Option(help="Where bone begins; 150 by default.", metavar="HU", rich_help_panel=_what)
    ] = None,
    energy_kev: Annotated[
        float | None,
        typer.Option(help="Photon energy of the X-ray; 60 by default.", metavar="KEV", rich_help_panel=_what),
    ] = None,
    backend: Annotated[
        str, typer.Option(help="auto, siddon, joseph, diffdrr or nanodrr.", rich_help_panel=_how)
    ] = "auto",
    device: Annotated[
        str | None, typer.Option(help="cpu or cuda, of the torch backends.", rich_help_panel=_how)
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes, each with one CT.", rich_help_panel=_how)] = 1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be rendered, why, and at what cost.", rich_help_panel=_how)
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Hash the images on disk, not only look for them.", rich_help_panel=_how)
    ] = False,
) -> None:
    """Render DRRs, masks and boxes of a CT or a cohort.

    Only what changed is rendered; a killed run goes on where it was; files of views that are gone are removed.
    """
    from drrkit.dataset.plan import Settings, make_plan
    from drrkit.dataset.run import render_dataset
    from drrkit.projection.attenuation import BONE_THRESHOLD_HU, ENERGY_KEV
    from drrkit.projection.renderer import choose_backend

    concrete, concrete_device = choose_backend(backend, device)
    settings = Settings(
        _tissue(tissue),
        BONE_THRESHOLD_HU if bone_threshold_hu is None else bone_threshold_hu,
        ENERGY_KEV if energy_kev is None else energy_kev,
        concrete,
        concrete_device,
    )
    sources = _sources(ct, labels, label_scheme, settings)
    rig = _rig(cameras, views, carm, isocenter, jitter_seed, size, spacing)
    plan = make_plan(out, sources, rig, settings, verify)
    console = Console(stderr=True)
    if dry_run:
        _print_cost(plan, workers)
        return
    columns = (
        TextColumn("[progress.description]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(f"{concrete} on {concrete_device}", total=len(plan.pending))
        render_dataset(plan, workers, lambda count: progress.advance(task, count))
    kept = len(plan.items) - len(plan.pending)
    console.print(
        f"{out}: {len(plan.pending)} rendered, {kept} up to date, {len(plan.stale_files)} stale files removed",
        highlight=False,
        soft_wrap=True,
    )


def _tissue(name: str) -> "Tissue":
    from drrkit.projection.attenuation import Tissue

    for tissue in get_args(Tissue):
        if tissue == name:
            return tissue
    raise InputError("--tissue", name, " or ".join(get_args(Tissue)))


def _sources(ct: Path, labels: Path | None, scheme: str | None, settings: "Settings") -> list["Source"]:
    from drrkit.cohort import is_cohort
    from drrkit.dataset.plan import Source, cohort_sources

    if not ct.exists():
        raise InputError(ct, "no such file or folder", "a CT file, a DICOM folder or a cohort folder")
    if not is_cohort(ct):
        if (labels is None) != (scheme is None):
            raise InputError("--labels, --label-scheme", "one without the other", "both, or none")
        if labels is not None and not labels.exists():
            raise InputError(labels, "no such file or folder", "a label map")
        if settings.tissue == "vertebrae" and labels is None:
            raise InputError("--tissue vertebrae", "no --labels", "a label map that says where the vertebrae are")
        return [Source(ct, labels, scheme)]
    if labels is not None or scheme is not None:
        raise InputError("--labels, --label-scheme", "given for a cohort", "none: the cohort table names them")
    return cohort_sources(ct)


def _rig(
    cameras: Path | None,
    views: str | None,
    carm: str,
    isocenter: str,
    jitter_seed: int | None,
    size: tuple[int, int] | None,
    spacing_mm: float | None,
) -> "Rig":
    from drrkit.dataset.rig import FixedRig, ViewRig, carm_with_detector, parse_isocenter, with_detector
    from drrkit.geometry.presets import preset
    from drrkit.io.store import read_cameras
    from drrkit.io.views import load_view_set

    if (cameras is None) == (views is None):
        raise InputError("--cameras, --views", "both" if cameras else "neither", "exactly one of them")
    if cameras is not None:
        fixed = read_cameras(cameras)
        return FixedRig({camera_id: with_detector(camera, size, spacing_mm) for camera_id, camera in fixed.items()})
    view_set = load_view_set(str(views))
    if jitter_seed is not None:
        view_set = view_set.jittered(jitter_seed)
    return ViewRig(view_set, carm_with_detector(preset(carm), size, spacing_mm), parse_isocenter(isocenter))


def _print_cost(plan: "Plan", workers: int) -> None:
    console = Console()
    reasons = Counter(item.reason or "up to date" for item in plan.items)
    console.print(f"{plan.out}: what would be rendered", highlight=False, soft_wrap=True)
    table = Table("images", "why")
    for reason, count in reasons.most_common():
        table.add_row(str(count), reason)
    if plan.stale_files:
        table.add_row(f"{len(plan.stale_files)} files", "to be removed: their view or CT is gone")
    console.print(table)
    if plan.pending:
        seconds, size_bytes = _probe(plan, workers)
        folder = next(parent for parent in [plan.out.absolute(), *plan.out.absolute().parents] if parent.exists())
        free_bytes = shutil.disk_usage(folder).free
        console.print(
            f"about {_duration(seconds)} with {workers} worker(s), {size_bytes / 1e6:,.1f} MB of"
            f" {free_bytes / 1e9:,.1f} GB free (measured on {min(PROBE_IMAGES, len(plan.pending))} images,"
            f" {plan.settings.backend})",
            highlight=False,
            soft_wrap=True,
        )


def _probe(plan: "Plan", workers: int) -> tuple[float, float]:
    """Render up to three images beside the dataset; return estimated seconds and bytes for all that is pending."""
    from drrkit.dataset.run import render_source

    source = plan.pending[0].source
    items = [item for item in plan.pending if item.source == source][:PROBE_IMAGES]
    with tempfile.TemporaryDirectory() as folder:
        # One unmeasured image first: it pays for compiling the kernels.
        for _ in render_source(source, items[:1], plan.rig, plan.settings, Path(folder)):
            pass
        ticks = [time.perf_counter()]
        for _ in render_source(source, items, plan.rig, plan.settings, Path(folder), batch_size=1):
            ticks.append(time.perf_counter())
        size_bytes = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file()) / len(items)
    # The first step also reads and prepares the CT; the later ones are images only.
    image_s = (ticks[-1] - ticks[1]) / (len(items) - 1) if len(items) > 1 else ticks[1] - ticks[0]
    ct_s = max(ticks[1] - ticks[0] - image_s, 0.0)
    ct_count = len({item.source for item in plan.pending})
    return (ct_s * ct_count + image_s * len(plan.pending)) / min(workers, ct_count), size_bytes * len(plan.pending)


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
