"""`--early-exit` of `run`, `simulate` and `compile`: what samples that end before their last step save and cost."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from . import common

if TYPE_CHECKING:
    from ...sim.recording import Recording
    from ..data.samples import Samples
    from ..ir.network import Network
    from ..output.build_folder import BuildFolder


def add_option(parser: argparse.ArgumentParser) -> None:
    """The option of commands whose samples may end before their last step, or that say what it saves."""
    parser.add_argument(
        "--early-exit",
        type=common.whole(1),
        metavar="MARGIN",
        help="end a sample once its class leads by MARGIN spikes (read by first-spike: once an output has fired)",
    )


def saved_by(
    build: BuildFolder | None, network: Network, samples: Samples, margin: int, recording: Recording
) -> dict[str, Any]:
    """What samples that end early save and cost, by the recording of all their steps."""
    from ..flow.early import early_exits, plan_of_build
    from ..report.outcome import early_data

    plan = None
    if build is not None and build.coding is None and network.is_integer:
        plan = plan_of_build(build, network)
    return early_data(early_exits(recording, samples, margin, plan))


def print_saved(saved: dict[str, Any]) -> None:
    """The figures of `saved_by`."""
    steps, taken = saved["steps"], saved["steps_taken"]
    right = f"; accuracy {saved['accuracy']:.2%}" if "accuracy" in saved else ""
    print(
        f"early exit at a margin of {saved['margin']}: {taken:.1f} of {steps} steps on average, "
        f"{saved['classes_changed']} classes are others{right}"
    )
    if "cycles" in saved:
        print(
            f"cycles of the core: {saved['cycles_taken']:,.0f} in place of {saved['cycles']:,.0f}, mean of "
            f"{saved['cycles_of_samples']} samples ({1 - saved['cycles_taken'] / saved['cycles']:.1%} saved)"
        )
