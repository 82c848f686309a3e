"""From scores of real, translated and synthetic images to summary.json: how much of the gap each translator closes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy import stats

from drrkit.errors import InputError
from reconstruction.judging.evaluation import UNION
from reconstruction.judging.headlines import read_record
from reconstruction.judging.results import LEVELS
from reconstruction.judging.summary import BootstrapParameters, summarize
from reconstruction.metrics import WHOLE

# Names in the column `images`, beside those of translators.
SOURCE, CEILING = "source", "ceiling"
KID_REASON = (
    "not computed: it compares features of a network that was trained on photographs; such weights are not shipped,"
    " and what they see of line integrals says little of bone that moved"
)
_DIGITS = 4
_SHOWN = ("f1", "surface_1mm", "surface_2mm", "assd_mm", "hd95_mm")

Interval = list[float | None]


@dataclass(frozen=True)
class TranslatorRecord:
    """What earlier stages know of a translator.

    Args:
        method: How it learned.
        learns: Whether it has learned anything; a baseline has not.
        train_donors: Number of donors that it learned from.
        train_pairs: Number of their pairs.
        train_seconds: How long that took, or None.
        bone_edge_shift_mm: Median shift of bone edges, by group of test sessions.
    """

    method: str
    learns: bool
    train_donors: int
    train_pairs: int
    train_seconds: float | None
    bone_edge_shift_mm: Mapping[str, float]


def read_translator_records(path: Path) -> dict[str, TranslatorRecord]:
    """Read what the judging of translators wrote on images: ``summary.json`` of results/translate.

    Raises:
        InputError: No such file, or one without what is needed.
    """
    models: Any = read_record(path).get("models")
    try:
        return {
            name: TranslatorRecord(
                method=of["method"],
                learns=of["learning"] != "nothing",
                train_donors=int(of["train_donors"]),
                train_pairs=int(of["train_pairs"]),
                train_seconds=of["train_seconds"],
                bone_edge_shift_mm={
                    group: scores["bone_edge_shift_mm"]["median"] for group, scores in of["groups"].items()
                },
            )
            for name, of in models.items()
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(path, f"models without a readable {error}", "what drrkit translator evaluate wrote") from error


def gap_closed(
    adapted: Float[np.ndarray, " donors"],
    source: Float[np.ndarray, " donors"],
    ceiling: Float[np.ndarray, " donors"],
    bootstrap: BootstrapParameters,
) -> tuple[float, float, float]:
    """Say how much of the way from source-only to the ceiling was made: (adapted - source) / (ceiling - source).

    Means over donors are compared, and donors are drawn together with all three of their scores.

    Args:
        adapted: Scores of translated images, one a donor.
        source: Of the same donors' images as they were recorded.
        ceiling: Of their DRRs.
        bootstrap: Of the interval.

    Returns:
        Share, and the ends of its percentile interval; NaN where there is no gap, and for the interval of fewer than
        two donors.
    """

    def share(adapted: np.ndarray, source: np.ndarray, ceiling: np.ndarray, axis: int = -1) -> np.ndarray:
        gap = ceiling.mean(axis=axis) - source.mean(axis=axis)
        made = adapted.mean(axis=axis) - source.mean(axis=axis)
        return np.divide(made, gap, out=np.full(np.shape(gap), np.nan), where=gap > 0)

    value = float(share(adapted, source, ceiling))
    if len(adapted) < 2 or np.isnan(value):
        return value, float("nan"), float("nan")
    drawn = stats.bootstrap(
        (adapted, source, ceiling),
        share,
        paired=True,
        vectorized=True,
        n_resamples=bootstrap.resamples,
        confidence_level=bootstrap.confidence,
        method="percentile",
        rng=np.random.default_rng(bootstrap.seed),
    )
    # Draws without a gap say nothing of its share.
    tail = (1 - bootstrap.confidence) / 2
    low, high = np.nanquantile(drawn.bootstrap_distribution, [tail, 1 - tail])
    return value, float(low), float(high)


def gap_of(table: pd.DataFrame, images: str, views: int, group: str, split: str, bootstrap: BootstrapParameters) -> Any:
    """Compute :func:`gap_closed` of one translator out of a table of scores."""
    adapted, source, ceiling = (_by_donor(table, name, views, group, split) for name in (images, SOURCE, CEILING))
    return gap_closed(adapted, source, ceiling, bootstrap)


def best_translator(
    table: pd.DataFrame,
    translators: Mapping[str, TranslatorRecord],
    views: int,
    group: str,
    split: Literal["validation", "test"],
) -> str:
    """Return the translator with the best union F1 among those that learned; the same order as by gap closed.

    Raises:
        InputError: None was judged there.
    """
    judged = [name for name in dict.fromkeys(table["images"]) if name in translators and translators[name].learns]
    scores = {name: _by_donor(table, name, views, group, split) for name in judged}
    scores = {name: values for name, values in scores.items() if values.size}
    if not scores:
        raise InputError("translated images", f"none of {split} donors of {group}", "those of translators that learned")
    return max(scores, key=lambda name: float(scores[name].mean()))


def translation_means(table: pd.DataFrame, bootstrap: BootstrapParameters) -> pd.DataFrame:
    """Average over donors by split, group, images, number of views, level and region, with intervals.

    ``level`` is also ``levels``, the mean of all levels.
    """
    levels = table[table["level"] != UNION].assign(level=LEVELS)
    rows = pd.concat([table, levels], ignore_index=True)
    return summarize(rows, ["split", "group", "images", "n_views", "level", "region"], bootstrap)


def summary_of(
    table: pd.DataFrame,
    means: pd.DataFrame,
    translators: Mapping[str, TranslatorRecord],
    best: str,
    views: int,
    group: str,
    unseen_group: str | None,
    bootstrap: BootstrapParameters,
) -> dict[str, Any]:
    """Gather the headlines.

    Args:
        table: A row for each session, kind of images, number of views, level and region.
        means: Of :func:`translation_means`.
        translators: What is known of each.
        best: The translator of the headlines.
        views: Number of views of the headlines.
        group: Sessions of the device that translators learned from.
        unseen_group: Sessions of another device, or None.
        bootstrap: Of the intervals.
    """
    tested, tested_means = table[table["split"] == "test"], means[means["split"] == "test"]
    known = _of_group(tested, tested_means, translators, views, group, bootstrap)
    three = {SOURCE: known[SOURCE], "translated": known["methods"][best], CEILING: known[CEILING]}
    gap, f1 = f"gap_closed_views{views}", f"f1_views{views}"
    unseen = None
    if unseen_group is not None:
        unseen = _of_group(tested, tested_means, translators, views, unseen_group, bootstrap)
    return {
        "group": group,
        "donors": known["donors"],
        "views": views,
        "method": best,
        gap: known["methods"][best][gap],
        f"{gap}_ci": known["methods"][best][f"{gap}_ci"],
        f1: {name: of[f1][0] for name, of in three.items()},
        "bone_edge_shift_median_mm": known["methods"][best]["bone_edge_shift_median_mm"],
        "f1_by_region": {name: of["f1_by_region"] for name, of in three.items()},
        "f1_by_level": {name: of["f1_by_level"] for name, of in three.items()},
        "train_seconds": translators[best].train_seconds,
        "by_views": _by_views(tested, best, group, bootstrap),
        SOURCE: known[SOURCE],
        CEILING: known[CEILING],
        "methods": known["methods"],
        "unseen_device": unseen,
        "study": _study(known["methods"], gap),
        "kid": None,
        "kid_reason": KID_REASON,
        "f1_by_region_is": "of all lumbar bone as one; what is predicted beside bone counts where the nearest bone is",
    }


def _of_group(
    table: pd.DataFrame,
    means: pd.DataFrame,
    translators: Mapping[str, TranslatorRecord],
    views: int,
    group: str,
    bootstrap: BootstrapParameters,
) -> dict[str, Any]:
    rows = table[(table["group"] == group) & (table["n_views"] == views)]
    if rows.empty:
        raise InputError("sessions", f"no test donor of the group {group}", "the groups of the pair set")
    of_images = {
        name: _scores(means[(means["group"] == group) & (means["n_views"] == views) & (means["images"] == name)], views)
        for name in dict.fromkeys(rows["images"])
    }
    gap = f"gap_closed_views{views}"
    methods: dict[str, Any] = {}
    for name, scores in of_images.items():
        if name in (SOURCE, CEILING):
            continue
        value, low, high = gap_of(table, name, views, group, "test", bootstrap)
        known = translators[name]
        about = {
            "method": known.method,
            "learns": known.learns,
            "train_donors": known.train_donors,
            "train_pairs": known.train_pairs,
            "train_seconds": known.train_seconds,
            "bone_edge_shift_median_mm": _rounded([known.bone_edge_shift_mm.get(group)])[0],
        }
        methods[name] = {gap: _rounded([value])[0], f"{gap}_ci": _rounded([low, high]), **about, **scores}
    donors = int(rows["donor"].nunique())
    return {
        "group": group,
        "donors": donors,
        SOURCE: of_images[SOURCE],
        CEILING: of_images[CEILING],
        "methods": methods,
    }


def _scores(means: pd.DataFrame, views: int) -> dict[str, Any]:
    """Return the numbers of one kind of images: [mean, low, high] of the union, means of levels and regions."""
    union, by_level = means[means["level"] == UNION], means[means["region"] == WHOLE]
    whole = union[union["region"] == WHOLE].set_index("metric")
    parts = union[(union["region"] != WHOLE) & (union["metric"] == "f1")]
    levels = by_level[(by_level["level"] != UNION) & (by_level["metric"] == "f1")].set_index("level")
    recalls = means[(means["level"] == LEVELS) & (means["region"] != WHOLE) & (means["metric"] == "recall")]
    numbers: dict[str, Any] = {
        f"{metric}_views{views}": _rounded(whole.loc[metric, ["mean", "low", "high"]]) for metric in _SHOWN
    }
    numbers[f"level_f1_views{views}"] = _rounded(levels.loc[LEVELS, ["mean", "low", "high"]])
    numbers["f1_by_level"] = _named(levels.drop(index=LEVELS).reset_index(), "level")
    numbers["f1_by_region"] = _named(parts, "region")
    numbers["recall_by_region"] = _named(recalls, "region")
    return numbers


def _by_views(table: pd.DataFrame, best: str, group: str, bootstrap: BootstrapParameters) -> dict[str, Any]:
    """Compare the best translator with source and ceiling for each number of views that all three have."""
    counts = sorted(int(count) for count in table.loc[table["images"] == best, "n_views"].unique())
    found = {}
    for count in counts:
        means = {
            word: _rounded([_by_donor(table, name, count, group, "test").mean()])[0]
            for word, name in ((SOURCE, SOURCE), ("translated", best), (CEILING, CEILING))
        }
        value, low, high = gap_of(table, best, count, group, "test", bootstrap)
        found[f"views{count}"] = {"f1": means, "gap_closed": _rounded([value])[0], "ci": _rounded([low, high])}
    return found


def _study(methods: Mapping[str, Mapping[str, Any]], gap: str) -> list[dict[str, Any]]:
    """List what methods that learned from several amounts of pairs made of each amount."""
    amounts: dict[str, set[tuple[int, int]]] = {}
    for of in methods.values():
        amounts.setdefault(of["method"], set()).add((of["train_donors"], of["train_pairs"]))
    names = [name for name, of in methods.items() if of["learns"] and len(amounts[of["method"]]) > 1]
    columns = ("method", "train_donors", "train_pairs", gap, f"{gap}_ci", "bone_edge_shift_median_mm", "train_seconds")
    rows = [{"model": name, **{column: methods[name][column] for column in columns}} for name in names]
    return sorted(rows, key=lambda row: (row["method"], row["train_donors"], row["train_pairs"]))


def _by_donor(table: pd.DataFrame, images: str, views: int, group: str, split: str) -> Float[np.ndarray, " donors"]:
    """Union F1 of each donor, in the order of their names."""
    chosen = table[
        (table["images"] == images)
        & (table["n_views"] == views)
        & (table["group"] == group)
        & (table["split"] == split)
        & (table["level"] == UNION)
        & (table["region"] == WHOLE)
    ]
    return chosen.groupby("donor", sort=True)["f1"].mean().to_numpy(np.float64)


def _named(means: pd.DataFrame, column: str) -> dict[str, float | None]:
    return {str(row[column]): _rounded([row["mean"]])[0] for row in means.to_dict("records")}


def _rounded(values: Sequence[float | None] | pd.Series) -> Interval:
    """Round; JSON has no NaN, so what does not exist is null."""
    return [None if value is None or value != value else round(float(value), _DIGITS) for value in values]
