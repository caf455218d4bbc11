// Behavioural models of the ECP5 cells in a netlist from yosys's synth_ecp5.
//
// Yosys's own models leave out the block RAM and the multiplier, and Icarus Verilog 11 does not parse the rest. Modelled
// is what synth_ecp5 instantiates: block RAM without output registers or chip selects, in true dual-port form of up to
// 18 bits or in pseudo dual-port form with 36 bits (written through A, read through B), and the 18 x 18 multiplier
// without registers. Sources: Lattice FPGA-DS-02012 (ECP5 family), FPGA-TN-02204 (memories), FPGA-TN-02205 (sysDSP).

// A tree of multiplexers: an unknown input matters only where the table depends on it, as an index would not show.
module LUT4(input A, B, C, D, output Z);
    parameter [15:0] INIT = 16'h0;
    wire [7:0] table3 = D ? INIT[15:8] : INIT[7:0];
    wire [3:0] table2 = C ? table3[7:4] : table3[3:0];
    wire [1:0] table1 = B ? table2[3:2] : table2[1:0];
    assign Z = A ? table1[1] : table1[0];
endmodule

module PFUMX(input ALUT, BLUT, C0, output Z);
    assign Z = C0 ? ALUT : BLUT;
endmodule

module L6MUX21(input D0, D1, SD, output Z);
    assign Z = SD ? D1 : D0;
endmodule

// Two bits of carry chain. A half's sum is its LUT4 XOR the carry into it; the carry passes through where the LUT4 is 1
// and is the lower LUT2 where it is 0. INJECT "YES" keeps the carry out of the sum and the LUT2 out of the carry.
module CCU2C(input CIN, A0, B0, C0, D0, A1, B1, C1, D1, output S0, S1, COUT);
    parameter [15:0] INIT0 = 16'h0;
    parameter [15:0] INIT1 = 16'h0;
    parameter INJECT1_0 = "YES";
    parameter INJECT1_1 = "YES";

    wire propagate0, propagate1, lower0, lower1;
    LUT4 #(.INIT(INIT0)) whole0(.A(A0), .B(B0), .C(C0), .D(D0), .Z(propagate0));
    LUT4 #(.INIT(INIT1)) whole1(.A(A1), .B(B1), .C(C1), .D(D1), .Z(propagate1));
    LUT4 #(.INIT(INIT0)) part0(.A(A0), .B(B0), .C(1'b0), .D(1'b0), .Z(lower0));
    LUT4 #(.INIT(INIT1)) part1(.A(A1), .B(B1), .C(1'b0), .D(1'b0), .Z(lower1));
    wire generate0 = INJECT1_0 == "YES" ? 1'b0 : lower0;
    wire generate1 = INJECT1_1 == "YES" ? 1'b0 : lower1;
    wire middle = propagate0 ? CIN : generate0;

    assign S0 = propagate0 ^ (INJECT1_0 == "YES" ? 1'b0 : CIN);
    assign S1 = propagate1 ^ (INJECT1_1 == "YES" ? 1'b0 : middle);
    assign COUT = propagate1 ? middle : generate1;
endmodule

// Configuration sets every flip-flop to its reset value.
module TRELLIS_FF(input CLK, LSR, CE, DI, M, output reg Q);
    parameter GSR = "ENABLED";
    parameter CEMUX = "1";
    parameter CLKMUX = "CLK";
    parameter LSRMUX = "LSR";
    parameter SRMODE = "LSR_OVER_CE";
    parameter REGSET = "RESET";
    localparam VALUE = REGSET == "SET";

    wire clock = CLKMUX == "INV" ? !CLK : CLK;
    wire reset = LSRMUX == "INV" ? !LSR : LSR;
    wire enable = CEMUX == "1" ? 1'b1 : CEMUX == "0" ? 1'b0 : CEMUX == "INV" ? !CE : CE;
    wire asynchronous = SRMODE == "ASYNC" && reset;

    initial Q = VALUE;
    always @(posedge clock, posedge asynchronous)
        if (reset) Q <= VALUE;
        else if (enable) Q <= DI;
endmodule

module TRELLIS_DPR16X4(input [3:0] DI, WAD, RAD, input WRE, WCK, output [3:0] DO);
    parameter WCKMUX = "WCK";
    parameter WREMUX = "WRE";
    parameter [63:0] INITVAL = 64'h0;

    reg [63:0] memory = INITVAL;
    wire clock = WCKMUX == "INV" ? !WCK : WCK;
    wire enable = WREMUX == "1" ? 1'b1 : WREMUX == "0" ? 1'b0 : WREMUX == "INV" ? !WRE : WRE;

    always @(posedge clock) if (enable) memory[{WAD, 2'b00} +: 4] <= DI;
    assign DO = memory[{RAD, 2'b00} +: 4];
endmodule

module DP16KD(
    input DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7, DIA6, DIA5, DIA4, DIA3, DIA2,
        DIA1, DIA0,
    input ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2, ADA1, ADA0,
    input CEA, OCEA, CLKA, WEA, RSTA, CSA2, CSA1, CSA0,
    output DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5, DOA4, DOA3, DOA2,
        DOA1, DOA0,
    input DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6, DIB5, DIB4, DIB3, DIB2,
        DIB1, DIB0,
    input ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0,
    input CEB, OCEB, CLKB, WEB, RSTB, CSB2, CSB1, CSB0,
    output DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5, DOB4, DOB3, DOB2,
        DOB1, DOB0
);
    parameter DATA_WIDTH_A = 18;
    parameter REGMODE_A = "NOREG";
    parameter CSDECODE_A = "0b000";
    parameter WRITEMODE_A = "NORMAL";
    parameter CLKAMUX = "CLKA";
    parameter DATA_WIDTH_B = 18;
    parameter REGMODE_B = "NOREG";
    parameter CSDECODE_B = "0b000";
    parameter WRITEMODE_B = "NORMAL";
    parameter CLKBMUX = "CLKB";
    parameter RESETMODE = "SYNC";
    parameter ASYNC_RESET_RELEASE = "SYNC";
    parameter GSR = "ENABLED";
    parameter [319:0] INITVAL_00 = 320'h0;
    parameter [319:0] INITVAL_01 = 320'h0;
    parameter [319:0] INITVAL_02 = 320'h0;
    parameter [319:0] INITVAL_03 = 320'h0;
    parameter [319:0] INITVAL_04 = 320'h0;
    parameter [319:0] INITVAL_05 = 320'h0;
    parameter [319:0] INITVAL_06 = 320'h0;
    parameter [319:0] INITVAL_07 = 320'h0;
    parameter [319:0] INITVAL_08 = 320'h0;
    parameter [319:0] INITVAL_09 = 320'h0;
    parameter [319:0] INITVAL_0A = 320'h0;
    parameter [319:0] INITVAL_0B = 320'h0;
    parameter [319:0] INITVAL_0C = 320'h0;
    parameter [319:0] INITVAL_0D = 320'h0;
    parameter [319:0] INITVAL_0E = 320'h0;
    parameter [319:0] INITVAL_0F = 320'h0;
    parameter [319:0] INITVAL_10 = 320'h0;
    parameter [319:0] INITVAL_11 = 320'h0;
    parameter [319:0] INITVAL_12 = 320'h0;
    parameter [319:0] INITVAL_13 = 320'h0;
    parameter [319:0] INITVAL_14 = 320'h0;
    parameter [319:0] INITVAL_15 = 320'h0;
    parameter [319:0] INITVAL_16 = 320'h0;
    parameter [319:0] INITVAL_17 = 320'h0;
    parameter [319:0] INITVAL_18 = 320'h0;
    parameter [319:0] INITVAL_19 = 320'h0;
    parameter [319:0] INITVAL_1A = 320'h0;
    parameter [319:0] INITVAL_1B = 320'h0;
    parameter [319:0] INITVAL_1C = 320'h0;
    parameter [319:0] INITVAL_1D = 320'h0;
    parameter [319:0] INITVAL_1E = 320'h0;
    parameter [319:0] INITVAL_1F = 320'h0;
    parameter [319:0] INITVAL_20 = 320'h0;
    parameter [319:0] INITVAL_21 = 320'h0;
    parameter [319:0] INITVAL_22 = 320'h0;
    parameter [319:0] INITVAL_23 = 320'h0;
    parameter [319:0] INITVAL_24 = 320'h0;
    parameter [319:0] INITVAL_25 = 320'h0;
    parameter [319:0] INITVAL_26 = 320'h0;
    parameter [319:0] INITVAL_27 = 320'h0;
    parameter [319:0] INITVAL_28 = 320'h0;
    parameter [319:0] INITVAL_29 = 320'h0;
    parameter [319:0] INITVAL_2A = 320'h0;
    parameter [319:0] INITVAL_2B = 320'h0;
    parameter [319:0] INITVAL_2C = 320'h0;
    parameter [319:0] INITVAL_2D = 320'h0;
    parameter [319:0] INITVAL_2E = 320'h0;
    parameter [319:0] INITVAL_2F = 320'h0;
    parameter [319:0] INITVAL_30 = 320'h0;
    parameter [319:0] INITVAL_31 = 320'h0;
    parameter [319:0] INITVAL_32 = 320'h0;
    parameter [319:0] INITVAL_33 = 320'h0;
    parameter [319:0] INITVAL_34 = 320'h0;
    parameter [319:0] INITVAL_35 = 320'h0;
    parameter [319:0] INITVAL_36 = 320'h0;
    parameter [319:0] INITVAL_37 = 320'h0;
    parameter [319:0] INITVAL_38 = 320'h0;
    parameter [319:0] INITVAL_39 = 320'h0;
    parameter [319:0] INITVAL_3A = 320'h0;
    parameter [319:0] INITVAL_3B = 320'h0;
    parameter [319:0] INITVAL_3C = 320'h0;
    parameter [319:0] INITVAL_3D = 320'h0;
    parameter [319:0] INITVAL_3E = 320'h0;
    parameter [319:0] INITVAL_3F = 320'h0;

    // 1024 words of 18 bits: two bytes of 8 bits and a ninth, which the widths 1, 2 and 4 do not reach.
    reg [17:0] memory [0:1023];

    // A line of initial values holds 16 words, 20 bits apart.
    task load(input integer line, input [319:0] values);
        integer word;
        for (word = 0; word < 16; word = word + 1)
            memory[line * 16 + word] = values[word * 20 +: 18];
    endtask

    initial begin
        load(0, INITVAL_00);
        load(1, INITVAL_01);
        load(2, INITVAL_02);
        load(3, INITVAL_03);
        load(4, INITVAL_04);
        load(5, INITVAL_05);
        load(6, INITVAL_06);
        load(7, INITVAL_07);
        load(8, INITVAL_08);
        load(9, INITVAL_09);
        load(10, INITVAL_0A);
        load(11, INITVAL_0B);
        load(12, INITVAL_0C);
        load(13, INITVAL_0D);
        load(14, INITVAL_0E);
        load(15, INITVAL_0F);
        load(16, INITVAL_10);
        load(17, INITVAL_11);
        load(18, INITVAL_12);
        load(19, INITVAL_13);
        load(20, INITVAL_14);
        load(21, INITVAL_15);
        load(22, INITVAL_16);
        load(23, INITVAL_17);
        load(24, INITVAL_18);
        load(25, INITVAL_19);
        load(26, INITVAL_1A);
        load(27, INITVAL_1B);
        load(28, INITVAL_1C);
        load(29, INITVAL_1D);
        load(30, INITVAL_1E);
        load(31, INITVAL_1F);
        load(32, INITVAL_20);
        load(33, INITVAL_21);
        load(34, INITVAL_22);
        load(35, INITVAL_23);
        load(36, INITVAL_24);
        load(37, INITVAL_25);
        load(38, INITVAL_26);
        load(39, INITVAL_27);
        load(40, INITVAL_28);
        load(41, INITVAL_29);
        load(42, INITVAL_2A);
        load(43, INITVAL_2B);
        load(44, INITVAL_2C);
        load(45, INITVAL_2D);
        load(46, INITVAL_2E);
        load(47, INITVAL_2F);
        load(48, INITVAL_30);
        load(49, INITVAL_31);
        load(50, INITVAL_32);
        load(51, INITVAL_33);
        load(52, INITVAL_34);
        load(53, INITVAL_35);
        load(54, INITVAL_36);
        load(55, INITVAL_37);
        load(56, INITVAL_38);
        load(57, INITVAL_39);
        load(58, INITVAL_3A);
        load(59, INITVAL_3B);
        load(60, INITVAL_3C);
        load(61, INITVAL_3D);
        load(62, INITVAL_3E);
        load(63, INITVAL_3F);
    end

    // Where bit `index` of a port's data lies in its word.
    function integer place(input integer width, input [13:0] address, input integer index);
        integer offset;
        begin
            offset = width >= 9 ? 0 : (address[3:0] / width) * width + index;
            if (width >= 18) place = index % 18;
            else if (width == 9) place = (address[3] ? 9 : 0) + index;
            else place = offset + (offset >= 8 ? 1 : 0);
        end
    endfunction

    // The word that bit `index` of a port's data lies in; 36 bits span two.
    function [9:0] row(input integer width, input [13:0] address, input integer index);
        row = width == 36 ? {address[13:5], index >= 18} : address[13:4];
    endfunction

    // Byte enables take the place of the address bits that a wide port does not need.
    function enabled(input integer width, input [13:0] address, input integer index);
        enabled = width >= 18 ? address[index / 9] : 1'b1;
    endfunction

    wire [13:0] address_A = {ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2, ADA1, ADA0};
    wire [13:0] address_B = {ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0};
    wire [35:0] data_A = DATA_WIDTH_A == 36 ? {DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8,
        DIB7, DIB6, DIB5, DIB4, DIB3, DIB2, DIB1, DIB0, DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9,
        DIA8, DIA7, DIA6, DIA5, DIA4, DIA3, DIA2, DIA1, DIA0} : {18'b0, DIA17, DIA16, DIA15, DIA14, DIA13, DIA12,
        DIA11, DIA10, DIA9, DIA8, DIA7, DIA6, DIA5, DIA4, DIA3, DIA2, DIA1, DIA0};
    wire [35:0] data_B = {18'b0, DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6, DIB5,
        DIB4, DIB3, DIB2, DIB1, DIB0};
    reg [35:0] read_A = 0;
    reg [35:0] read_B = 0;
    wire clock_A = CLKAMUX == "INV" ? !CLKA : CLKA;
    wire clock_B = CLKBMUX == "INV" ? !CLKB : CLKB;

    integer bit_A;
    always @(posedge clock_A) begin
        if (CEA) begin
            if (!WEA || WRITEMODE_A == "READBEFOREWRITE")
                for (bit_A = 0; bit_A < DATA_WIDTH_A; bit_A = bit_A + 1)
                    read_A[bit_A] <= memory[row(DATA_WIDTH_A, address_A, bit_A)][place(DATA_WIDTH_A, address_A, bit_A)];
            if (WEA) begin
                for (bit_A = 0; bit_A < DATA_WIDTH_A; bit_A = bit_A + 1)
                    if (enabled(DATA_WIDTH_A, address_A, bit_A)) begin
                        memory[row(DATA_WIDTH_A, address_A, bit_A)][place(DATA_WIDTH_A, address_A, bit_A)] <=
                            data_A[bit_A];
                        if (WRITEMODE_A == "WRITETHROUGH") read_A[bit_A] <= data_A[bit_A];
                    end
            end
        end
        if (RSTA && RESETMODE == "SYNC") read_A <= 0;
    end
    always @(posedge RSTA) if (RESETMODE == "ASYNC") read_A <= 0;

    integer bit_B;
    always @(posedge clock_B) begin
        if (CEB) begin
            if (!WEB || WRITEMODE_B == "READBEFOREWRITE")
                for (bit_B = 0; bit_B < DATA_WIDTH_B; bit_B = bit_B + 1)
                    read_B[bit_B] <= memory[row(DATA_WIDTH_B, address_B, bit_B)][place(DATA_WIDTH_B, address_B, bit_B)];
            if (WEB) begin
                for (bit_B = 0; bit_B < DATA_WIDTH_B; bit_B = bit_B + 1)
                    if (enabled(DATA_WIDTH_B, address_B, bit_B)) begin
                        memory[row(DATA_WIDTH_B, address_B, bit_B)][place(DATA_WIDTH_B, address_B, bit_B)] <=
                            data_B[bit_B];
                        if (WRITEMODE_B == "WRITETHROUGH") read_B[bit_B] <= data_B[bit_B];
                    end
            end
        end
        if (RSTB && RESETMODE == "SYNC") read_B <= 0;
    end
    always @(posedge RSTB) if (RESETMODE == "ASYNC") read_B <= 0;

    // In 36-bit form DOA carries the low half and DOB the high half of what port B reads; a narrower port B of the
    // pseudo dual-port form uses DOB alone.
    assign {DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5, DOA4, DOA3, DOA2,
        DOA1, DOA0} = DATA_WIDTH_B == 36 ? read_B[17:0] : read_A[17:0];
    assign {DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5, DOB4, DOB3, DOB2,
        DOB1, DOB0} = DATA_WIDTH_B == 36 ? read_B[35:18] : read_B[17:0];
endmodule

module MULT18X18D(
    input A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0,
    input B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0,
    input C17, C16, C15, C14, C13, C12, C11, C10, C9, C8, C7, C6, C5, C4, C3, C2, C1, C0,
    input SIGNEDA, SIGNEDB, SOURCEA, SOURCEB,
    output P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18, P17, P16, P15,
        P14, P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0
);
    wire signed [18:0] left = {SIGNEDA & A17, A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2,
        A1, A0};
    wire signed [18:0] right = {SIGNEDB & B17, B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2,
        B1, B0};
    wire signed [37:0] product = left * right;
    assign {P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18, P17, P16, P15,
        P14, P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0} = product[35:0];
endmodule
