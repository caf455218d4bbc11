"""The conventions that a NIR file leaves open, per framework ("dialect").

NIR describes neurons in continuous time. What a step of simulation does is not in the file: the time step, how a spike
resets the membrane and when, the comparison with the threshold. A `Dialect` holds what one framework does, measured on
its sources (docs/nir.md has the table); `resolve` combines it with what the file says and the user's options into
`Conventions`, and refuses whatever is still open.
"""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass, fields
from enum import StrEnum

import numpy as np

from ....hdl.errors import OptionError, quoted
from ...ir.neurons import Fire, ResetMode, ResetPlace, several
from ...ir.verifier import MAX_X

MINUS_THRESHOLD = "threshold"
"""The floor that Sinabs gives an IF that it reads from NIR: as far below 0 as the threshold is above."""

NO_FLOOR = "none"
"""No floor, where a dialect or a file has one."""


class Reset(StrEnum):
    """What a spike does to the membrane: subtract the threshold, set it to 0, or set it to the node's `v_reset`."""

    SUBTRACT = "subtract"
    ZERO = "zero"
    VALUE = "value"


class Tau(StrEnum):
    """How Norse wrote a time constant: in seconds, or (release 1.1.0 alone) multiplied by the time step."""

    SECONDS = "seconds"
    SCALED = "scaled"


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """A framework's conventions; None is left open: the file's numbers (`evidence`) or the user decide.

    `dt` is in the unit of the file's time constants.
    """

    name: str
    dt: float | None
    fire: Fire
    reset: Reset | None
    reset_delay: bool | None
    cuba_reset_delay: bool | None = None
    """The reset delay of CubaLIF neurons where it is another than that of the others."""
    leading_axes: bool = False
    """Whether exported shapes start with the example's batch or time axis."""
    dt_in_seconds: bool = True
    """Whether the file's time constants are in seconds; Sinabs counts in steps."""
    tau_open: bool = False
    """Whether its releases write time constants in two ways (`Tau`)."""
    late_spikes: bool = False
    """Whether each layer gives its spikes to the next one a step late."""
    max_spikes: int = 1
    """How often a neuron fires in a step at most."""
    if_floor: bool = False
    """Whether its own reader gives the IF of a file the floor `MINUS_THRESHOLD`."""


DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect
    for dialect in (
        Dialect(name="snntorch", dt=1e-4, fire=Fire.GT, reset=None, reset_delay=None),
        Dialect(
            name="norse",
            dt=1e-3,
            fire=Fire.GT,
            reset=Reset.VALUE,
            reset_delay=False,
            leading_axes=True,
            tau_open=True,
        ),
        Dialect(name="spikingjelly", dt=1e-4, fire=Fire.GE, reset=None, reset_delay=False),
        Dialect(
            name="sinabs",
            dt=1.0,
            fire=Fire.GE,
            reset=Reset.SUBTRACT,
            reset_delay=False,
            leading_axes=True,
            dt_in_seconds=False,
            max_spikes=MAX_X,
            if_floor=True,
        ),
        Dialect(name="nir", dt=None, fire=Fire.GT, reset=Reset.VALUE, reset_delay=False),
        Dialect(
            name="rockpool",
            dt=None,
            fire=Fire.GE,
            reset=Reset.SUBTRACT,
            reset_delay=False,
            leading_axes=True,
        ),
        Dialect(
            name="spyx",
            dt=1.0,
            fire=Fire.GT,
            reset=Reset.SUBTRACT,
            reset_delay=True,
            cuba_reset_delay=False,
            dt_in_seconds=False,
            late_spikes=True,
        ),
        Dialect(
            name="lava",
            dt=1e-4,
            fire=Fire.GT,
            reset=Reset.ZERO,
            reset_delay=False,
            late_spikes=True,
        ),
    )
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a user or a file says about the conventions; None says nothing.

    Raises OptionError for an unknown name, a time step that is not a positive number, or an `x_max`, `x_min` or
    `max_spikes` out of range.
    """

    dialect: str | None = None
    dt: float | None = None
    reset: str | None = None
    reset_delay: bool | None = None
    fire: str | None = None
    tau: str | None = None
    x_max: int | None = None
    x_min: int | None = None
    v_min: float | str | None = None
    """The floor of the membranes of all that fire: a number, `MINUS_THRESHOLD` or `NO_FLOOR`."""
    max_spikes: int | None = None
    """How often a neuron fires in a step at most."""

    def __post_init__(self) -> None:
        _check_choice("dialect", self.dialect, tuple(DIALECTS))
        _check_choice("reset", self.reset, tuple(Reset))
        _check_choice("fire", self.fire, tuple(Fire))
        _check_choice("tau", self.tau, tuple(Tau))
        if self.reset_delay is not None and not isinstance(self.reset_delay, bool | np.bool_):
            raise OptionError(f"the reset delay is True or False: got {quoted(self.reset_delay)}; use one of them")
        if self.dt is not None:
            _check_dt(self.dt)
        if self.x_max is not None:
            _check_whole("x_max, the largest input value,", self.x_max, 1, MAX_X)
        if self.x_min is not None:
            _check_whole("x_min, the smallest input value,", self.x_min, -MAX_X, 0)
        if self.max_spikes is not None:
            _check_whole("max_spikes, the spikes of a neuron in a step,", self.max_spikes, 1, MAX_X)
        if self.v_min is not None:
            _check_v_min(self.v_min)

    @property
    def given(self) -> list[str]:
        """The names of the options that say something."""
        return [f.name for f in fields(self) if getattr(self, f.name) is not None]

    def over(self, other: Options) -> Options:
        """These options, and `other` where they say nothing."""
        merged = {f.name: getattr(other if getattr(self, f.name) is None else self, f.name) for f in fields(self)}
        return Options(**merged)


@dataclass(frozen=True, kw_only=True)
class Conventions:
    """Everything that a NIR file leaves open, decided."""

    dialect: Dialect
    dt: float
    reset: Reset
    reset_delay: bool
    cuba_reset_delay: bool
    fire: Fire
    tau: Tau
    x_max: int
    x_min: int
    max_spikes: int | None
    """None where it is 1, as the IR has it."""

    @property
    def reset_mode(self) -> ResetMode:
        """The reset in the IR's terms; a reset to zero is one to the value 0."""
        return ResetMode.SUBTRACT if self.reset is Reset.SUBTRACT else ResetMode.VALUE

    @property
    def reset_place(self) -> ResetPlace:
        """Where in the step the reset of IF and LIF neurons happens."""
        return reset_place(self.dialect.name, self.reset_mode, self.reset_delay)

    @property
    def cuba_reset_place(self) -> ResetPlace:
        """Where in the step the reset of CubaLIF neurons happens."""
        return reset_place(self.dialect.name, self.reset_mode, self.cuba_reset_delay)


def reset_place(dialect: str, mode: ResetMode, delay: bool) -> ResetPlace:
    """Where a reset happens; snnTorch has its own order for the undelayed subtraction."""
    if delay:
        return ResetPlace.NEXT
    if dialect == "snntorch" and mode is ResetMode.SUBTRACT:
        return ResetPlace.SNNTORCH_SAME
    return ResetPlace.SAME


def dialect_of(said: Options) -> Dialect:
    """The dialect that the user or the file names; OptionError where neither does."""
    if said.dialect is None:
        raise OptionError(
            "a NIR file does not say how a time step works: no dialect is given, and it has no Spikeloom metadata; "
            f"give --dialect {'|'.join(DIALECTS)}, the tool that wrote it"
        )
    return DIALECTS[said.dialect]


def resolve(said: Options) -> Conventions:
    """What is said, and what its dialect fixes where nothing is said.

    Raises OptionError, with the options to give, for whatever is left open.
    """
    dialect = dialect_of(said)
    reset = said.reset if said.reset is not None else dialect.reset
    delay = said.reset_delay if said.reset_delay is not None else dialect.reset_delay
    dt = said.dt if said.dt is not None else dialect.dt
    if dt is None:
        raise OptionError(
            f"the dialect {dialect.name!r} fixes no time step, and the file names none: how far a membrane leaks in a "
            "step is not known; give --dt SECONDS"
        )
    if reset is None or delay is None:
        missing = ["--reset subtract|zero|value"] if reset is None else []
        missing += ["--reset-delay or --no-reset-delay"] if delay is None else []
        raise OptionError(
            f"the dialect {dialect.name!r} does not fix the reset and its export loses it: "
            f"what the network was trained with is not known; give {' and '.join(missing)}"
        )
    cuba_delay = dialect.cuba_reset_delay if said.reset_delay is None else None
    return Conventions(
        dialect=dialect,
        dt=float(dt),
        reset=Reset(reset),
        reset_delay=bool(delay),
        cuba_reset_delay=bool(delay if cuba_delay is None else cuba_delay),
        fire=Fire(said.fire if said.fire is not None else dialect.fire),
        tau=Tau.SECONDS if said.tau is None else Tau(said.tau),
        x_max=1 if said.x_max is None else int(said.x_max),
        x_min=0 if said.x_min is None else int(said.x_min),
        max_spikes=several(dialect.max_spikes if said.max_spikes is None else said.max_spikes),
    )


def _check_choice(option: str, value: object, choices: tuple[str, ...]) -> None:
    if value is None or value in choices:
        return
    near = difflib.get_close_matches(str(value)[:40].lower(), choices, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"use {choices[0]!r}, for example"
    raise OptionError(f"{option} is one of {', '.join(choices)}: got {quoted(value)}; {hint}")


def _check_dt(dt: object) -> None:
    valid = isinstance(dt, int | float | np.integer | np.floating) and not isinstance(dt, bool)
    if not valid or not math.isfinite(dt) or dt <= 0:  # type: ignore[arg-type, operator]
        raise OptionError(f"the time step dt is a positive number of seconds: got {quoted(dt)}; give for example 1e-4")


def _check_whole(what: str, value: object, least: int, most: int) -> None:
    valid = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not valid or not least <= value <= most:  # type: ignore[operator]
        raise OptionError(f"{what} is a whole number from {least} to {most}: got {quoted(value)}")


def _check_v_min(v_min: object) -> None:
    number = isinstance(v_min, int | float | np.integer | np.floating) and not isinstance(v_min, bool)
    if v_min not in (MINUS_THRESHOLD, NO_FLOOR) and not (number and math.isfinite(v_min)):  # type: ignore[arg-type]
        raise OptionError(
            f"v_min, the floor of the membrane, is a number, {MINUS_THRESHOLD!r} (as far below 0 as that is above) or "
            f"{NO_FLOOR!r}: got {quoted(v_min)}"
        )
