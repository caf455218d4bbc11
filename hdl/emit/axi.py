"""The bare core behind AXI4-Stream (Arm IHI 0051A), as Verilog around `core.v`.

A packet is a sample. Every transfer is a token, zeros above it up to a power of two of bytes; `tlast` ends the sample:
with an end of step it is that step's, with an event there is one behind it. So a DMA engine that marks the end of its
buffer needs no word for it. Results leave as packets of the same kind; above a reading there is its sign, so that a
shift gives its number.

No path leads through the wrapper from one handshake to another: each side has room for two transfers, and takes one in
each cycle. Latency: a cycle on either side. An event whose address no input has is dropped, as the core would take it
for another; `address_error` then stays high until the reset.
"""

from __future__ import annotations

import re
from pathlib import Path

from ..streams.tokens import address_bits
from .core_ports import LOAD_PORTS, CorePorts

AXI = "core_axi.v"
AXI_TOP = "spikeloom_axi"


def stream_bits(payload_bits: int) -> int:
    """The width of `tdata` for a payload: a power of two of bytes."""
    return 8 << max(0, (-(-payload_bits // 8) - 1).bit_length())


def write_axi(folder: Path, ports: CorePorts) -> None:
    """Write `core_axi.v`, whose top module is `spikeloom_axi`."""
    s_top, kind = stream_bits(ports.input_bits) - 1, "s_axis_tdata[1:0] == 2'd0"
    loads = LOAD_PORTS if ports.loads else ()
    names = ports.readout is not None and ports.readout.names_class
    words = {
        "INPUT_FIELDS": ports.input_fields,
        "OUTPUT_FIELDS": ports.output_fields,
        "INPUTS": ports.inputs,
        "OUTPUTS": ports.outputs,
        "INPUT_NAME": ports.input_name,
        "S_TOP": s_top,
        "M_TOP": stream_bits(ports.output_bits) - 1,
        "I_TOP": ports.input_bits - 1,
        "O_TOP": ports.output_bits - 1,
        "M_DATA": _padded("out_head", ports.output_bits, signed=ports.readout is not None),
        "STRANGE": "1'b0" if ports.beats else f"{kind} && s_axis_tdata[{s_top}:2] >= {ports.inputs}",
        "LOAD_PORTS": "".join(f"    input  wire [{bits - 1}:0] {name.replace('__', '_')},\n" for name, bits in loads),
        "END": f"o_payload[{address_bits(ports.outputs) + 1 if names else 1}:0]",
        "LOADS": "".join(f",\n        .{name}({name.replace('__', '_')})" for name, _ in loads),
    }
    text = re.sub(r"@(\w+)@", lambda word: str(words[word[1]]), _WRAPPER)
    (folder / AXI).write_text(text, encoding="ascii")


def _padded(name: str, bits: int, *, signed: bool) -> str:
    """A register of `bits` in the width of `tdata`."""
    above = stream_bits(bits) - bits
    filling = f"{name}[{bits - 1}]" if signed else "1'b0"
    return f"{{{{{above}{{{filling}}}}}, {name}}}" if above else name


_WRAPPER = """// The core of core.v with AXI4-Stream ports: one packet is one sample, one transfer one token.
//
//   s_axis_tdata  @INPUT_NAME@ over @INPUTS@ inputs: @INPUT_FIELDS@, then zeros
//   m_axis_tdata  over @OUTPUTS@ outputs: @OUTPUT_FIELDS@, then zeros, or above a value its sign
//   kind          0 event, 1 end of step, 2 end of sample, 3 abort
//   s_axis_tlast  ends the sample: with an end of step that step's, with an event behind it
//   m_axis_tlast  with an end of sample, or an abort

`timescale 1ns/1ps

module spikeloom_axi (
    input  wire aclk,
    input  wire aresetn,            // synchronous; on iCE40 low for 15 us after configuration
@LOAD_PORTS@    input  wire [@S_TOP@:0] s_axis_tdata,
    input  wire s_axis_tvalid,
    output wire s_axis_tready,
    input  wire s_axis_tlast,
    output wire [@M_TOP@:0] m_axis_tdata,
    output wire m_axis_tvalid,
    input  wire m_axis_tready,
    output wire m_axis_tlast,
    output reg  address_error = 0   // an event with an address that no input has was dropped
);
    wire i_ready, o_valid, o_ready;
    wire [@O_TOP@:0] o_payload;

    // In: two transfers of room, the last one's mark above the token.
    reg [@I_TOP@+1:0] in_head, in_next;
    reg [1:0] in_count = 0;
    reg ending = 0;                 // the event that ended its packet has gone in, its end of sample not yet

    wire strange = @STRANGE@;
    // A strange event that ends its packet stays as an end of step, which the mark makes one of the sample's.
    wire [@I_TOP@:0] token = strange ? 2'd1 : s_axis_tdata[@I_TOP@:0];
    wire [@I_TOP@+1:0] taken = {s_axis_tlast, token};
    wire in_push = s_axis_tvalid && s_axis_tready && (!strange || s_axis_tlast);
    wire is_last = in_head[@I_TOP@+1];
    wire is_event = in_head[1:0] == 2'd0;
    wire closes = ending || (is_last && in_head[1:0] == 2'd1);
    wire i_valid = in_count != 0;
    wire [@I_TOP@:0] i_payload = closes ? 2'd2 : in_head[@I_TOP@:0];
    wire in_pop = i_valid && i_ready && (ending || !(is_last && is_event));

    assign s_axis_tready = aresetn && in_count != 2;

    always @(posedge aclk) begin
        if (in_pop) in_head <= in_next;
        if (in_push && (in_count == 0 || (in_count == 1 && in_pop))) in_head <= taken;
        if (in_push) in_next <= taken;
        in_count <= in_count + {1'b0, in_push} - {1'b0, in_pop};
        if (i_valid && i_ready) ending <= !ending && is_last && is_event;
        if (s_axis_tvalid && s_axis_tready && strange) address_error <= 1;
        if (!aresetn) begin
            in_count <= 0;
            ending <= 0;
            address_error <= 0;
        end
    end

    // Out: two transfers of room.
    reg [@O_TOP@:0] out_head, out_next;
    reg [1:0] out_count = 0;

    // An end has no address, but that of the class where one is named: what else is there means nothing.
    wire [@O_TOP@:0] shown = o_payload[1:0] == 2'd0 ? o_payload : @END@;
    wire out_push = o_valid && o_ready;
    wire out_pop = m_axis_tvalid && m_axis_tready;

    assign o_ready = out_count != 2;
    assign m_axis_tvalid = out_count != 0;
    assign m_axis_tdata = @M_DATA@;
    assign m_axis_tlast = out_head[1];

    always @(posedge aclk) begin
        if (out_pop) out_head <= out_next;
        if (out_push && (out_count == 0 || (out_count == 1 && out_pop))) out_head <= shown;
        if (out_push) out_next <= shown;
        out_count <= out_count + {1'b0, out_push} - {1'b0, out_pop};
        if (!aresetn) out_count <= 0;
    end

    spikeloom_core core (
        .clk(aclk),
        .rst(!aresetn),
        .i__valid(i_valid),
        .i__ready(i_ready),
        .i__payload(i_payload),
        .o__valid(o_valid),
        .o__ready(o_ready),
        .o__payload(o_payload)@LOADS@
    );
endmodule
"""
"""The wrapper, with words between @ for what differs."""
