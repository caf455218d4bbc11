// The cells between an iCE40's logic and its pins, for CXXRTL, which knows neither high impedance nor delays; else as
// in ice40_board_sim.v. A pin is an input or an output for good, and the oscillator's edges come in at its enable.

// As Amaranth makes it: without registers, an output (PIN_TYPE[5:4] not 00) always enabled.
module SB_IO(
    inout PACKAGE_PIN,
    input LATCH_INPUT_VALUE, CLOCK_ENABLE, INPUT_CLK, OUTPUT_CLK, OUTPUT_ENABLE, D_OUT_0, D_OUT_1,
    output D_IN_0, D_IN_1
);
    parameter [5:0] PIN_TYPE = 6'b000000;
    parameter [0:0] PULLUP = 1'b0;
    parameter [0:0] NEG_TRIGGER = 1'b0;
    parameter IO_STANDARD = "SB_LVCMOS";

    generate if (PIN_TYPE[5:4] != 2'b00) assign PACKAGE_PIN = D_OUT_0; endgenerate
    assign D_IN_0 = PACKAGE_PIN;
    assign D_IN_1 = 1'b0;
endmodule

module SB_GB_IO(
    inout PACKAGE_PIN,
    input LATCH_INPUT_VALUE, CLOCK_ENABLE, INPUT_CLK, OUTPUT_CLK, OUTPUT_ENABLE, D_OUT_0, D_OUT_1,
    output D_IN_0, D_IN_1, GLOBAL_BUFFER_OUTPUT
);
    parameter [5:0] PIN_TYPE = 6'b000000;
    parameter [0:0] PULLUP = 1'b0;
    parameter [0:0] NEG_TRIGGER = 1'b0;
    parameter IO_STANDARD = "SB_LVCMOS";

    assign D_IN_0 = PACKAGE_PIN;
    assign D_IN_1 = 1'b0;
    assign GLOBAL_BUFFER_OUTPUT = PACKAGE_PIN;
endmodule

module SB_GB(input USER_SIGNAL_TO_GLOBAL_BUFFER, output GLOBAL_BUFFER_OUTPUT);
    assign GLOBAL_BUFFER_OUTPUT = USER_SIGNAL_TO_GLOBAL_BUFFER;
endmodule

module SB_HFOSC(input CLKHFEN, CLKHFPU, TRIM0, TRIM1, TRIM2, TRIM3, TRIM4, TRIM5, TRIM6, TRIM7, TRIM8, TRIM9,
                output CLKHF);
    parameter TRIM_EN = "0b0";
    parameter CLKHF_DIV = "0b00";
    assign CLKHF = CLKHFEN;
endmodule
