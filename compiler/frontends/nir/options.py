"""The user's options over a network that a file's metadata holds in full."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ....hdl.errors import OptionError
from ...ir.network import Network, Population
from ...ir.neurons import Fire, FiringDynamics, ResetMode, ResetPlace, several
from ...ir.signed import with_signed_inputs
from .dialects import MINUS_THRESHOLD, NO_FLOOR, Options, Reset, reset_place


def with_options(network: Network, options: Options) -> Network:
    """The network of a file's metadata under the user's options, which win; its dialect is the metadata's.

    Raises OptionError where the network is past the point of changing: another time step, or any option for integers.
    """
    if options.dt is not None and options.dt != network.dt:
        raise OptionError(f"the file's network is already in time steps of its own: got dt {options.dt}; omit it")
    if options.tau is not None:
        raise OptionError(f"the file's network is already in time steps of its own: got tau {options.tau}; omit it")
    given = [name for name in options.given if name in ("reset", "reset_delay", "fire", "v_min", "max_spikes")]
    if network.is_integer and given:
        raise OptionError(
            f"an integer network's neurons are fixed: got {' and '.join(given)}; change the float network"
        )
    if options.x_max is not None and options.x_max != network.x_max:
        network = _with_x_max(network, options.x_max)
    if options.x_min is not None and options.x_min != network.x_min:
        network = _with_x_min(network, options.x_min)
    if not given:
        return network
    populations = tuple(_population_with_options(p, options, network.dialect) for p in network.populations)
    return with_floor(replace(network, populations=populations), options.v_min)


def with_floor(network: Network, v_min: float | str | None) -> Network:
    """The float network with this floor of the membranes of all that fire (see `Options`); None changes nothing."""
    if v_min is None:
        return network
    return replace(network, populations=tuple(_population_with_floor(p, v_min) for p in network.populations))


def _population_with_floor(population: Population, v_min: float | str) -> Population:
    dynamics = population.dynamics
    if not isinstance(dynamics, FiringDynamics):
        return population
    floor = None if v_min == NO_FLOOR else -dynamics.threshold if v_min == MINUS_THRESHOLD else np.array(v_min)
    return replace(population, dynamics=replace(dynamics, v_min=floor))


def _with_x_max(network: Network, x_max: int) -> Network:
    if network.is_integer:
        raise OptionError(
            f"an integer network's widths are proven for inputs of at most {network.x_max}: got x_max {x_max}; change "
            "the float network"
        )
    return replace(network, x_max=x_max)


def _with_x_min(network: Network, x_min: int) -> Network:
    if network.is_integer or network.x_min:
        raise OptionError(
            f"the file's network has its inputs, from {network.x_min} on: got x_min {x_min}; change the float network"
        )
    return with_signed_inputs(network, x_min)


def _population_with_options(population: Population, options: Options, dialect: str) -> Population:
    dynamics = population.dynamics
    if not isinstance(dynamics, FiringDynamics):
        return population
    mode, place, v_reset = dynamics.reset_mode, dynamics.reset_place, dynamics.v_reset
    delay = place is ResetPlace.NEXT if options.reset_delay is None else options.reset_delay
    if options.reset is not None:
        mode = ResetMode.SUBTRACT if options.reset == Reset.SUBTRACT else ResetMode.VALUE
        v_reset = np.zeros(()) if options.reset == Reset.ZERO else v_reset
    if options.reset is not None or options.reset_delay is not None:
        place = reset_place(dialect, mode, bool(delay))
    fire = dynamics.fire if options.fire is None else Fire(options.fire)
    most = dynamics.max_spikes if options.max_spikes is None else several(options.max_spikes)
    sub = dynamics.sub if mode is ResetMode.SUBTRACT else None
    changed = replace(dynamics, reset_mode=mode, reset_place=place, fire=fire, v_reset=v_reset)
    return replace(population, dynamics=replace(changed, max_spikes=most, sub=sub))
