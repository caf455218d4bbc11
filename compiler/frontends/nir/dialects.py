"""The conventions that a NIR file leaves open, per framework ("dialect").

NIR describes neurons in continuous time. What a step of simulation does is not in the file: the time step, how a spike
resets the membrane and when, the comparison with the threshold. A `Dialect` holds what one framework does, measured on
its sources (docs/nir.md has the table); `resolve` combines it with the file's metadata and the user's options into
`Conventions`, and refuses whatever is still open.
"""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass, fields
from enum import StrEnum

import numpy as np

from ....hdl.errors import OptionError, quoted
from ...ir.neurons import Fire, ResetMode, ResetPlace


class Reset(StrEnum):
    """What a spike does to the membrane: subtract the threshold, set it to 0, or set it to the node's `v_reset`."""

    SUBTRACT = "subtract"
    ZERO = "zero"
    VALUE = "value"


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """A framework's conventions; None is left open. `dt` is in the unit of the file's time constants."""

    name: str
    dt: float
    fire: Fire
    reset: Reset | None
    reset_delay: bool | None
    leading_axes: bool = False
    """Whether exported shapes start with the example's batch or time axis."""
    dt_in_seconds: bool = True
    """Whether the file's time constants are in seconds; Sinabs counts in steps."""


DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect
    for dialect in (
        Dialect(name="snntorch", dt=1e-4, fire=Fire.GT, reset=None, reset_delay=None),
        Dialect(name="norse", dt=1e-3, fire=Fire.GT, reset=Reset.VALUE, reset_delay=False, leading_axes=True),
        Dialect(name="spikingjelly", dt=1e-4, fire=Fire.GE, reset=Reset.VALUE, reset_delay=False),
        Dialect(
            name="sinabs",
            dt=1.0,
            fire=Fire.GE,
            reset=Reset.SUBTRACT,
            reset_delay=False,
            leading_axes=True,
            dt_in_seconds=False,
        ),
        Dialect(name="nir", dt=1e-4, fire=Fire.GT, reset=Reset.VALUE, reset_delay=False),
    )
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a user or a file's metadata says about the conventions; None says nothing.

    Raises OptionError for an unknown name or a time step that is not a positive number.
    """

    dialect: str | None = None
    dt: float | None = None
    reset: str | None = None
    reset_delay: bool | None = None
    fire: str | None = None

    def __post_init__(self) -> None:
        _check_choice("dialect", self.dialect, tuple(DIALECTS))
        _check_choice("reset", self.reset, tuple(Reset))
        _check_choice("fire", self.fire, tuple(Fire))
        if self.reset_delay is not None and not isinstance(self.reset_delay, bool | np.bool_):
            raise OptionError(f"the reset delay is True or False: got {quoted(self.reset_delay)}; use one of them")
        if self.dt is not None:
            _check_dt(self.dt)

    @property
    def empty(self) -> bool:
        """Whether nothing is said."""
        return all(getattr(self, f.name) is None for f in fields(self))

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
    fire: Fire

    @property
    def reset_mode(self) -> ResetMode:
        """The reset in the IR's terms; a reset to zero is one to the value 0."""
        return ResetMode.SUBTRACT if self.reset is Reset.SUBTRACT else ResetMode.VALUE

    @property
    def reset_place(self) -> ResetPlace:
        """Where in the step the reset happens."""
        return reset_place(self.dialect.name, self.reset_mode, self.reset_delay)


def reset_place(dialect: str, mode: ResetMode, delay: bool) -> ResetPlace:
    """Where a reset happens; snnTorch has its own order for the undelayed subtraction."""
    if delay:
        return ResetPlace.NEXT
    if dialect == "snntorch" and mode is ResetMode.SUBTRACT:
        return ResetPlace.SNNTORCH_SAME
    return ResetPlace.SAME


def resolve(options: Options, metadata: Options) -> Conventions:
    """Combine the user's options, the file's metadata and the dialect, the first that says something winning.

    Raises OptionError, with the options to give, for whatever none of them says.
    """
    merged = options.over(metadata)
    if merged.dialect is None:
        raise OptionError(
            "a NIR file does not say how a time step works: no dialect is given, and it has no Spikeloom metadata; "
            f"give --dialect {'|'.join(DIALECTS)}, the tool that wrote it"
        )
    dialect = DIALECTS[merged.dialect]
    reset = merged.reset if merged.reset is not None else dialect.reset
    reset_delay = merged.reset_delay if merged.reset_delay is not None else dialect.reset_delay
    if reset is None or reset_delay is None:
        missing = ["--reset subtract|zero|value"] if reset is None else []
        missing += ["--reset-delay or --no-reset-delay"] if reset_delay is None else []
        raise OptionError(
            f"the dialect {dialect.name!r} does not fix the reset and its export loses it: "
            f"what the network was trained with is not known; give {' and '.join(missing)}"
        )
    return Conventions(
        dialect=dialect,
        dt=float(merged.dt if merged.dt is not None else dialect.dt),
        reset=Reset(reset),
        reset_delay=bool(reset_delay),
        fire=Fire(merged.fire if merged.fire is not None else dialect.fire),
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
