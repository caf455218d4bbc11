"""The folding of a build: as it is given, by default the smallest core's, or chosen for a purpose; and its plan."""

from __future__ import annotations

from dataclasses import replace

from ...boards.boards import Board, device_of
from ...boards.clock import fastest_hz
from ...boards.devices import Device
from ...hdl.errors import OptionError
from ...hdl.link.protocol import LinkFormat
from ...hdl.memories.memory import Family
from ...hdl.resources import Resources
from ...sim.reference import run_reference
from ..data.samples import Samples
from ..estimate.candidates import of_words
from ..estimate.choose_folding import Objective, Purpose, choose_folding
from ..ir.network import Network
from ..plan.folding import Folding, default_folding, fast_folding
from ..plan.host_link import link_for, memory_needs, with_room
from ..plan.plan import Plan, make_plan, with_spram, with_state_in_spram
from ..plan.readout import require_folded_answer
from .clock import aimed_share
from .facts import Step
from .measure import mean_rates, random_samples
from .options import CompileOptions, family_of, follows_fmax, plan_target_clock, silent

FEW_LANES = (4, 8, 16)
"""How many neurons words may have where the smallest core's memories are too large."""

CHOICE_SAMPLES = 100
"""Samples whose activity chooses a folding."""


def _with_wide_input(network: Network, options: CompileOptions) -> CompileOptions:
    """The options with a wide input in the folding, where it is wanted."""
    if not options.wide:
        return options
    folding = options.folding or default_folding(network)
    return replace(options, folding=replace(folding, wide=True))


def with_chosen_folding(
    network: Network,
    target: Board | Device | None,
    options: CompileOptions,
    link: LinkFormat,
    samples: Samples | None,
    step: Step = silent,
) -> CompileOptions:
    """The options with the folding that serves their purpose, if any, for the activity on the first samples or made-up
    ones; its input is wide where that is wanted."""
    if options.minimise is options.latency_us is options.samples_per_s is None:
        return _with_wide_input(network, options)
    if options.folding is not None:
        raise OptionError("a folding is given or chosen: leave out the folding, or what to minimise and the targets")
    ran = random_samples(network, options.seed) if samples is None else samples.first(CHOICE_SAMPLES)
    purpose = Purpose(
        objective=Objective(options.minimise or Objective.LUTS),
        latency_us=options.latency_us,
        samples_per_s=options.samples_per_s,
        clock_hz=_most_hz(target, options),
        share=aimed_share(options) if follows_fmax(target, options) else 1.0,
        steps=ran.steps,
    )
    device = None if target is None else device_of(target)
    with step("choosing the folding") as progress:
        folding = choose_folding(
            network,
            Family(family_of(target)),
            purpose,
            mean_rates(ran, run_reference(network, ran.spikes)),
            device=None if device is None else device.id,
            capacity=None if device is None else device.capacity,
            link=None if device is None or options.wide else link,
            wide=options.wide,
            headroom=options.headroom,
            fast=options.fast,
            placed=lambda plan: _with_room_in_spram(plan, target, options, link),
            progress=progress,
        )
    return _with_wide_input(network, replace(options, folding=folding, fast=False))


def _most_hz(target: Board | Device | None, options: CompileOptions) -> float:
    """The fastest clock in hertz that a folding may have."""
    if target is not None and follows_fmax(target, options):
        return fastest_hz(target)
    return plan_target_clock(target, options).hz


def link_on(target: Board | Device | None, network: Network, options: CompileOptions) -> LinkFormat:
    """The host link that a network has on a target: not packed where the fewest look-up tables are wanted."""
    capacity = Resources() if target is None else device_of(target).capacity
    packed = False if options.packed is None and options.minimise == Objective.LUTS else options.packed
    return link_for(network, capacity, options.coding, packed)


def plan_for(network: Network, target: Board | Device | None, options: CompileOptions, link: LinkFormat) -> Plan:
    """The plan of an integer network for a target, weights in SPRAM where that is wanted or needed, and where that is
    too little the state of a wide engine, too; registers on the way of engines where that is wanted or pays. Where no
    folding is given and the smallest core's memories are more than the target has, maps lie in words of several
    neurons, as few as hold them.

    Raises ModelError where its core cannot answer what the class is read by.
    """

    def planned(folding: Folding) -> Plan:
        require_folded_answer(network, folding)
        return _with_room_in_spram(_quick_plan(network, target, options, folding), target, options, link)

    plan = planned(options.folding or default_folding(network))
    if options.folding is not None or target is None:
        return plan
    capacity = device_of(target).capacity
    if memory_needs(plan, link).fits(capacity):
        return plan
    for _, folding in of_words(network, FEW_LANES):
        words = planned(folding)
        if memory_needs(words, link).fits(capacity):
            return words
    return plan


def _with_room_in_spram(plan: Plan, target: Board | Device | None, options: CompileOptions, link: LinkFormat) -> Plan:
    """The plan with weights in SPRAM where that is wanted or needed, and where that is too little, states too."""
    capacity = Resources() if target is None else device_of(target).capacity
    if isinstance(target, Board) and target.flash is None:
        capacity = replace(capacity, spram=0)  # it cannot be filled
    if options.weights == "spram" and not capacity.spram:
        where = "no target is given" if target is None else f"{target.id} has none"
        raise OptionError(f"weights in SPRAM need an iCE40UP5K: {where}; choose another target or --weights bram")
    if options.weights == "bram" or not capacity.spram:
        return plan
    if options.weights == "auto" and memory_needs(plan, link).fits(capacity):
        return plan
    moved = with_spram(plan)
    if memory_needs(moved, link).fits(capacity):
        return moved
    emptied = with_state_in_spram(moved)
    if memory_needs(emptied, link).fits(capacity):
        return emptied
    return moved if options.weights == "spram" else plan


def link_beside(plan: Plan, target: Board | Device | None, link: LinkFormat) -> LinkFormat:
    """The host link that a plan's design has on a target (`host_link.with_room`)."""
    return link if target is None else with_room(link, plan, device_of(target).capacity)


def all_fast(network: Network, folding: Folding) -> Folding:
    """The folding with registers on the way of every engine that can have some. Raises OptionError where none can."""
    fast = fast_folding(network, folding)
    if not fast.fast:
        raise OptionError(
            "--fast is for engines of one lane with plain neurons, whose spikes do not come back: this folding has "
            "none; leave it out"
        )
    return fast


def _quick_plan(network: Network, target: Board | Device | None, options: CompileOptions, folding: Folding) -> Plan:
    """The plan of a folding. Where nobody says whether its engines are fast they are on ECP5, where registers cost no
    look-up tables, unless that would take more block RAMs."""
    family = family_of(target)

    def planned(chosen: Folding) -> Plan:
        return make_plan(network, family, chosen, headroom=options.headroom)

    if options.fast:
        return planned(all_fast(network, folding))
    plan = planned(folding)
    if options.fast is not None or Family(family) is not Family.ECP5:
        return plan
    fast = fast_folding(network, folding)
    if fast == folding:
        return plan
    quick = planned(fast)
    return quick if quick.brams <= plan.brams else plan
