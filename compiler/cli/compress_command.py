"""`spikeloom compress`: a NIR file becomes a smaller one that fires as nearly the same as it can."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..names import AUGMENTS, ENCODERS, SCOPES
from . import common, frontier

if TYPE_CHECKING:
    from ...hdl.images.coding import ImageCoding
    from ...sim.evaluation import Comparison
    from ..compression.finetune import FineTune
    from ..compression.material import Material
    from ..compression.recipe import Recipe
    from ..compression.report import CompressionReport, ProjectionReport
    from ..data.samples import Samples
    from ..flow.narrow import Narrow
    from ..flow.options import CompileOptions
    from ..ir.network import Network

SHAPED_BY = 256
"""So many samples say whether flat inputs are a picture."""


def add_parser(commands: argparse._SubParsersAction[Any]) -> argparse.ArgumentParser:
    """The parser of this command."""
    parser = commands.add_parser(
        "compress",
        parents=[common.model_options(), common.compression_options()],
        help="prune and quantise a network",
        description="Prune a float network, quantise it (--bits), and write the result as a NIR file that simulate and "
        "compile take as it is.",
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help=common.MODEL)
    parser.add_argument("--data", type=Path, required=True, metavar="CAL.npz", help="calibration samples")
    _add_training(parser)
    parser.add_argument("--test", type=Path, metavar="TEST.npz", help="labelled samples to compare accuracies on")
    frontier.add_options(parser)
    group = parser.add_argument_group("pruning and its cost")
    group.add_argument("--scope", choices=SCOPES, default="global", help="spread zeros over all layers")
    group.add_argument(
        "--pattern", metavar="N:M|AxB", help="keep N of M weights, or prune tiles of A inputs and B outputs"
    )
    group.add_argument(
        "--activity-threshold",
        type=common.real(0),
        default=0.0,
        metavar="RATE",
        help="first remove hidden neurons that fire less than RATE spikes per step",
    )
    group.add_argument(
        "--operation-weight",
        type=common.real(0, 1),
        default=0.0,
        metavar="W",
        help="0 to 1: how much sooner synapses of neurons that fire often go (default: 0)",
    )
    target = group.add_mutually_exclusive_group()
    for kind in ("board", "device"):
        target.add_argument(
            f"--{kind}",
            metavar=kind.upper(),
            help="with --bits: give fraction bits away where they save a block RAM of its smallest core",
        )
    group.add_argument("--no-distil", action="store_true", help="end osbc without training on the calibration samples")
    group.add_argument("--exact", action="store_true", help="exact elimination, however long it takes")
    group.add_argument(
        "--memory", type=common.real(0, open_=True), default=4.0, metavar="GIB", help="what it may use (default: 4)"
    )
    group.add_argument("--torch-device", default="cpu", metavar="DEVICE", help="cpu (default), cuda, cuda:1, ...")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.nir", help="the compressed network")
    parser.add_argument("--force", action="store_true", help="replace an existing file")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)
    return parser


def _add_training(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("fine-tuning")
    group.add_argument("--finetune", type=Path, metavar="TRAIN.npz", help="labelled samples to train the rest on")
    group.add_argument("--epochs", type=common.whole(1), default=10, metavar="N", help="of --finetune (default: 10)")
    group.add_argument(
        "--teacher", type=Path, metavar="TEACHER.nir", help="the network whose answers are learnt (default: MODEL)"
    )
    group.add_argument(
        "--encoder",
        choices=ENCODERS,
        help="TRAIN.npz holds images: make spikes of them, rates afresh in every epoch, over the steps of CAL.npz",
    )
    group.add_argument(
        "--augment",
        choices=AUGMENTS,
        help="train on copies that vary: warped images, recordings of events turned, moved, thinned and jittered; "
        "default: as is best for the epochs and the weights that stay",
    )
    group.add_argument("--train-leaks", action="store_true", help="train the leak of each neuron too")
    group.add_argument("--train-resets", action="store_true", help="train what a spike of each neuron subtracts too")
    group.add_argument("--mixed-precision", action="store_true", help="train in bfloat16 where that suffices: faster")


def run(options: argparse.Namespace) -> int:
    """Compress, write, report."""
    from ...sim.evaluation import compare, unseen
    from ..compression.apply import compress
    from ..compression.report import with_origin
    from ..flow.compile import CompileOptions
    from ..flow.frontier import frontier as compressed_in_ways
    from ..flow.frontier import split
    from ..frontends.nir.writer import write_nir
    from ..frontends.samples import read_samples
    from ..output.build_folder import check_file

    check_file(options.output, force=options.force)
    frontier.check(options)
    network = common.read_model(options)
    recipe = _recipe(options, network)
    calibration = read_samples(options.data, network)
    judges = None if options.choose is None else read_samples(options.choose, network)
    if options.frontier is not None and judges is None:
        calibration, judges = split(calibration)
    finetune, training = _training(options, network, calibration)
    given = None if options.test is None else read_samples(options.test, network)
    seen = [calibration] if training is None else [calibration, training]
    target = CompileOptions(board=options.board, device=options.device, verilog_only=True)
    if judges is not None:
        judges = unseen(judges, seen)
        test = None if given is None else unseen(given, [*seen, judges])
        ways = compressed_in_ways(
            network,
            recipe,
            options.frontier,
            options.widths,
            calibration,
            judges,
            target,
            finetune=finetune,
            refined=lambda: _refined(target, recipe, network, calibration),
        )
        return frontier.run(options, network, recipe.method, ways, test)
    test = None if given is None else unseen(given, seen)
    refine = _refined(target, recipe, network, calibration)
    with common.progress_bar(f"compressing ({recipe.method})") as progress:
        compressed, report = compress(
            network, recipe, calibration.spikes, finetune=finetune, progress=progress, refine=refine
        )
    comparison = None
    if test is not None:
        comparison = compare(network, compressed, test)
    elif calibration.labels is not None:
        comparison = compare(network, compressed, calibration, "calibration")
    accuracies = None if comparison is None else comparison.judged
    write_nir(with_origin(compressed, network, report, accuracies), options.output)
    if options.json:
        print(json.dumps(_summary(compressed, report, comparison)))
    else:
        _print(compressed, report, comparison)
        if given is not None and test is not None and len(test) < len(given):
            print(f"{len(given) - len(test)} test samples were left out: compression has seen them")
        print(f"\ncompressed network: {options.output}")
    return 0


def _refined(target: CompileOptions, recipe: Recipe, network: Network, calibration: Samples) -> Narrow | None:
    """What gives fraction bits away for the target; None where there is none."""
    from ...hdl.errors import OptionError
    from ..flow.compile import block_rams
    from ..flow.narrow import Narrow

    if target.board is None and target.device is None:
        return None
    if recipe.bits is None:
        raise OptionError("membranes are fitted to a target's blocks once they are integers: give --bits as well")
    return Narrow(source=network, spikes=calibration.spikes, price=block_rams(target))


def _recipe(options: argparse.Namespace, network: Network) -> Recipe:
    from ..compression.grid import ONLY_BITS
    from ..compression.kept import WIDEST, method_of
    from ..compression.overrides import overrides_of
    from ..compression.recipe import Recipe
    from ..names import KEEP

    scheme = options.scheme or "fixed_point"
    changes = (options.sparsity, options.layer, options.scheme, options.pattern, options.activity_threshold)
    bits = ONLY_BITS.get(scheme) if options.bits is None else options.bits
    grid = None if any(changes) or options.finetune else bits
    method = options.method or method_of(network, grid, calibrated=True)
    return Recipe(
        method=method,
        sparsity=options.sparsity or 0.0,
        bits=WIDEST if bits is None and method == KEEP else bits,
        scheme=scheme,
        scope=options.scope,
        operation_weight=options.operation_weight,
        pattern=options.pattern,
        activity_threshold=options.activity_threshold,
        shared_leaks=options.shared_leaks,
        distil=not options.no_distil,
        overrides=overrides_of(options.layer),
        exact=options.exact,
        memory_budget=int(options.memory * (1 << 30)),
        device=options.torch_device,
    )


def _training(
    options: argparse.Namespace, network: Network, calibration: Samples
) -> tuple[FineTune | None, Samples | None]:
    """How to fine-tune, and on which samples; SampleError where they have no labels."""
    from ...hdl.errors import OptionError, SampleError
    from ..compression.answers import labels_steps
    from ..compression.finetune import FineTune
    from ..frontends.samples import read_samples

    if options.finetune is None:
        for name in ("teacher", "encoder", "augment", "train_leaks", "train_resets"):
            if getattr(options, name):
                option = name.replace("_", "-")
                raise OptionError(f"--{option} is for training: no --finetune is given; give labelled samples")
        return None, None
    coding = _coding(options, network, calibration.steps)
    samples = read_samples(options.finetune, network, coding=coding, of_steps=labels_steps(network.reading))
    if samples.labels is None:
        raise SampleError(f"fine-tuning needs labels: {options.finetune} has none; add 'labels' [samples]")
    finetune = FineTune(
        material=_material(options, network, samples, coding),
        teacher=None if options.teacher is None else common.read_model(options, options.teacher),
        epochs=options.epochs,
        warp={"none": False, "warp": True}.get(options.augment),
        leaks=options.train_leaks,
        resets=options.train_resets,
        mixed_precision=options.mixed_precision,
    )
    return finetune, samples


def _coding(options: argparse.Namespace, network: Network, steps: int) -> ImageCoding | None:
    from ...hdl.images.coding import Encoder, ImageCoding

    if options.encoder is None:
        return None
    return ImageCoding(encoder=Encoder(options.encoder), steps=steps, x_max=network.x_max)


def _material(options: argparse.Namespace, network: Network, samples: Samples, coding: ImageCoding | None) -> Material:
    """What is trained on; OptionError where events of inputs that are no picture are to be moved."""
    from ...hdl.errors import OptionError
    from ..compression.augmentation import image_shape
    from ..compression.material import Arrays, Images, Recordings

    if coding is not None and samples.images is not None:
        if options.augment == "events":
            raise OptionError("images have no events of their own: got --augment events with --encoder; choose warp")
        return Images(pixels=samples.images, coding=coding, labels=samples.labels)
    if options.augment == "events":
        shape = image_shape(network.input_shape, samples.spikes[:SHAPED_BY])
        if shape is None:
            raise OptionError(
                f"events are moved on a picture, channels x rows x columns: {list(network.input_shape)} inputs are "
                "none; leave out --augment"
            )
        return Recordings.of_frames(samples.spikes, shape, samples.labels)
    return Arrays(spikes=samples.spikes, labels=samples.labels)


def _summary(network: Network, report: CompressionReport, comparison: Comparison | None) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "method": report.recipe.method,
        "bits": report.recipe.bits,
        "scheme": report.recipe.scheme,
        "layers": {name: asdict(override) for name, override in report.recipe.overrides.items()},
        "integer": network.is_integer,
        "sparsity": report.sparsity,
        "seconds": report.seconds,
        "projections": [asdict(projection) for projection in report.projections],
        "losses": report.losses,
        "removed": report.removed,
        "silenced": {name: list(neurons) for name, neurons in report.silenced.items()},
        "silent": list(report.silent),
        "quieted": {name: list(neurons) for name, neurons in report.quieted.items()},
        "accuracy": None if comparison is None else asdict(comparison),
    }


def _print(network: Network, report: CompressionReport, comparison: Comparison | None) -> None:
    from ..report.text import print_tables, table
    from ..report.wording import number

    rows = [
        (
            f"{projection.pre} -> {projection.post}",
            number(projection.weights),
            number(projection.synapses_before),
            number(projection.synapses),
            f"{1 - projection.synapses / projection.weights:.1%}",
            _format(projection),
            f"{report.losses[projection.post]:.3g}" if projection.post in report.losses else "",
        )
        for projection in report.projections
    ]
    headings = ("Projection", "Weights", "Synapses before", "Synapses", "Sparsity", "Format", "Membrane loss")
    print_tables(table(f"Compressed by {report.recipe.method}", headings, rows, numeric=(1, 2, 3, 4, 6)))
    level = "integer weights" if network.is_integer else "float weights"
    print(f"{report.sparsity:.2%} of all weights are zero; {level}; {report.seconds:.1f} s")
    if report.removed:
        print("neurons removed: " + ", ".join(f"{count} of {name}" for name, count in report.removed.items()))
    if report.quieted:
        fell = ", ".join(f"{len(neurons)} of {name}" for name, neurons in report.quieted.items())
        print(f"neurons that fired on the calibration samples and no longer do: {fell}")
    if comparison is not None:
        low, high = comparison.change_interval
        print(
            f"accuracy on {comparison.samples} {comparison.stimulus} samples: {comparison.original:.2%} "
            f"{_percent(comparison.original_interval)} before, {comparison.compressed:.2%} "
            f"{_percent(comparison.compressed_interval)} after;\nchange {100 * comparison.change:+.2f} points "
            f"({100 * low:+.2f} to {100 * high:+.2f}, 95 % confidence), by {comparison.readout}"
        )


def _format(projection: ProjectionReport) -> str:
    if projection.bits is None:
        return "float"
    return f"{projection.bits} bits" if projection.scheme == "fixed_point" else f"{projection.scheme}"


def _percent(interval: tuple[float, float]) -> str:
    return f"({interval[0]:.2%} to {interval[1]:.2%})"
