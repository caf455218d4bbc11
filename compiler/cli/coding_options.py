"""The options of a device that takes images."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..names import DECODERS, ENCODERS, ONLY_DECODERS
from . import common

if TYPE_CHECKING:
    from ...hdl.images.coding import ImageCoding
    from ..ir.network import Network


def coding_options() -> argparse.ArgumentParser:
    """The parent parser of every command that builds a device."""
    parent = argparse.ArgumentParser(add_help=False)
    group = parent.add_argument_group("images in, a class out (docs/hardware.md)")
    group.add_argument(
        "--encoder", choices=ENCODERS, help="how the device makes spikes of pixels; default: it takes spikes"
    )
    group.add_argument("--steps", type=common.whole(1, 255), metavar="N", help="time steps that an image is shown for")
    group.add_argument("--decoder", choices=DECODERS, help="the same as --readout, where images go in")
    return parent


def check_coding_options(options: argparse.Namespace) -> None:
    """OptionError where the options contradict each other; needs no network.

    A decoder is a readout by another name, so that `options.readout` is set to what it says of the network.
    """
    from ...hdl.errors import OptionError

    if options.encoder is None:
        for name in ("steps", "decoder"):
            if getattr(options, name) is not None:
                raise OptionError(f"--{name} is for a device that takes images: no --encoder is given; choose one")
        if options.readout in ONLY_DECODERS:
            raise OptionError(
                f"{options.readout} answers an image: no --encoder is given; choose one, or take --readout spikes and "
                "count them on the host"
            )
    elif options.steps is None:
        raise OptionError("an encoder shows each image for a number of steps: none is given; choose --steps N")
    elif options.decoder is not None and options.readout in ONLY_DECODERS and options.decoder != options.readout:
        raise OptionError(
            f"a device answers an image in one way: --readout {options.readout} and --decoder {options.decoder} are "
            "given; leave one out"
        )
    elif options.decoder is not None and options.readout is None and options.decoder not in ONLY_DECODERS:
        options.readout = options.decoder


def coding_of(options: argparse.Namespace, network: Network) -> ImageCoding | None:
    """What the options say; None for a device that takes spikes. Raises OptionError."""
    from ...hdl.images.coding import Decoder, Encoder, ImageCoding
    from ..flow.options import default_decoder

    check_coding_options(options)
    if options.encoder is None:
        return None
    named = options.decoder or (options.readout if options.readout in ONLY_DECODERS else None)
    return ImageCoding(
        encoder=Encoder(options.encoder),
        steps=options.steps,
        decoder=default_decoder(network) if named is None else Decoder(named),
        x_max=network.x_max,
    )
