"""The ports of a bare core as Verilog has them, and how it is instantiated."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..neurons.readout import ReadoutFormat
from ..streams.tokens import BeatShape, address_bits, token_layout

TEMPLATE = "core_template.v"

COUNT_BITS = 8
"""Of how often an output fires in a step."""

LOAD_PORTS = (("load__valid", 1), ("load__block", 2), ("load__address", 14), ("load__data", 16))
"""The ports through which SPRAMs are loaded before the first token, and their widths."""


@dataclass(frozen=True, kw_only=True)
class CorePorts:
    """The streams of a bare core, as their payloads' widths tell; `loads` where weights come in from outside."""

    inputs: int
    outputs: int
    readout: ReadoutFormat | None = None
    beats: BeatShape | None = None
    loads: bool = False

    @property
    def input_bits(self) -> int:
        """Of `i__payload`."""
        return token_layout(self.inputs).size if self.beats is None else self.beats.layout.size

    @property
    def value_bits(self) -> int:
        """Of what an output says in a step: a reading, or how often it fired."""
        return COUNT_BITS if self.readout is None else self.readout.value_bits

    @property
    def output_bits(self) -> int:
        """Of `o__payload`."""
        return token_layout(self.outputs).size if self.readout is None else self.readout.layout.size

    @property
    def input_fields(self) -> str:
        """The fields of `i__payload`, the highest first."""
        if self.beats is None:
            return f"address [{self.input_bits - 1}:2], kind [1:0]"
        mask = 2 + self.beats.slots
        return f"rows [{self.input_bits - 1}:{mask}], mask [{mask - 1}:2], kind [1:0]"

    @property
    def output_fields(self) -> str:
        """The fields of `o__payload`, the highest first."""
        address = address_bits(self.outputs)
        value = "" if self.readout is None else f"value [{self.output_bits - 1}:{2 + address}], "
        return f"{value}address [{1 + address}:2], kind [1:0]"

    @property
    def input_name(self) -> str:
        """What the input brings."""
        return "tokens" if self.beats is None else f"beats of up to {self.beats.slots} events"


def write_template(folder: Path, ports: CorePorts) -> None:
    """Write `core_template.v`."""
    loads = "".join(f",\n    .{name}({name.replace('__', '_')})" for name, _ in LOAD_PORTS if ports.loads)
    wires = "".join(f"wire [{bits - 1}:0] {name.replace('__', '_')};\n" for name, bits in LOAD_PORTS if ports.loads)
    (folder / TEMPLATE).write_text(
        f"""// How the core of core.v is instantiated; ports, tokens and reset are described in docs/hardware.md.
//
//   i__payload  {ports.input_name} over {ports.inputs} inputs: {ports.input_fields}
//   o__payload  over {ports.outputs} outputs: {ports.output_fields}
//   kind        0 event, 1 end of step, 2 end of sample, 3 abort

wire [{ports.input_bits - 1}:0] i_payload;
wire [{ports.output_bits - 1}:0] o_payload;
wire i_valid, i_ready, o_valid, o_ready;
{wires}
spikeloom_core core (
    .clk(clk),
    .rst(rst),              // synchronous; on iCE40 for 15 us after configuration
    .i__valid(i_valid),
    .i__ready(i_ready),
    .i__payload(i_payload),
    .o__valid(o_valid),
    .o__ready(o_ready),
    .o__payload(o_payload){loads}
);
""",
        encoding="ascii",
    )
