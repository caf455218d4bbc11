// Maps what memory_libmap found to block RAMs, in a few operations on whole contents: yosys's own map puts them in order bit by
// bit, which takes it a second for each block RAM. Those of other clock edges than ours are left to it.
//
// A block RAM (Lattice, iCE40 memory usage guide) has words of 16 bits; narrower ones are parts of them. Bit i of a word is at
// the place whose number is that of i read backwards, and further by 1 of 4 bits, by 3 of 2. The address's lowest bits, which
// choose the part, are the highest of the cell's.

(* techmap_celltype = "$__ICE40_RAM4K_" *)
module spikeloom_ice40_block #(
    parameter INIT = 0,
    parameter OPTION_HAS_BE = 1,
    parameter PORT_R_WIDTH = 16,
    parameter PORT_W_WIDTH = 16,
    parameter PORT_W_WR_BE_WIDTH = 16,
    parameter PORT_R_CLK_POL = 1,
    parameter PORT_W_CLK_POL = 1
) (
    input PORT_R_CLK,
    input PORT_R_RD_EN,
    input [10:0] PORT_R_ADDR,
    output [PORT_R_WIDTH-1:0] PORT_R_RD_DATA,
    input PORT_W_CLK,
    input PORT_W_WR_EN,
    input [15:0] PORT_W_WR_BE,
    input [10:0] PORT_W_ADDR,
    input [PORT_W_WIDTH-1:0] PORT_W_WR_DATA
);
    wire _TECHMAP_FAIL_ = !(PORT_R_CLK_POL && PORT_W_CLK_POL);

    // Bits of every word whose numbers differ in bits 0 and 3 change places, then those whose numbers differ in bits 1 and 2.
    localparam [4095:0] LOW = {256{16'h00aa}}, MIDDLE = {256{16'h0c0c}};
    localparam [4095:0] OUTER = (INIT & ~(LOW | LOW << 7)) | (INIT & LOW) << 7 | (INIT >> 7) & LOW;
    localparam [4095:0] ORDERED = (OUTER & ~(MIDDLE | MIDDLE << 2)) | (OUTER & MIDDLE) << 2 | (OUTER >> 2) & MIDDLE;
    localparam [1:0] READ_MODE = 4 - $clog2(PORT_R_WIDTH), WRITE_MODE = 4 - $clog2(PORT_W_WIDTH);

    wire [15:0] RDATA, WDATA, ENABLED, MASK;
    genvar i;
    generate
        for (i = 0; i < PORT_R_WIDTH; i = i + 1) begin : read
            localparam PLACE = i % 2 * 8 + i / 2 % 2 * 4 + i / 4 % 2 * 2 + i / 8 + (PORT_R_WIDTH < 8 ? 8 / PORT_R_WIDTH - 1 : 0);
            assign PORT_R_RD_DATA[i] = RDATA[PLACE];
        end
        for (i = 0; i < PORT_W_WIDTH; i = i + 1) begin : write
            localparam PLACE = i % 2 * 8 + i / 2 % 2 * 4 + i / 4 % 2 * 2 + i / 8 + (PORT_W_WIDTH < 8 ? 8 / PORT_W_WIDTH - 1 : 0);
            assign WDATA[PLACE] = PORT_W_WR_DATA[i];
            assign ENABLED[PLACE] = PORT_W_WR_BE[i];
        end
        if (PORT_W_WIDTH == 16) assign MASK = ~ENABLED;
    endgenerate

    SB_RAM40_4K #(
        .INIT_0(ORDERED[0 * 256 +: 256]),
        .INIT_1(ORDERED[1 * 256 +: 256]),
        .INIT_2(ORDERED[2 * 256 +: 256]),
        .INIT_3(ORDERED[3 * 256 +: 256]),
        .INIT_4(ORDERED[4 * 256 +: 256]),
        .INIT_5(ORDERED[5 * 256 +: 256]),
        .INIT_6(ORDERED[6 * 256 +: 256]),
        .INIT_7(ORDERED[7 * 256 +: 256]),
        .INIT_8(ORDERED[8 * 256 +: 256]),
        .INIT_9(ORDERED[9 * 256 +: 256]),
        .INIT_A(ORDERED[10 * 256 +: 256]),
        .INIT_B(ORDERED[11 * 256 +: 256]),
        .INIT_C(ORDERED[12 * 256 +: 256]),
        .INIT_D(ORDERED[13 * 256 +: 256]),
        .INIT_E(ORDERED[14 * 256 +: 256]),
        .INIT_F(ORDERED[15 * 256 +: 256]),
        .READ_MODE(READ_MODE),
        .WRITE_MODE(WRITE_MODE)
    ) _TECHMAP_REPLACE_ (
        .RCLK(PORT_R_CLK),
        .RCLKE(PORT_R_RD_EN),
        .RE(1'b1),
        .RADDR({PORT_R_ADDR[0], PORT_R_ADDR[1], PORT_R_ADDR[2], PORT_R_ADDR[10:3]}),
        .RDATA(RDATA),
        .WCLK(PORT_W_CLK),
        .WCLKE(PORT_W_WR_EN),
        .WE(1'b1),
        .WADDR({PORT_W_ADDR[0], PORT_W_ADDR[1], PORT_W_ADDR[2], PORT_W_ADDR[10:3]}),
        .WDATA(WDATA),
        .MASK(MASK)
    );
endmodule
