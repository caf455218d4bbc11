"""Every rule of the IR is broken once, and the message names the node and the rule in one line."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from golden import golden_cases
from spikeloom.compiler.ir.connectivity import Dense, Quantised
from spikeloom.compiler.ir.network import INPUT, Network, Population, Projection
from spikeloom.compiler.ir.neurons import (
    IF,
    LI,
    LIF,
    Arithmetic,
    CubaLIF,
    Decay,
    IntegerDynamics,
    Kind,
    ResetMode,
    ResetPlace,
)
from spikeloom.compiler.ir.verifier import verify
from spikeloom.hdl.errors import ModelError, quoted

INPUTS, HIDDEN, OUTPUTS = 4, 3, 2


def float_network(hidden: Any = None, **changes: Any) -> Network:
    """A valid 4-3-2 float network whose hidden dynamics and fields can be replaced."""
    populations = (
        Population(name="hidden", shape=(HIDDEN,), dynamics=hidden or LIF(beta=0.9, threshold=1.0)),
        Population(name="out", shape=(OUTPUTS,), dynamics=LI(beta=np.full(OUTPUTS, 0.5)), bias=np.zeros(OUTPUTS)),
    )
    projections = (
        Projection(pre=INPUT, post="hidden", connectivity=Dense(weights=np.ones((INPUTS, HIDDEN)))),
        Projection(pre="hidden", post="out", connectivity=Dense(weights=np.ones((HIDDEN, OUTPUTS)))),
    )
    network = Network(input_shape=(INPUTS,), populations=populations, projections=projections, output="out")
    return replace(network, **changes)


def integer_network(dynamics: dict[str, Any] | None = None, **projection: Any) -> Network:
    """A valid 4-3 integer network whose dynamics and projection can be changed."""
    settings: dict[str, Any] = {"kind": Kind.LIF, "fire": 100, "sub": 100, "decay": Decay(c=3, k=5)}
    population = Population(
        name="hidden", shape=(HIDDEN,), dynamics=IntegerDynamics(**(settings | (dynamics or {}))), bias=1
    )
    codes = Quantised(codes=np.ones((INPUTS, HIDDEN)), bits=4)
    fields: dict[str, Any] = {"pre": INPUT, "post": "hidden", "connectivity": Dense(weights=codes)}
    return Network(
        input_shape=(INPUTS,),
        populations=(population,),
        projections=(Projection(**(fields | projection)),),
        output="hidden",
    )


def with_projection(**changes: Any) -> Network:
    network = float_network()
    return replace(network, projections=(replace(network.projections[0], **changes), network.projections[1]))


def codes(values: Any, **fields: Any) -> dict[str, Any]:
    return {"connectivity": Dense(weights=Quantised(codes=np.broadcast_to(values, (INPUTS, HIDDEN)), **fields))}


def hidden(**changes: Any) -> Network:
    network = float_network()
    return replace(network, populations=(replace(network.populations[0], **changes), network.populations[1]))


def recurrent(delay: Any) -> Network:
    network = float_network()
    loop = Projection(pre="out", post="hidden", connectivity=Dense(weights=np.ones((OUTPUTS, HIDDEN))), delay=delay)
    return replace(network, projections=(*network.projections, loop))


NAN, INF = float("nan"), float("inf")
ZEROS = np.zeros((INPUTS, HIDDEN))

BROKEN: dict[str, tuple[Network, str]] = {
    # the graph
    "no populations": (float_network(populations=()), "at least one population"),
    "names twice": (hidden(name="out"), "unique: 'out' appears twice"),
    "named input": (hidden(name="input"), "'input' means the network's input"),
    "no name": (hidden(name=""), "not empty: got ''"),
    "unknown output": (float_network(output="outt"), "'outt' is none; use 'out'"),
    "unknown pre": (with_projection(pre="nobody"), "'nobody' -> 'hidden' starts at neither"),
    "unknown post": (with_projection(post="nobody"), "'input' -> 'nobody' ends at none"),
    "no inputs": (float_network(projections=float_network().projections[1:]), "'hidden' has none; connect"),
    "empty shape": (hidden(shape=(0,)), r"'hidden' has \(0,\)"),
    "negative shape": (hidden(shape=(-3,)), r"'hidden' has \(-3,\)"),
    "input without size": (float_network(input_shape=(4, 0)), "shape holds positive"),
    "zero x_max": (float_network(x_max=0), "1 to 255: got 0"),
    "large x_max": (float_network(x_max=256), "1 to 255: got 256"),
    "half precision": (float_network(dtype="float16"), "got 'float16'"),
    "negative dt": (float_network(dt=-1.0), "positive number of seconds: got -1"),
    "cycle without delay": (recurrent(0), "'out' -> 'hidden' has none"),
    "cycle with one synapse without delay": (recurrent(np.eye(OUTPUTS, HIDDEN)), "'out' -> 'hidden' has none"),
    "levels mixed": (
        replace(
            integer_network(),
            populations=(*integer_network().populations, *float_network().populations[1:]),
        ),
        "'hidden' is integer, population 'out' is not",
    ),
    "integer weights, float neurons": (with_projection(**codes(1, bits=4)), "are float, projection 'input'"),
    "float weights, integer neurons": (integer_network(connectivity=Dense(weights=ZEROS)), "are integer, projection"),
    "not dynamics": (hidden(dynamics="LIF"), "'hidden' has str"),
    # float parameters
    "beta above 1": (float_network(LIF(beta=1.1, threshold=1.0)), "0 to 1: population 'hidden' has 1.1"),
    "beta below 0": (float_network(LIF(beta=[0.5, -0.1, 1], threshold=1.0)), "beta is .* has -0.1"),
    "alpha above 1": (float_network(CubaLIF(alpha=2.0, beta=0.5, threshold=1.0)), "alpha is .* has 2"),
    "beta of another size": (float_network(LIF(beta=[0.5, 0.5], threshold=1.0)), r"beta of .* has shape \(2,\)"),
    "threshold as a matrix": (float_network(IF(threshold=np.ones((3, 1)))), "threshold of population 'hidden'"),
    "NaN threshold": (float_network(IF(threshold=NAN)), "threshold of population 'hidden' holds NaN or Inf"),
    "Inf v_reset": (float_network(IF(threshold=1.0, v_reset=INF)), "v_reset of population 'hidden' holds NaN"),
    "NaN beta": (float_network(LIF(beta=NAN, threshold=1.0)), "beta of population 'hidden' holds NaN"),
    "huge threshold": (float_network(IF(threshold=1e300)), "threshold of population 'hidden' holds 1e\\+300"),
    "NaN bias": (hidden(bias=[0, NAN, 0]), "bias of population 'hidden' holds NaN"),
    "bias of another size": (hidden(bias=np.zeros(4)), r"\(3\): bias of population 'hidden' has shape \(4,\)"),
    "unknown reset": (float_network(IF(threshold=1.0, reset_mode="zero")), "'hidden' has 'zero'"),  # type: ignore[arg-type]
    "snntorch_same to a value": (
        float_network(IF(threshold=1.0, reset_mode=ResetMode.VALUE, reset_place=ResetPlace.SNNTORCH_SAME)),
        "'hidden' resets to a value",
    ),
    "Euler without leak": (
        float_network(LIF(beta=1.0, threshold=1.0, arithmetic=Arithmetic.EULER)),
        "'hidden' has beta 1, which ignores its input",
    ),
    # projections
    "transposed weights": (
        with_projection(connectivity=Dense(weights=ZEROS.T)),
        r"\(4, 3\): projection 'input' -> 'hidden' has \(3, 4\)",
    ),
    "NaN weight": (with_projection(connectivity=Dense(weights=ZEROS + NAN)), "'input' -> 'hidden' holds NaN"),
    "huge weight": (with_projection(connectivity=Dense(weights=ZEROS - 1e31)), "at most 1e\\+30: projection 'input'"),
    "unknown connectivity": (
        with_projection(connectivity="all"),
        "connectivity is an object that answers for itself: projection 'input' -> 'hidden' has str",
    ),
    "negative delay": (with_projection(delay=-1), "0 to 4095 steps: projection 'input' -> 'hidden' has -1"),
    "endless delay": (with_projection(delay=1 << 40), "0 to 4095 steps"),
    "delays of another shape": (with_projection(delay=[1, 2]), r"one for each synapse \(4, 3\): .* has \(2,\)"),
    "step edge without a delay": (
        with_projection(step_edge=True),
        "a delay of a step or more: projection 'input' -> 'hidden' says True and has 0 steps; give it a delay",
    ),
    "float shift": (with_projection(shift=1), "a float projection has no shift"),
    # integers
    "negative shift": (integer_network(shift=-1), "0 to 24: projection 'input' -> 'hidden' has -1"),
    "large shift": (integer_network(shift=25), "0 to 24"),
    "code out of range": (integer_network(**codes(8, bits=4)), "4-bit weight codes are -7 to 7.* has 8 to 8"),
    "most negative code": (integer_network(**codes(-8, bits=4)), "-7 to 7.* has -8"),
    "one bit": (integer_network(**codes(0, bits=1)), "2 to 16 bits: .* has 1"),
    "17 bits": (integer_network(**codes(0, bits=17)), "2 to 16 bits: .* has 17"),
    "unknown scheme": (integer_network(**codes(0, bits=4, scheme="log")), "'input' -> 'hidden' has 'log'"),
    "zero scale": (integer_network(**codes(0, bits=4, scale=0.0)), "a weight scale is positive"),
    "scale per pre neuron": (integer_network(**codes(0, bits=4, scale=np.ones(4))), r"has shape \(4,\)"),
    "NaN scale": (integer_network(**codes(0, bits=4, scale=NAN)), "holds NaN"),
    "no reset": (integer_network({"reset_mode": ResetMode.NONE}), "use subtract with sub = 0"),
    "state of one bit": (integer_network({"state_bits": 1}), "2 to 32: population 'hidden' has 1"),
    "state of 33 bits": (integer_network({"state_bits": 33}), "2 to 32: population 'hidden' has 33"),
    "negative fraction": (integer_network({"fraction_bits": -1}), "fraction_bits is 0 to 24"),
    "negative neuron scale": (integer_network({"scale": -1.0}), "scales are positive"),
    "fire too large": (integer_network({"fire": 1 << 15}), r"\(-32768 to 32767\): fire .* has 32768"),
    "sub too small": (integer_network({"sub": -(1 << 15) - 1}), "sub of population 'hidden' has -32769"),
    "v_reset too large": (integer_network({"v_reset": [0, 0, 1 << 20]}), "v_reset of population 'hidden'"),
    "fire of another size": (integer_network({"fire": [1, 2]}), r"fire of .* has shape \(2,\)"),
    "c above 2^k": (integer_network({"decay": Decay(c=33, k=5)}), r"\(32\): decay of .* has 33"),
    "negative c": (integer_network({"decay": Decay(c=-1, k=5)}), "has -1"),
    "negative k": (integer_network({"decay": Decay(c=0, k=-1)}), "k is 0 to 30"),
    "large k": (integer_network({"decay": Decay(c=0, k=31)}), "k is 0 to 30"),
    "LIF without decay": (integer_network({"decay": None}), "decay of population 'hidden' is missing"),
    "IF with decay": (integer_network({"kind": Kind.IF}), "decay of population 'hidden' is one too many"),
    "CubaLIF with one decay": (integer_network({"kind": Kind.CUBALIF}), "decay_syn of .* is missing"),
    "unknown kind": (integer_network({"kind": "ALIF"}), "'hidden' has 'ALIF'"),
    "unknown rounding": (integer_network({"decay": Decay(c=1, k=1, rounding="up")}), "has 'up'"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_rule_is_named(name: str) -> None:
    network, message = BROKEN[name]
    with pytest.raises(ModelError, match=message) as caught:
        verify(network)
    assert "\n" not in str(caught.value)


def test_sums_of_a_step_stay_in_64_bits() -> None:
    size = 1 << 16
    weights = Quantised(codes=np.full((size, 1), 32767), bits=16)
    network = replace(
        integer_network({"state_bits": 32}),
        input_shape=(size,),
        populations=(replace(integer_network().populations[0], shape=(1,)),),
        projections=(Projection(pre=INPUT, post="hidden", connectivity=Dense(weights=weights), shift=24),),
        x_max=255,
    )
    with pytest.raises(ModelError, match="fits 62 bits: population 'hidden'"):
        verify(network)
    verify(replace(network, x_max=15))


def test_valid_networks_pass() -> None:
    verify(float_network())
    verify(float_network(CubaLIF(alpha=0.5, beta=1.0, threshold=1.0)))
    verify(recurrent(1))
    verify(recurrent(np.full((OUTPUTS, HIDDEN), 4095)))
    verify(integer_network())
    verify(integer_network({"fire": -1, "sub": 0, "decay": Decay(c=[0, 1, 4], k=2)}))


def test_golden_networks_pass() -> None:
    for case in golden_cases():
        verify(case.network)
        for projection in case.network.projections:
            assert projection.step_edge == bool(np.any(projection.delay))


def test_step_edges_and_cycles_are_said_by_the_graph_and_not_by_places() -> None:
    forward, loop = recurrent(1).projections[1:]
    assert (forward.step_edge, loop.step_edge) == (False, True)
    assert [recurrent(1).is_recurrent(p) for p in (forward, loop)] == [False, True]
    network = float_network()
    assert not any(network.is_recurrent(p) or p.step_edge for p in network.projections)
    late = replace(network, projections=(network.projections[0], forward.delayed(np.array(2))))
    turned = replace(late, populations=late.populations[::-1])  # an edge to an earlier population is no cycle
    verify(turned)
    assert turned.projections[1].step_edge and not turned.is_recurrent(turned.projections[1])
    back = replace(turned, projections=(network.projections[0], late.projections[1].delayed(np.array(0))))
    assert not back.projections[1].step_edge
    with pytest.raises(ModelError, match="'hidden' -> 'out' has none and does not lead to a later population"):
        verify(back)
    untold = replace(late.projections[1])
    object.__setattr__(untold, "step_edge", False)
    with pytest.raises(ModelError, match="projection 'hidden' -> 'out' says False and has 2 steps; give"):
        verify(replace(network, projections=(network.projections[0], untold)))


def test_names_are_shown_short_and_on_one_line() -> None:
    assert quoted("a\nb") == r"'a\nb'"
    assert len(quoted("x" * 10_000)) == 60
    with pytest.raises(ModelError) as caught:
        verify(hidden(name="x" * 100_000 + "\n", bias=NAN))
    assert len(str(caught.value)) < 300 and "\n" not in str(caught.value)
