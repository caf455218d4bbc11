"""What several commands share: the options of a MODEL, opening one, progress and output."""

from __future__ import annotations

import argparse
import math
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..names import DIALECTS, FIRES, FOLDS, KEEP, METHODS, OBJECTIVES, ONLY_DECODERS, READOUTS, RESETS, SCHEMES, TAUS
from .progress import Progress as Progress
from .progress import progress_bar as progress_bar
from .progress import tell as tell

if TYPE_CHECKING:
    from ..ir.network import Network
    from ..output.build_folder import BuildFolder
    from ..plan.folding import Folding


T = TypeVar("T")

MODEL = "a NIR file, quantised weights (.npz) or a state dict (.pt)"
"""What a command takes as one."""


def whole(minimum: int, maximum: int | None = None) -> Callable[[str], int]:
    """An argparse type: a whole number in a range."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be a whole number: {text!r}") from None
        if value < minimum or (maximum is not None and value > maximum):
            rule = f"{minimum} or more" if maximum is None else f"{minimum} to {maximum}"
            raise argparse.ArgumentTypeError(f"must be {rule}: {value}")
        return value

    return parse


def real(minimum: float, maximum: float = math.inf, *, open_: bool = False) -> Callable[[str], float]:
    """An argparse type: a finite number from `minimum` to `maximum`, both excluded with `open_`."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be a number: {text!r}") from None
        inside = minimum < value < maximum if open_ else minimum <= value <= maximum
        if not (inside and math.isfinite(value)):
            bounds = f"above {minimum:g}" if open_ else f"{minimum:g} or more"
            upper = "" if maximum == math.inf else f" and {'below' if open_ else 'at most'} {maximum:g}"
            raise argparse.ArgumentTypeError(f"must be {bounds}{upper}: {text}")
        return value

    return parse


def share() -> Callable[[str], float]:
    """An argparse type: a share as 10% or 0.1."""

    def parse(text: str) -> float:
        percent = text.endswith("%")
        value = real(0)(text.removesuffix("%"))
        return value / 100 if percent else value

    return parse


def floor(text: str) -> float | str:
    """An argparse type: a finite number, the word for minus the threshold or that for no floor."""
    return text if text in ("threshold", "none") else real(-math.inf)(text)


def model_options(readouts: Sequence[str] = READOUTS) -> argparse.ArgumentParser:
    """The parent parser of every command that takes a MODEL: what a NIR file leaves open, and one of the `readouts`."""
    parent = argparse.ArgumentParser(add_help=False)
    group = parent.add_argument_group("conventions of the NIR file (over its metadata, over the dialect)")
    group.add_argument("--dialect", choices=DIALECTS, help="the framework that exported the file")
    group.add_argument("--dt", type=real(0, open_=True), metavar="SECONDS", help="the time step")
    group.add_argument("--reset", choices=RESETS, help="what a spike does to the membrane")
    group.add_argument(
        "--reset-delay",
        action=argparse.BooleanOptionalAction,
        help="whether the reset acts one step after the spike, or in its step",
    )
    group.add_argument("--fire", choices=FIRES, help="fire above the threshold (gt), or at it too (ge)")
    group.add_argument("--tau", choices=TAUS, help="Norse's time constants: in seconds, or times dt (release 1.1.0)")
    group.add_argument(
        "--v-min",
        type=floor,
        metavar="V|threshold|none",
        help="a floor of the membranes of neurons that fire: V, or minus the threshold; default: none, for an IF of "
        "sinabs minus the threshold",
    )
    group.add_argument(
        "--max-spikes",
        type=whole(1, 255),
        metavar="N",
        help="how often a neuron fires in a step at most; default: 1, for sinabs as often as it can (255)",
    )
    group.add_argument("--x-max", type=whole(1, 255), metavar="N", help="the largest value of an input; default: 1")
    group.add_argument("--x-min", type=whole(-255, 0), metavar="N", help="the smallest value of an input; default: 0")
    group = parent.add_argument_group("readout: how a class is read off the output (docs/arithmetic.md)")
    group.add_argument(
        "--readout",
        choices=readouts,
        help="default: spikes, or of LI membrane-sum, which commands that build hardware take by membrane-last",
    )
    group.add_argument("--classes", type=whole(2), metavar="N", help="the outputs are N groups, one for each class")
    group.add_argument(
        "--readout-threshold", type=whole(1), metavar="N", help="one output neuron says class 1 from N spikes on"
    )
    return parent


def several(one: Callable[[str], T]) -> Callable[[str], list[T]]:
    """An argparse type: values with commas between them, each once."""

    def parse(text: str) -> list[T]:
        return list(dict.fromkeys(one(part.strip()) for part in text.split(",")))

    return parse


def compression_options() -> argparse.ArgumentParser:
    """The parent parser of every command that compresses."""
    parent = argparse.ArgumentParser(add_help=False)
    group = parent.add_argument_group("compression (of float networks; docs/compression.md)")
    group.add_argument(
        "--method",
        choices=(*METHODS, KEEP),
        help="default: keep where nothing is pruned and weights lie on a grid already, else osbc where there are "
        "samples and torch is installed, else magnitude",
    )
    group.add_argument("--sparsity", type=real(0, 1), metavar="S", help="share of all weights to prune")
    group.add_argument("--bits", type=whole(1, 16), metavar="N", help="bits of a weight; 1 with the scheme binary")
    group.add_argument("--scheme", choices=SCHEMES, help="default: fixed_point")
    group.add_argument(
        "--shared-leaks",
        action="store_true",
        help="one leak for all neurons of a population, the mean of theirs: hardware then needs no multiplication",
    )
    group.add_argument(
        "--layer",
        action="append",
        default=[],
        metavar="NAME:KEY=VALUE[,...]",
        help="another sparsity, bits or scheme for the weights into the population NAME; may be repeated",
    )
    return parent


def folding_options() -> argparse.ArgumentParser:
    """The parent parser of every command that plans a core."""
    parent = argparse.ArgumentParser(add_help=False)
    titled = parent.add_argument_group("folding (docs/hardware.md)")
    group = titled.add_mutually_exclusive_group()
    group.add_argument(
        "--fold",
        choices=FOLDS,
        help="one engine for all populations, one each, one with words of 16 neurons, or one each with words of 4 "
        "synapses; default: smallest, and wide where maps are too large for a device otherwise",
    )
    group.add_argument("--folding", type=Path, metavar="FILE.json", help="which engine runs which populations")
    titled.add_argument(
        "--lanes",
        type=whole(1),
        metavar="N",
        help="with --fold: engines that share a population, neurons of a word (wide), or its synapses (slotted)",
    )
    titled.add_argument(
        "--pass-width",
        type=whole(1),
        metavar="N",
        help="with --fold slotted: neurons that a pass takes in a cycle (1, 2 or 4)",
    )
    titled.add_argument(
        "--fast",
        action=argparse.BooleanOptionalAction,
        help="registers on the way of engines with one lane: a higher clock for some cycles more (default: on ECP5 "
        "where they take no block RAM, and in a folding that is chosen where they serve its purpose)",
    )
    titled.add_argument(
        "--queue",
        type=whole(2, 1024),
        metavar="N",
        help="events, a power of two, that may wait between two engines, of which none holds up the other then: try 32",
    )
    titled.add_argument(
        "--lists",
        action="store_true",
        default=None,
        help="passes take the neurons that something came to from a list: for integrate-and-fire neurons of which few "
        "hear something in a step",
    )
    return parent


def purpose_options() -> argparse.ArgumentParser:
    """The parent parser of every command that may choose a folding."""
    parent = argparse.ArgumentParser(add_help=False)
    group = parent.add_argument_group("choice of the folding, by estimate (docs/hardware.md)")
    group.add_argument("--minimise", choices=OBJECTIVES, help="what the design shall have least of")
    group.add_argument("--target-latency", type=real(0, open_=True), metavar="US", help="microseconds for a sample")
    group.add_argument(
        "--target-throughput", type=real(0, open_=True), metavar="N", help="samples per second, one after the other"
    )
    return parent


def purpose_of(options: argparse.Namespace) -> dict[str, Any]:
    """What `purpose_options` say, and `--fast`, as CompileOptions takes it. Raises OptionError where a folding is given
    as well as a purpose."""
    from ...hdl.errors import OptionError

    chosen = {
        "minimise": options.minimise,
        "latency_us": options.target_latency,
        "samples_per_s": options.target_throughput,
    }
    if any(value is not None for value in chosen.values()) and (options.fold or options.folding):
        raise OptionError("a folding is given or chosen: leave out --fold and --folding, or --minimise and the targets")
    return chosen | {"fast": fast_of(options)}


def add_board_file(options: argparse.Namespace) -> None:
    """Make the board of `--board-file`, where one is given, the board that is meant. Raises OptionError."""
    if options.board_file is not None:
        from ...boards.board_file import read_board_file
        from ...boards.boards import add_board

        board = read_board_file(options.board_file)
        add_board(board)
        options.board = board.id


def board_file_option(group: argparse._ActionsContainer) -> None:
    """The option of every command that takes a board."""
    group.add_argument("--board-file", type=Path, metavar="FILE.toml", help="a board that a file describes")


def headroom_option(parser: argparse.ArgumentParser) -> None:
    """The option of every command that lays out memories."""
    parser.add_argument("--headroom", type=share(), metavar="SHARE", help="spare words for spikeloom reload")


def packed_option(parser: argparse.ArgumentParser) -> None:
    """The option of every command that has a host link."""
    parser.add_argument(
        "--packed",
        action=argparse.BooleanOptionalAction,
        help="fewer bytes on the line for more logic cells (default: where that pays)",
    )


def folding_of(options: argparse.Namespace, network: Network) -> Folding | None:
    """What `folding_options` say but for `--fast`; None for the default."""
    from ..plan.folding import default_folding

    folding = _named_folding(options, network)
    if options.lists:
        folding = _listing(network, folding or default_folding(network))
    if options.queue is None:
        return folding
    return _queued(network, folding or default_folding(network), options.queue)


def _listing(network: Network, folding: Folding) -> Folding:
    """The folding with `--lists`. Raises OptionError where that changes nothing."""
    from ...hdl.errors import OptionError
    from ..plan.folding import LEAST_LISTED, listing_folding

    listing = listing_folding(network, folding)
    if listing == folding:
        raise OptionError(
            f"--lists is for engines of one lane whose first population has {LEAST_LISTED} neurons or more, without "
            "leak and bias, and hears no maps: this folding has none; leave it out"
        )
    return listing


def _queued(network: Network, folding: Folding, depth: int) -> Folding:
    """The folding with `--queue`. Raises OptionError where that changes nothing."""
    from ...hdl.errors import OptionError
    from ..plan.folding import queued_folding

    queued = queued_folding(network, folding, depth)
    if queued == folding:
        raise OptionError(
            "--queue is for engines that listen to others, whose lanes have no queues yet: this folding has none; give "
            "each population its engine (--fold pipelined or slotted), or leave it out"
        )
    return queued


def _named_folding(options: argparse.Namespace, network: Network) -> Folding | None:
    from ...hdl.errors import OptionError
    from ..plan.folding import pipelined_folding, read_folding, shared_folding, slotted_folding, wide_folding

    if options.lanes is not None and options.fold in (None, "shared"):
        raise OptionError("--lanes says how wide an engine each is: give it with --fold pipelined, wide or slotted")
    if options.pass_width is not None and options.fold != "slotted":
        raise OptionError("--pass-width is for slotted engines: give it with --fold slotted")
    lanes = {} if options.lanes is None else {"lanes": options.lanes}
    if options.folding is not None:
        return read_folding(options.folding)
    if options.fold is None:
        return None
    if options.fold == "wide":
        return wide_folding(network, **lanes)
    if options.fold == "slotted":
        width = {} if options.pass_width is None else {"neurons_per_cycle": options.pass_width}
        return slotted_folding(network, **lanes, **width)
    return shared_folding(network) if options.fold == "shared" else pipelined_folding(network, **lanes)


def fast_of(options: argparse.Namespace) -> bool | None:
    """Whether engines are fast, as CompileOptions takes it: a file says it itself."""
    given: bool | None = options.fast
    return False if given is None and options.folding is not None else given


def conventions(options: argparse.Namespace) -> dict[str, Any]:
    """What `model_options` say, as `read_nir` takes it; None for what was left open, the rest where given."""
    said = {name: getattr(options, name) for name in ("dialect", "dt", "reset", "reset_delay", "fire")}
    return said | {
        name: value
        for name in ("tau", "x_max", "x_min", "v_min", "max_spikes")
        if (value := getattr(options, name)) is not None
    }


def read_model(options: argparse.Namespace, path: Path | None = None) -> Network:
    """The network of the file `path` (`options.model` unless told) under the conventions and the readout that the
    options name.

    Weights that are quantised already are taken as they are, unless the options say how to compress.
    """
    from ..flow.models import read_model as read

    compresses = any(getattr(options, name, None) is not None for name in ("method", "sparsity", "bits", "scheme"))
    return with_readout(options, read(path or options.model, real=compresses, **conventions(options)))


def with_readout(options: argparse.Namespace, network: Network) -> Network:
    """The network, its class read as the options say: of spikes that are counted, wherever they are."""
    by = "spikes" if options.readout in ONLY_DECODERS else options.readout
    return network.with_readout(by, classes=options.classes, threshold=options.readout_threshold)


def open_build(path: Path) -> BuildFolder:
    """A build folder; says on stderr which of its files were changed since the build."""
    from ...hdl.errors import listed, plain
    from ..output.build_folder import load_build_folder

    build = load_build_folder(path)
    if changed := build.changed_files():
        warn(f"{path} was changed after the build: {listed(changed, plain)}")
    return build


def own_command() -> str:
    """How this command can be called again: by its name where PATH finds it, else by its path from here."""
    script = Path(sys.argv[0] if Path(sys.argv[0]).name == "spikeloom" else sys.executable).with_name("spikeloom")
    found = shutil.which("spikeloom")
    if not script.is_file() or (found is not None and script.samefile(found)):
        return "spikeloom"
    script = script.absolute()
    here = Path.cwd()
    return shlex.quote(str(script.relative_to(here) if script.is_relative_to(here) else script))


def warn(message: str) -> None:
    """One line of warning on stderr."""
    print(f"spikeloom: warning: {message}", file=sys.stderr, flush=True)


def write_text(path: Path, text: str, *, force: bool) -> None:
    """Write a file that a user asked for, whole or not at all, and say so. Raises OptionError."""
    from ..output.build_folder import replaced

    with replaced(path, force=force) as temporary:
        temporary.write_text(text, encoding="utf-8")
    tell(f"wrote {path}")
