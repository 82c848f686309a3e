"""Who takes part in a rehearsal: groups of SIMULATED donors, and under which machine each of them lies."""

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import Literal, Self

from pydantic import Field, model_validator

from drrkit.geometry.viewsets import View, view_set
from drrkit.parameters import Parameters
from drrkit.phantom.parameters import POPULATIONS
from protocols.calibration.settings import CalibrationSettings
from protocols.pairing import PairSettings
from protocols.pairset import Split
from protocols.simulation.settings import Device, MachineChanges, SessionSettings


class BallParameters(Parameters):
    """The steel balls that every donor carries."""

    count: int = Field(ge=4)
    diameter_mm: float = Field(gt=0)


class RehearsalGroup(Parameters):
    """Donors ``first_seed`` and on of one population, or those of another group, and how they are imaged.

    Args:
        name: Of the group; with the seed it names the acquisition.
        judged_as: What its sessions are called where sessions are judged together, for example ``flat-panel``.
        split: Of all its donors.
        population: What they are drawn from; None with ``donors_of``.
        first_seed: The first individual; None with ``donors_of``.
        donors_of: The group whose first individuals are imaged once more, under this group's machine.
        count: How many.
        spacing_mm: Voxels that the X-rays are simulated from.
        ct_spacing_mm: Voxels of the CT that is handed over; where both are the same, so is the phantom's own noise.
        device: Which machine.
        panel_mm: Side of the square detector in that machine's gantry; None for the machine's own.
        size_px: Rows and columns of the exposures.
        relation: Whether stored pixels are linear or logarithmic in the beam.
        exposure_target: Of full scale: where automatic exposure puts the middle of the image.
        machine: Where the machine differs from the device; None for nowhere.
        exposures: The views of the view set that are taken; None for all of them.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    judged_as: str = Field(min_length=1)
    split: Split
    population: str | None = None
    first_seed: int | None = Field(default=None, ge=0)
    donors_of: str | None = None
    count: int = Field(ge=1)
    spacing_mm: float = Field(gt=0)
    ct_spacing_mm: float = Field(gt=0)
    device: Device
    panel_mm: float | None = Field(gt=0)
    size_px: int = Field(ge=128)
    relation: Literal["LIN", "LOG"]
    exposure_target: float = Field(gt=0, le=1)
    machine: MachineChanges | None
    exposures: tuple[str, ...] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _draws_or_borrows(self) -> Self:
        drawn = (self.population is not None, self.first_seed is not None)
        if any(drawn) if self.donors_of is not None else not all(drawn):
            raise ValueError(f"group {self.name}: wanted population and first_seed, or donors_of without them")
        if self.population is not None and self.population not in POPULATIONS:
            raise ValueError(f"population {self.population}: wanted {' or '.join(POPULATIONS)}")
        return self


@dataclass(frozen=True)
class Role:
    """One donor under one machine: one session.

    Args:
        group: How the donor is imaged.
        population: What the donor was drawn from.
        seed: Which individual.
    """

    group: RehearsalGroup
    population: str
    seed: int

    @property
    def acquisition_id(self) -> str:
        """Name of the session."""
        return f"{self.group.name}-{self.seed:04d}"

    @property
    def donor_id(self) -> str:
        """Name of the donor, the same under every machine."""
        return f"phantom-{self.population}-{self.seed:04d}"


class RehearsalSettings(Parameters):
    """The groups and what they share.

    Args:
        views: A view set; where the C-arm means to stand.
        balls: The steel balls.
        workers: Processes; they change the time that it takes, and nothing else.
        calibration: How every session is calibrated.
        pair: What every pair looks like.
        groups: Who is imaged, and how.
    """

    views: str
    balls: BallParameters
    workers: int = Field(ge=1)
    calibration: CalibrationSettings
    pair: PairSettings
    groups: tuple[RehearsalGroup, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _known_exposures(self) -> Self:
        known = {view.id for view in view_set(self.views).views}
        for group in self.groups:
            unknown = [name for name in group.exposures or () if name not in known]
            if unknown:
                raise ValueError(f"group {group.name}: wanted exposures of {self.views}; found {unknown[0]}")
        return self

    @model_validator(mode="after")
    def _separate_donors(self) -> Self:
        names = Counter(group.name for group in self.groups)
        if max(names.values()) > 1:
            raise ValueError(f"the group {names.most_common(1)[0][0]} twice: wanted a name of its own for every group")
        own = {group.name: group for group in self.groups if group.donors_of is None}
        for group in self.groups:
            if group.donors_of is None:
                continue
            lender = own.get(group.donors_of)
            if lender is None:
                raise ValueError(f"group {group.name}: wanted donors_of a group with donors of its own")
            if lender.split != group.split:
                raise ValueError(f"group {group.name}: wanted the split of its donors, {lender.split}")
            if group.count > lender.count:
                raise ValueError(f"group {group.name}: wanted at most the {lender.count} donors of {lender.name}")
        # One seed in two populations gives two spines with the same individual deviations: no stranger to each other.
        seeds = Counter(role.seed for role in self.roles() if role.group.donors_of is None)
        twice = sorted(seed for seed, count in seeds.items() if count > 1)
        if twice:
            raise ValueError(f"seed {twice[0]} in two groups: wanted every donor once (donors_of images one again)")
        return self

    def roles(self) -> list[Role]:
        """List all sessions, in the order of groups and seeds."""
        own = {group.name: group for group in self.groups}
        roles = []
        for group in self.groups:
            drawn = group if group.donors_of is None else own[group.donors_of]
            assert drawn.population is not None  # the group's own check
            assert drawn.first_seed is not None
            seeds = range(drawn.first_seed, drawn.first_seed + group.count)
            roles += [Role(group, drawn.population, seed) for seed in seeds]
        return roles

    def views_of(self, role: Role) -> list[View]:
        """List the views that one session takes."""
        wanted = role.group.exposures
        return [view for view in view_set(self.views).views if wanted is None or view.id in wanted]

    def session(self, role: Role) -> SessionSettings:
        """Say how one session is simulated; machine, table and noise of a donor's two sessions are strangers."""
        name = hashlib.sha256(role.acquisition_id.encode()).digest()
        group = role.group
        return SessionSettings(
            device=group.device,
            machine=group.machine,
            panel_mm=group.panel_mm,
            size_px=group.size_px,
            views=self.views,
            every=1,
            ball_count=self.balls.count,
            ball_diameter_mm=self.balls.diameter_mm,
            ct_spacing_mm=group.ct_spacing_mm,
            relation=group.relation,
            exposure_target=group.exposure_target,
            seed=int.from_bytes(name[:4], "big"),
        )
