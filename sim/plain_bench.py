"""A test bench in plain Verilog, which checks itself: the bare core on samples, without Python.

`core_tb.v` sends the tokens of `core_tb_tokens.hex` to `core.v` and compares what comes out, step by step, with
`core_tb_expected.hex`, which the integer reference made: counts of spikes, or readings where the core gives some. It
says PASS, or FAIL with the first difference.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..compiler.ir.arrays import SpikeArray
from ..compiler.ir.network import Network
from ..hdl.emit.core_ports import CorePorts
from ..hdl.streams.tokens import TokenKind, address_bits
from .limits import hang_cycles
from .readout import readings
from .recording import Recording
from .stimulus import make_stimulus

BENCH, TOKENS, EXPECTED = "core_tb.v", "core_tb_tokens.hex", "core_tb_expected.hex"


def write_plain_bench(
    folder: Path, network: Network, ports: CorePorts, spikes: SpikeArray, recording: Recording
) -> None:
    """Write the bench and its two files; `recording` is the reference's of the core's `network` on `spikes`, uint8
    [samples, steps, inputs]. Raises SampleError for samples that a stream of tokens cannot say."""
    stimulus = make_stimulus(spikes, beats=ports.beats)
    _write_hex(folder / TOKENS, stimulus.payloads, ports.input_bits)
    wanted: npt.NDArray[np.int64] = recording.spikes.astype(np.int64)
    classes = np.zeros(len(spikes), np.int64)
    if ports.readout is not None:
        assert recording.membranes is not None, "what a class is read off is recorded"
        wanted, named = readings(ports.readout, recording.membranes)
        classes = named[:, -1, 0]
    # The class of each sample, where one is named, stands behind its steps.
    rows = np.concatenate([wanted.reshape(len(spikes), -1), classes[:, None]], axis=1)
    _write_hex(folder / EXPECTED, rows.reshape(-1), max(ports.value_bits, address_bits(ports.outputs)))
    (folder / BENCH).write_text(_bench(ports, spikes.shape, len(stimulus.payloads), hang_cycles(network)), "ascii")


def _write_hex(file: Path, words: npt.NDArray[np.generic], bits: int) -> None:
    digits, mask = -(-bits // 4), (1 << bits) - 1
    file.write_text("".join(f"{int(word) & mask:0{digits}x}\n" for word in words), encoding="ascii")


def _bench(ports: CorePorts, shape: tuple[int, ...], tokens: int, patience: int) -> str:
    """The text of the bench for samples of that `shape`."""
    address = address_bits(ports.outputs)
    value = f"$signed(o_payload[{ports.output_bits - 1}:{2 + address}])"
    words = {
        "BENCH": BENCH,
        "TOKENS_FILE": TOKENS,
        "EXPECTED_FILE": EXPECTED,
        "TOKENS": tokens,
        "SAMPLES": shape[0],
        "STEPS": shape[1],
        "OUTPUTS": ports.outputs,
        "PATIENCE": patience,
        "NAMES": int(ports.readout is not None and ports.readout.names_class),
        "SIGNED": "" if ports.readout is None else "signed ",
        "INPUT_TOP": ports.input_bits - 1,
        "OUTPUT_TOP": ports.output_bits - 1,
        "VALUE_TOP": max(ports.value_bits, address) - 1,
        "ADDRESS_TOP": address - 1,
        "ADDRESS_LAST": address + 1,
        "TAKE": "got[address] = " + ("got[address] + 1" if ports.readout is None else value),
        **{kind.name: kind.value for kind in map(TokenKind, range(4))},
    }
    return re.sub(r"@(\w+)@", lambda word: str(words[word[1]]), _BENCH)


_BENCH = """// Checks itself. In this folder: iverilog -o core_tb @BENCH@ core.v && vvp core_tb

`timescale 1ns/1ps

module core_tb;
    localparam TOKENS = @TOKENS@, SAMPLES = @SAMPLES@, STEPS = @STEPS@, OUTPUTS = @OUTPUTS@;
    localparam ROW = STEPS * OUTPUTS + 1, PATIENCE = @PATIENCE@, NAMES_CLASS = @NAMES@;

    reg clk = 0, rst = 1, over = 0;
    reg [@INPUT_TOP@:0] tokens [0:TOKENS-1];
    reg @SIGNED@[@VALUE_TOP@:0] expected [0:SAMPLES*ROW-1];
    reg @SIGNED@[@VALUE_TOP@:0] got [0:OUTPUTS-1];
    reg i_valid = 0;
    reg [@INPUT_TOP@:0] i_payload = 0;
    wire i_ready, o_valid;
    wire [@OUTPUT_TOP@:0] o_payload;
    wire [@ADDRESS_TOP@:0] address = o_payload[@ADDRESS_LAST@:2];
    wire [1:0] kind = o_payload[1:0];
    integer next = 0, sample = 0, step = 0, neuron, silent = 0, place;

    spikeloom_core core (
        .clk(clk), .rst(rst), .i__valid(i_valid), .i__ready(i_ready), .i__payload(i_payload),
        .o__valid(o_valid), .o__ready(1'b1), .o__payload(o_payload)
    );

    always #5 clk = ~clk;

    initial begin
        $readmemh("@TOKENS_FILE@", tokens);
        $readmemh("@EXPECTED_FILE@", expected);
        for (neuron = 0; neuron < OUTPUTS; neuron = neuron + 1) got[neuron] = 0;
        repeat (4) @(posedge clk);
        rst <= 0;
    end

    always @(posedge clk) if (!rst && !over) begin
        if (!i_valid || i_ready) begin
            i_valid <= next < TOKENS;
            if (next < TOKENS) i_payload <= tokens[next];
            next = next + 1;
        end
        silent = o_valid || (i_valid && i_ready) ? 0 : silent + 1;
        if (silent > PATIENCE) begin
            $display("FAIL: sample %0d, step %0d: the core is silent", sample, step);
            stop;
        end
        if (o_valid) case (kind)
            @EVENT@: @TAKE@;
            @ABORT@: begin
                $display("FAIL: sample %0d, step %0d: an abort that nobody sent", sample, step);
                stop;
            end
            default: end_step;
        endcase
    end

    task end_step;
        begin
            for (neuron = 0; neuron < OUTPUTS; neuron = neuron + 1) begin
                place = sample * ROW + step * OUTPUTS + neuron;
                if (!over && got[neuron] !== expected[place]) begin
                    $display("FAIL: sample %0d, step %0d, output %0d: expected %0d, got %0d",
                             sample, step, neuron, expected[place], got[neuron]);
                    stop;
                end
                got[neuron] = 0;
            end
            if (!over && (kind == @END_OF_SAMPLE@) != (step == STEPS - 1)) begin
                $display("FAIL: sample %0d, step %0d: a sample of another length", sample, step);
                stop;
            end
            step = step + 1;
            if (step == STEPS) begin
                if (!over && NAMES_CLASS && address !== expected[sample * ROW + ROW - 1]) begin
                    $display("FAIL: sample %0d: class expected %0d, got %0d",
                             sample, expected[sample * ROW + ROW - 1], address);
                    stop;
                end
                step = 0;
                sample = sample + 1;
                if (!over && sample == SAMPLES) begin
                    $display("PASS: %0d samples of %0d steps", SAMPLES, STEPS);
                    stop;
                end
            end
        end
    endtask

    task stop;
        begin
            over = 1;
            $finish;
        end
    endtask
endmodule
"""
"""The bench, with words between @ for what differs."""
