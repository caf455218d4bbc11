"""What to build, and for which target: the options of a compilation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction

from ...boards.boards import Board, all_boards, device_of, find_board
from ...boards.clock import BAUD, ClockPlan, clocks_per_bit, fastest_baud, has_pll, plan_clock
from ...boards.devices import DEVICES, Device, find_device
from ...hdl.errors import OptionError, SampleError, quoted
from ...hdl.images.coding import Decoder, ImageCoding
from ...hdl.link.spi import FEWEST_CLOCKS
from ..compression.recipe import Override
from ..data.samples import Samples
from ..estimate.choose_folding import Objective
from ..ir.network import Network
from ..ir.readout import ReadBy, Readout
from ..plan.folding import Folding


@dataclass(frozen=True, kw_only=True)
class CompileOptions:
    """What to build. `board` or `device` is an id of `spikeloom boards`.

    `method`, `sparsity`, `bits`, `scheme`, `shared_leaks` and, by population, `layers` say how to compress a float
    network (`Recipe`): by default 8 bits (or those of the scheme) and no pruning, by OSBC where there are samples and
    torch is installed, else by magnitude. `folding` says which engine runs which populations, by default the smallest
    core's; `minimise` (an Objective), `latency_us` and `samples_per_s` have one chosen instead (`choose_folding`).
    `fast` puts registers on the way of the engines that can have some, or leaves the folding as it is; by default they
    are there on ECP5 where they take no block RAM (`folding.plan_for`), and in a folding that is chosen where they
    serve its purpose. `wide` makes the core's input bring beats of several events, for a design of one's own: with
    `verilog_only` and without a board. `weights` is "bram", "spram", or "auto" for SPRAM where the device has it and
    its block RAM does not suffice. With a `coding` the device takes images. `clock_mhz` defaults to what the
    design should bear where a board has a PLL (`follows_fmax`), else to the target's own clock, as with `own_clock`;
    with `fastest` it is near what the placed design reaches (`clock`); `baud` defaults to the fastest that its serial
    bridge and the clock have in common; `packed` says whether the host link is (`link.packing`), by default where that
    pays; with `spi` its line is that of a microcontroller; `seed` starts the placement, of `seeds` placements from that
    one on the fastest stays. With `verilog_only` no bitstream is made, and a target only chooses the family of its
    memories. With `headroom` other weights can take the place of the network's in the finished bitstream, that share
    more of them (`reload_weights`). With `early_exit` the report says what it saves to end samples once a class leads
    by so many spikes.
    """

    board: str | None = None
    device: str | None = None
    method: str | None = None
    sparsity: float | None = None
    bits: int | None = None
    scheme: str | None = None
    layers: Mapping[str, Override] = field(default_factory=dict)
    shared_leaks: bool = False
    folding: Folding | None = None
    minimise: str | None = None
    latency_us: float | None = None
    samples_per_s: float | None = None
    fast: bool | None = None
    wide: bool = False
    weights: str = "auto"
    coding: ImageCoding | None = None
    clock_mhz: float | None = None
    own_clock: bool = False
    fastest: bool = False
    baud: int | None = None
    packed: bool | None = None
    spi: bool = False
    seed: int = 1
    seeds: int = 1
    native_tools: bool = False
    verilog_only: bool = False
    headroom: float | None = None
    early_exit: int | None = None


@contextmanager
def silent(label: str) -> Iterator[None]:
    """A `Step` that says nothing."""
    yield None


def require_target(options: CompileOptions) -> Board | Device | None:
    """The board or device to build for; None where only Verilog is wanted. Raises OptionError."""
    if options.board is not None and options.device is not None:
        raise OptionError("a build is for a board or for a device: both are given; leave one out")
    if options.board is not None:
        return find_board(options.board)
    if options.device is not None:
        return find_device(options.device)
    if not options.verilog_only:
        raise OptionError("a bitstream needs a target: none is given; choose a board or device (spikeloom boards)")
    return None


def family_of(target: Board | Device | None) -> str:
    return "ice40" if target is None else device_of(target).family.value


def plan_target_clock(target: Board | Device | None, options: CompileOptions) -> ClockPlan:
    """The clock of a design for a target, or of figures without one."""
    return plan_clock(next(iter(DEVICES.values())) if target is None else target, wanted_hz(options))


def wanted_hz(options: CompileOptions) -> float | None:
    return None if options.clock_mhz is None else options.clock_mhz * 1e6


def follows_fmax(target: Board | Device | None, options: CompileOptions) -> bool:
    """Whether a design's clock follows its Fmax: where that is asked for, and on a board with a PLL where no clock is
    given, unless the least area is asked for, as a faster clock takes a few cells."""
    if options.fastest:
        return True
    if options.clock_mhz is not None or options.own_clock or options.verilog_only or target is None:
        return False
    return has_pll(target) and not _is_for_area(options)


def _is_for_area(options: CompileOptions) -> bool:
    """Whether the least area is asked for and nothing about time."""
    return options.minimise in (Objective.LUTS, Objective.BRAMS) and options.latency_us is options.samples_per_s is None


def clocks_of(target: Board | Device | None, options: CompileOptions, clock: ClockPlan) -> Fraction | None:
    """Clock cycles of a bit of the UART; None for SPI. Raises OptionError for a line that cannot be."""
    if not options.spi:
        return clocks_per_bit(clock.hz, baud_of(target, options, clock))
    if options.baud is not None:
        most = int(clock.hz / FEWEST_CLOCKS)
        raise OptionError(
            f"--baud is for a UART: SPI has the clock of the microcontroller, up to {most} Hz; leave it out"
        )
    if isinstance(target, Board) and target.spi is None:
        having = ", ".join(board.id for board in all_boards() if board.spi is not None)
        raise OptionError(f"SPI needs pins of the board: none are known of {target.id}; those of {having} are")
    return None


def baud_of(target: Board | Device | None, options: CompileOptions, clock: ClockPlan) -> int:
    """The serial rate: as asked for, else the fastest that a board's bridge and the clock have in common."""
    if options.spi:
        return int(clock.hz / FEWEST_CLOCKS)
    if options.baud is not None:
        return options.baud
    return fastest_baud(target, clock.hz) if isinstance(target, Board) else BAUD


def check_coding(options: CompileOptions, source: Network, samples: Samples | None) -> None:
    """OptionError where images cannot be taken, SampleError for samples that were none."""
    coding = options.coding
    if coding is None:
        return
    if options.verilog_only:
        raise OptionError("an encoder is part of the host link: bare Verilog has none; leave out --encoder")
    if coding.x_max != source.x_max:
        raise OptionError(f"a coding has the network's x_max, {source.x_max}: got {coding.x_max}")
    fitting = _decoders(source.reading)
    if coding.decoder not in fitting:
        what = _ANSWERED.get(coding.decoder, f"readings by {coding.decoder}")
        hint = f"take --decoder {fitting[-1]}" if fitting else "leave out --encoder, or --classes"
        raise OptionError(f"the decoder on the device answers {what}: the class is read by {source.reading}; {hint}")
    if samples is not None and samples.images is None:
        raise SampleError("a device that takes images is measured on images: the samples are spikes; load images")


_ANSWERED = {
    Decoder.ARGMAX: "the output that spikes most",
    Decoder.COUNTS: "every output spike",
    Decoder.FIRST_SPIKE: "the output that spikes first",
}
"""What a decoder of spikes answers, in words."""


def _decoders(reading: Readout) -> tuple[Decoder, ...]:
    """The decoders whose answers say the class that is read so, the nearest last."""
    if reading.of_membranes:
        return () if reading.classes is not None else (Decoder(reading.by.value),)
    if reading == Readout():
        return (Decoder.ARGMAX, Decoder.COUNTS)
    if reading == Readout(by=ReadBy.FIRST_SPIKE):
        return (Decoder.COUNTS, Decoder.FIRST_SPIKE)
    return (Decoder.COUNTS,)


def default_decoder(network: Network) -> Decoder:
    """The decoder of a device that takes images, where nobody names one."""
    return Decoder.ARGMAX if network.reading.by is ReadBy.SPIKES else Decoder(network.reading.by.value)


MAX_HEADROOM = 10.0


def check_headroom(options: CompileOptions) -> None:
    """OptionError for headroom that is no share, or in a core without a bitstream."""
    share = options.headroom
    if share is None:
        return
    if not 0 <= share <= MAX_HEADROOM:
        raise OptionError(f"headroom is a share of 0 to {MAX_HEADROOM:.0%}: got {share:g}; choose 10%")
    if options.verilog_only:
        raise OptionError(
            "headroom is for a bitstream in which weights are exchanged: bare Verilog has none; leave it out"
        )


def check_line(options: CompileOptions) -> None:
    """OptionError for choices about a host link or a placement where only a core is written."""
    if not options.verilog_only:
        return
    given = {
        "--link spi": options.spi,
        "--baud": options.baud is not None,
        "--packed or --no-packed": options.packed is not None,
        "--seeds": options.seeds != 1,
        "--clock-mhz max": options.fastest,
    }
    if asked := next((name for name, there in given.items() if there), None):
        what = "host link" if asked in ("--link spi", "--baud", "--packed or --no-packed") else "placement"
        raise OptionError(f"{asked} is for a bitstream: bare Verilog has no {what}; leave it out")


def is_wide(options: CompileOptions) -> bool:
    """Whether a wide input is asked for, by itself or in a folding."""
    return options.wide or (options.folding is not None and options.folding.wide)


def check_wide(options: CompileOptions) -> None:
    """OptionError for a wide input where there is a host link, which sends one event at a time."""
    if not is_wide(options):
        return
    rule = "a wide input is for a design of your own: the host link sends one event at a time"
    if options.board is not None:
        raise OptionError(f"{rule}, and the board {quoted(options.board)} has it; take --emit verilog without --board")
    if not options.verilog_only:
        raise OptionError(f"{rule}; take --emit verilog, or leave the input narrow")
