// A SPI flash: asleep until it is released (command 0xAB, 3 us), then read from (0x03, mode 0); erased beyond its file.

`timescale 1ns/1ps

module spi_flash(input cs_n, sck, copi, output reg cipo);
    parameter FILE = "flash.hex";
    parameter BYTES = 262144;

    reg [7:0] memory [0:BYTES-1];
    reg asleep = 1;
    reg [31:0] command;
    integer bits = 0, index;
    wire [23:0] address = command[23:0] + (bits - 32) / 8;

    initial begin
        for (index = 0; index < BYTES; index = index + 1) memory[index] = 8'hff;
        $readmemh(FILE, memory);
    end

    always @(negedge cs_n) bits = 0;
    always @(posedge sck) if (!cs_n) begin
        if (bits < 32) command = {command[30:0], copi};
        bits = bits + 1;
    end
    always @(negedge sck)
        if (!asleep && bits >= 32 && command[31:24] == 8'h03) cipo <= #8 memory[address][7 - bits % 8];
        else cipo <= #8 1'bz;
    always @(posedge cs_n) if (bits == 8 && command[7:0] == 8'hab) asleep <= #3000 0;
endmodule
