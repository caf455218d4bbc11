// The cells between an ECP5's logic and its pins, for CXXRTL, which does not know high impedance; else as in
// ecp5_board_sim.v. A pin is an input or an output for good.

module OBZ(input I, T, output O);
    assign O = I;
endmodule
