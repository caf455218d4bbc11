// The single-port RAM of the iCE40 UltraPlus, for simulating Verilog in which it is the only cell.
//
// Unknown at start; a write leaves the output unknown; without CHIPSELECT the output stays. A netlist brings yosys's
// models instead. Source: Lattice FPGA-TN-02022 (iCE40 SPRAM usage guide).

`timescale 1ns/1ps

module SB_SPRAM256KA(
    input [13:0] ADDRESS,
    input [15:0] DATAIN,
    input [3:0] MASKWREN,
    input WREN, CHIPSELECT, CLOCK, STANDBY, SLEEP, POWEROFF,
    output reg [15:0] DATAOUT
);
    reg [15:0] memory [0:16383];
    wire [15:0] mask = {{4{MASKWREN[3]}}, {4{MASKWREN[2]}}, {4{MASKWREN[1]}}, {4{MASKWREN[0]}}};

    always @(posedge CLOCK)
        if (STANDBY || SLEEP || !POWEROFF) DATAOUT <= 16'bx;
        else if (CHIPSELECT) begin
            if (WREN) memory[ADDRESS] <= (memory[ADDRESS] & ~mask) | (DATAIN & mask);
            DATAOUT <= WREN ? 16'bx : memory[ADDRESS];
        end
endmodule
