"""The search for the shots with the best expected result among the poses that a C-arm reaches.

Few sets are all tried. Of more, all sets of a thinned-out reach are tried, and the best that look different are
improved by exchanging one shot at a time for whichever pose helps most, until none does. Nothing is random, so the same
reach gives the same plan.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, islice
from math import comb

import numpy as np
from jaxtyping import Bool, Float, Integer

from drrkit.errors import InputError
from reconstruction.planning.expectation import Expectation
from reconstruction.planning.reach import Pose, directions_world, far_enough, line_angles_deg

MOST_TRIED = 30_000
_STARTS = 8
_CHUNK = 20_000
# Starts that look alike end alike.
_START_APART_DEG = 15.0
# Smaller gains are rounding.
_GAIN = 1e-9


@dataclass(frozen=True)
class Plan:
    """A set of shots.

    Args:
        poses: The shots, by primary and secondary angle.
        expected_f1: Union F1 of a mean donor.
        sd: Standard deviation of what a new donor will show.
    """

    poses: tuple[Pose, ...]
    expected_f1: float
    sd: float


def plan_views(
    expectation: Expectation,
    poses: Sequence[Pose],
    shots: int,
    least_apart_deg: float = 0.0,
    prices: Sequence[float] | None = None,
    alternatives: int = 0,
    distinct_deg: float = 25.0,
    caution: float = 0.0,
) -> list[Plan]:
    """Find the sets of shots of the best expected F1, less their price and what the model is unsure of.

    Args:
        expectation: What F1 to expect.
        poses: That the C-arm reaches; those that look like no view that the model was fitted on are not chosen.
        shots: How many.
        least_apart_deg: Between any two lines of sight.
        prices: What a shot at each pose costs, in F1; nothing by default.
        alternatives: How many further sets to rank.
        distinct_deg: Sets of which every line of sight is so near one of the other's count as one.
        caution: Standard deviations of the model's own uncertainty to take off.

    Returns:
        The best set first.

    Raises:
        InputError: A number of shots that the model does not know, or too few poses (far enough apart).
    """
    cost = np.zeros(len(poses)) if prices is None else np.asarray(prices, np.float64)
    if cost.shape != (len(poses),):
        raise InputError("prices", f"{cost.size} of them", f"one for each of {len(poses)} poses")
    trusted = expectation.trusted(poses)
    kept = [pose for pose, good in zip(poses, trusted, strict=True) if good]
    if len(kept) < shots:
        found = f"{len(kept)} reachable poses like views that the model was fitted on"
        raise InputError("reach", found, f"at least {shots}")
    bench = _Bench(expectation, kept, cost[trusted], far_enough(kept, least_apart_deg), caution)
    searched = _all_sets(len(kept), shots) if comb(len(kept), shots) <= MOST_TRIED else bench.exchanged(shots)
    sets, worths = bench.judged(searched)
    if not len(sets):
        found = f"no {shots} poses of {len(kept)} with lines of sight {least_apart_deg:g} degrees apart"
        raise InputError("reach", found, "a smaller angle between shots, fewer shots or a wider reach")
    return [bench.plan(members) for members in bench.distinct(ranked(sets, worths), 1 + alternatives, distinct_deg)]


def ranked(sets: Integer[np.ndarray, "s k"], worths: Float[np.ndarray, " s"]) -> Integer[np.ndarray, "s k"]:
    """Sort sets, the best first; of equals the one whose poses were named first."""
    return sets[np.lexsort((*sets.T[::-1], -np.round(worths, 9)))]


class _Bench:
    """Poses with all that judging sets of them needs."""

    def __init__(
        self,
        expectation: Expectation,
        poses: Sequence[Pose],
        prices: Float[np.ndarray, " n"],
        apart: Bool[np.ndarray, "n n"],
        caution: float,
    ) -> None:
        self.expectation, self.poses, self.prices, self.apart = expectation, poses, prices, apart
        self.caution = caution
        self.lines_world = directions_world(poses)

    def worths(self, sets: Integer[np.ndarray, "s k"]) -> Float[np.ndarray, " s"]:
        """Expected F1 less prices, with caution."""
        return self.expectation.cautious(self.lines_world[sets], self.caution) - self.prices[sets].sum(axis=1)

    def allowed(self, sets: Integer[np.ndarray, "s k"]) -> Bool[np.ndarray, " s"]:
        """Say whose shots are all far enough from each other."""
        good = np.ones(len(sets), bool)
        for first, second in combinations(range(sets.shape[1]), 2):
            good &= self.apart[sets[:, first], sets[:, second]]
        return good

    def judged(
        self, parts: Iterator[Integer[np.ndarray, "s k"]]
    ) -> tuple[Integer[np.ndarray, "s k"], Float[np.ndarray, " s"]]:
        """Join parts of sets, without those that are not allowed and without repetition."""
        kept = [sets[self.allowed(sets)] for sets in parts]
        if not kept:
            return np.zeros((0, 1), int), np.zeros(0)
        sets = np.unique(np.concatenate(kept), axis=0)
        worths = [self.worths(sets[start : start + _CHUNK]) for start in range(0, len(sets), _CHUNK)]
        return sets, np.concatenate([np.zeros(0), *worths])

    def exchanged(self, shots: int) -> Iterator[Integer[np.ndarray, "s k"]]:
        """Improve the best sets of a thinned-out reach; yields the neighborhood of every set that nothing improves."""
        thinned = self._thinned(shots)
        sets, worths = self.judged(np.sort(thinned[part], axis=1) for part in _all_sets(len(thinned), shots))
        for members in self.distinct(ranked(sets, worths), _STARTS, _START_APART_DEG):
            best = self.worths(members[None])[0]
            while True:
                nearby = self._neighbors(members)
                worths = self.worths(nearby)
                place = int(worths.argmax())
                if worths[place] <= best + _GAIN:
                    break
                members, best = nearby[place], worths[place]
            yield np.sort(nearby, axis=1)

    def _thinned(self, shots: int) -> Integer[np.ndarray, " m"]:
        """As many poses as all sets of them can be tried; always the line of sight furthest from all before."""
        count = shots
        while comb(count + 1, shots) <= MOST_TRIED and count < len(self.poses):
            count += 1
        angles_deg = line_angles_deg(self.lines_world, self.lines_world)
        members = [0]
        while len(members) < count:
            nearest_deg = angles_deg[:, members].min(axis=1)
            nearest_deg[members] = -1
            members.append(int(nearest_deg.argmax()))
        return np.array(members)

    def _neighbors(self, members: Integer[np.ndarray, " k"]) -> Integer[np.ndarray, "s k"]:
        """All allowed sets that differ in one shot, and the set itself."""
        parts = [members[None]]
        for place in range(len(members)):
            others = np.delete(members, place)
            free = np.flatnonzero(self.apart[:, others].all(axis=1)) if len(others) else np.arange(len(self.poses))
            sets = np.repeat(members[None], len(free), axis=0)
            sets[:, place] = free
            parts.append(sets)
        return np.concatenate(parts)

    def distinct(
        self, ordered: Integer[np.ndarray, "s k"], count: int, distinct_deg: float
    ) -> list[Integer[np.ndarray, " k"]]:
        """Take the first sets that do not look like one taken before."""
        taken: list[Integer[np.ndarray, " k"]] = []
        angles_deg = line_angles_deg(self.lines_world, self.lines_world)
        left = ordered
        while len(left) and len(taken) < count:
            chosen = left[0]
            taken.append(chosen)
            between = angles_deg[left][:, :, chosen]
            furthest_deg = np.maximum(between.min(axis=2).max(axis=1), between.min(axis=1).max(axis=1))
            left = left[furthest_deg > distinct_deg]
        return taken

    def plan(self, members: Integer[np.ndarray, " k"]) -> Plan:
        """Describe one set."""
        f1, sd = self.expectation.predict(self.lines_world[members][None])
        return Plan(tuple(sorted(self.poses[member] for member in members)), float(f1[0]), float(sd[0]))


def _all_sets(count: int, shots: int) -> Iterator[Integer[np.ndarray, "s k"]]:
    rows = combinations(range(count), shots)
    while part := list(islice(rows, _CHUNK)):
        yield np.array(part)
