// The cells between an iCE40's logic and its pins, in place of yosys's models of them.
//
// Yosys leaves the clock cells empty, and its SB_IO shows X for an output that never changes (an `always @*` does not
// run before its first event). Here a PLL passes its reference through and locks after a few edges: frequencies are
// nextpnr's matter, the design must only wait for the lock. The oscillator runs at its nominal 48 MHz over the divider.
// Names and ports: Lattice FPGA-TN-02052 (sysCLOCK PLL), FPGA-TN-02008 (oscillator), SB_IO in the iCE40 library guide.

`timescale 1ns/1ps

// Single data rate: PIN_TYPE[1:0] is 01 for an input without register and 00 for one with it; PIN_TYPE[3:2] is 10 for
// an output without register and 01 for one with it; PIN_TYPE[5:4] is 00 without output, 01 for an output that is always
// enabled, 10 for one that OUTPUT_ENABLE enables.
module SB_IO(
    inout PACKAGE_PIN,
    input LATCH_INPUT_VALUE, CLOCK_ENABLE, INPUT_CLK, OUTPUT_CLK, OUTPUT_ENABLE, D_OUT_0, D_OUT_1,
    output D_IN_0, D_IN_1
);
    parameter [5:0] PIN_TYPE = 6'b000000;
    parameter [0:0] PULLUP = 1'b0;
    parameter [0:0] NEG_TRIGGER = 1'b0;
    parameter IO_STANDARD = "SB_LVCMOS";

    reg input_register, output_register;
    wire enable = CLOCK_ENABLE !== 1'b0;
    always @(posedge INPUT_CLK) if (enable) input_register <= PACKAGE_PIN;
    always @(posedge OUTPUT_CLK) if (enable) output_register <= D_OUT_0;

    wire out = PIN_TYPE[3] ? D_OUT_0 : output_register;
    wire driven = PIN_TYPE[5:4] == 2'b01 || (PIN_TYPE[5:4] == 2'b10 && OUTPUT_ENABLE);
    assign PACKAGE_PIN = driven ? out : 1'bz;
    assign D_IN_0 = PIN_TYPE[0] ? PACKAGE_PIN : input_register;
    assign D_IN_1 = 1'b0;
endmodule

module SB_PLL40_CORE(
    input REFERENCECLK, EXTFEEDBACK, BYPASS, RESETB, LATCHINPUTVALUE, SDI, SCLK,
    input [7:0] DYNAMICDELAY,
    output PLLOUTCORE, PLLOUTGLOBAL, LOCK, SDO
);
    parameter FEEDBACK_PATH = "SIMPLE";
    parameter PLLOUT_SELECT = "GENCLK";
    parameter [3:0] DIVR = 0;
    parameter [6:0] DIVF = 0;
    parameter [2:0] DIVQ = 0;
    parameter [2:0] FILTER_RANGE = 0;

    reg [3:0] edges = 0;
    always @(posedge REFERENCECLK) if (!LOCK) edges <= edges + 1;

    assign LOCK = RESETB && &edges;
    assign PLLOUTCORE = REFERENCECLK;
    assign PLLOUTGLOBAL = REFERENCECLK;
    assign SDO = 1'b0;
endmodule

module SB_PLL40_PAD(
    input PACKAGEPIN, EXTFEEDBACK, BYPASS, RESETB, LATCHINPUTVALUE, SDI, SCLK,
    input [7:0] DYNAMICDELAY,
    output PLLOUTCORE, PLLOUTGLOBAL, LOCK, SDO
);
    parameter FEEDBACK_PATH = "SIMPLE";
    parameter PLLOUT_SELECT = "GENCLK";
    parameter [3:0] DIVR = 0;
    parameter [6:0] DIVF = 0;
    parameter [2:0] DIVQ = 0;
    parameter [2:0] FILTER_RANGE = 0;

    SB_PLL40_CORE core(
        .REFERENCECLK(PACKAGEPIN), .RESETB(RESETB), .PLLOUTCORE(PLLOUTCORE), .PLLOUTGLOBAL(PLLOUTGLOBAL), .LOCK(LOCK),
        .SDO(SDO)
    );
endmodule

module SB_HFOSC(input CLKHFEN, CLKHFPU, TRIM0, TRIM1, TRIM2, TRIM3, TRIM4, TRIM5, TRIM6, TRIM7, TRIM8, TRIM9,
                output reg CLKHF);
    parameter TRIM_EN = "0b0";
    parameter CLKHF_DIV = "0b00";
    localparam HALF_NS = CLKHF_DIV == "0b11" ? 83.333 : CLKHF_DIV == "0b10" ? 41.667 : CLKHF_DIV == "0b01" ? 20.833 : 10.417;

    initial CLKHF = 0;
    always #(HALF_NS) CLKHF = CLKHF === 1'b0 && CLKHFEN && CLKHFPU;
endmodule
