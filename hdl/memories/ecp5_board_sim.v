// The cells between an ECP5's logic and its pins, as far as a simulation of logic needs them.
//
// The PLL passes its reference through and locks after a few edges: frequencies are nextpnr's matter, the design must
// only wait for the lock. Names and ports: Lattice FPGA-TN-02200 (sysCLOCK PLL) and the ECP5 library guide.

`timescale 1ns/1ps

module IB(input I, output O);
    assign O = I;
endmodule

module OB(input I, output O);
    assign O = I;
endmodule

module OBZ(input I, T, output O);
    assign O = T ? 1'bz : I;
endmodule

module BB(input I, T, output O, inout B);
    assign B = T ? 1'bz : I;
    assign O = B;
endmodule

module EHXPLLL(
    input CLKI, CLKFB, PHASESEL1, PHASESEL0, PHASEDIR, PHASESTEP, PHASELOADREG, STDBY, PLLWAKESYNC, RST, ENCLKOP,
    ENCLKOS, ENCLKOS2, ENCLKOS3,
    output CLKOP, CLKOS, CLKOS2, CLKOS3, LOCK, INTLOCK, REFCLK, CLKINTFB
);
    parameter CLKI_DIV = 1;
    parameter CLKFB_DIV = 1;
    parameter CLKOP_DIV = 8;
    parameter CLKOP_CPHASE = 0;
    parameter CLKOP_FPHASE = 0;
    parameter CLKOP_ENABLE = "ENABLED";
    parameter FEEDBK_PATH = "CLKOP";
    parameter PLLRST_ENA = "DISABLED";
    parameter INTFB_WAKE = "DISABLED";
    parameter STDBY_ENABLE = "DISABLED";
    parameter DPHASE_SOURCE = "DISABLED";
    parameter OUTDIVIDER_MUXA = "DIVA";
    parameter OUTDIVIDER_MUXB = "DIVB";
    parameter OUTDIVIDER_MUXC = "DIVC";
    parameter OUTDIVIDER_MUXD = "DIVD";

    reg [3:0] edges = 0;
    always @(posedge CLKI) if (!LOCK) edges <= edges + 1;

    assign LOCK = &edges;
    assign INTLOCK = LOCK;
    assign {CLKOP, CLKOS, CLKOS2, CLKOS3, REFCLK, CLKINTFB} = {6{CLKI}};
endmodule
