// A board in this process: the whole design, compiled by CXXRTL, with its serial line at the process's standard streams.
//
// `design.cc` is the design and `pins.h` says which of its ports are which (sim/board_model.py writes both). Bytes on
// standard input go to the receiving pin bit by bit, bytes from the sending pin to standard output. While neither line
// moves for QUIET_CYCLES, time stands still until a byte comes. On SIGTERM and SIGINT, and when the other end is gone,
// it says on standard error how many clock cycles passed.

#include "design.cc"
#include "pins.h"

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <poll.h>
#include <unistd.h>

using Pin = cxxrtl::value<1>;

static volatile std::sig_atomic_t stopping = 0;

static void stop(int) { stopping = 1; }

// A host's transmitter: a start bit, eight data bits with the lowest first, a stop bit.
class Transmitter {
    std::deque<uint8_t> waiting;
    unsigned shifter = 0, bits = 0;
    int timer = 0; // in parts of a clock cycle, of which it has BITS

public:
    void add(const uint8_t *bytes, size_t count) { waiting.insert(waiting.end(), bytes, bytes + count); }
    bool idle() const { return !bits && waiting.empty(); }
    size_t room() const { return waiting.size() < 65536 ? 65536 - waiting.size() : 0; }
    bool level() {
        if (!bits) {
            if (waiting.empty()) return true;
            shifter = waiting.front() << 1 | 1 << 9;
            waiting.pop_front();
            bits = 10;
            timer = CLOCKS_OF_BITS;
        }
        bool now = shifter & 1;
        if ((timer -= BITS) <= 0) {
            shifter >>= 1;
            timer += CLOCKS_OF_BITS;
            bits--;
        }
        return now;
    }
};

// A host's receiver, which samples bits in their middles; a byte without its stop bit is none.
class Receiver {
    unsigned byte = 0, bit = 0;
    int timer = 0; // as the transmitter's
    bool receiving = false;

public:
    bool busy() const { return receiving; }
    bool take(bool level, uint8_t &out) {
        if (!receiving) {
            if (!level) {
                receiving = true;
                bit = 0;
                timer = CLOCKS_OF_BITS / 2;
            }
            return false;
        }
        if ((timer -= BITS) > -BITS) return false;
        timer += CLOCKS_OF_BITS;
        if (bit == 0) {
            receiving = !level;
        } else if (bit <= 8) {
            byte = byte >> 1 | level << 7;
        } else {
            receiving = false;
            out = byte;
            return level;
        }
        bit++;
        return false;
    }
};

// A host's UART.
class Uart {
    Transmitter to_device;
    Receiver from_device;

public:
    void add(const uint8_t *bytes, size_t count) { to_device.add(bytes, count); }
    bool idle() const { return to_device.idle(); }
    bool busy() const { return from_device.busy(); }
    size_t room() const { return to_device.room(); }
    bool level() { return to_device.level(); }
    bool take(bool level, std::string &said) {
        uint8_t byte;
        if (!from_device.take(level, byte)) return false;
        said.push_back(static_cast<char>(byte));
        return byte == FRAME_END;
    }
};

#ifdef SPI_SCK
// A microcontroller that passes bytes on between its standard streams and SPI, without what stands for nothing.
class Controller {
    std::deque<uint8_t> waiting;
    uint8_t out = FRAME_END, in = 0;
    unsigned phase = 0;
    unsigned rest = 2 * CLOCKS_PER_BIT; // between selection and clock
    bool speaking = false, within = false, escaping = false;

public:
    void add(const uint8_t *bytes, size_t count) { waiting.insert(waiting.end(), bytes, bytes + count); }
    bool idle() const { return waiting.empty() && !speaking; }
    bool busy() const { return within; }
    size_t room() const { return waiting.size() < 65536 ? 65536 - waiting.size() : 0; }
    bool clock() const { return !rest && phase % CLOCKS_PER_BIT >= CLOCKS_PER_BIT / 2; }
    bool level() {
        if (!phase) {
            speaking = !waiting.empty();
            out = speaking ? waiting.front() : FRAME_END;
            if (speaking) waiting.pop_front();
        }
        return out >> (7 - phase / CLOCKS_PER_BIT) & 1;
    }
    // After a clock cycle: the bit that there was before the rising edge; true where it ends a frame.
    bool take(bool level, std::string &said) {
        if (rest) {
            rest--;
            return false;
        }
        if (phase % CLOCKS_PER_BIT == CLOCKS_PER_BIT / 2 - 1) in = in << 1 | level;
        if (++phase < 8 * CLOCKS_PER_BIT) return false;
        phase = 0;
        if (escaping && in != FRAME_STUFFED) said += {static_cast<char>(FRAME_ESCAPE), static_cast<char>(in)};
        if (!escaping && in != FRAME_ESCAPE && (within || in != FRAME_END)) said += static_cast<char>(in);
        bool ends = !escaping && within && in == FRAME_END;
        escaping = !escaping && in == FRAME_ESCAPE;
        within = in != FRAME_END;
        return ends;
    }
};
#endif

#ifdef FLASH_SCK
// A SPI flash in mode 0 that knows how to wake (0xAB) and to read (0x03), and answers ones beyond its contents.
class Flash {
    std::vector<uint8_t> contents;
    uint64_t command = 0;
    unsigned bits = 0;
    bool clock = false, awake = false, shown = true;

public:
    explicit Flash(const char *file) {
        std::ifstream stream(file, std::ios::binary);
        contents.assign(std::istreambuf_iterator<char>(stream), {});
    }
    bool serve(bool selected, bool sck, bool copi) {
        if (!selected) {
            awake |= bits >= 8 && command >> (bits < 32 ? bits - 8 : 24) == 0xAB;
            bits = 0;
            command = 0;
        } else if (sck && !clock && bits++ < 32) {
            command = command << 1 | copi;
        }
        if (clock && !sck) shown = bit();
        clock = sck;
        return shown;
    }

private:
    bool bit() const {
        if (!awake || bits < 32 || command >> 24 != 0x03) return true;
        uint64_t place = (command & 0xFFFFFF) + (bits - 32) / 8;
        return place < contents.size() ? contents[place] >> (7 - (bits - 32) % 8) & 1 : true;
    }
};
#endif

class Board {
    cxxrtl_design::p_top design;
#ifdef SPI_SCK
    Controller host;
#else
    Uart host;
#endif
    std::string said;
    uint64_t cycles = 0, moved = 0;
#ifdef FLASH_SCK
    Flash flash;
#endif

public:
    explicit Board(const char *flash_file)
#ifdef FLASH_SCK
        : flash(flash_file)
#endif
    {
        (void)flash_file;
        HOLD_PINS;
        design.RX = Pin{1u};
#ifdef SPI_SCK
        design.SPI_CS = Pin{1u};
#endif
        while (cycles < SETTLE_CYCLES) tick();
        moved = cycles;
    }

    uint64_t passed() const { return cycles; }

    // POLL_CYCLES of the clock, after a pause where nothing moves; false when the other end is gone.
    bool run() {
        bool quiet = host.idle() && cycles - moved > QUIET_CYCLES;
        if (quiet && !flush()) return false;
        if (!listen(quiet ? -1 : 0)) return false;
        for (unsigned n = 0; n < POLL_CYCLES && !stopping; n++) {
            bool busy = !host.idle();
            design.RX = Pin{host.level() ? 1u : 0u};
#ifdef SPI_SCK
            design.SPI_CS = Pin{0u};
            design.SPI_SCK = Pin{host.clock() ? 1u : 0u};
#endif
            tick();
            if (host.take(!design.TX.is_zero(), said) && !flush()) return false;
            if (busy || host.busy()) moved = cycles;
        }
        return true;
    }

private:
    void tick() {
        design.CLOCK = Pin{0u};
        design.step();
        design.CLOCK = Pin{1u};
        design.step();
        cycles++;
#ifdef FLASH_SCK
        bool answer = flash.serve(design.FLASH_CS.is_zero() == FLASH_ACTIVE_LOW, !design.FLASH_SCK.is_zero(),
                                  !design.FLASH_COPI.is_zero());
        design.FLASH_CIPO = Pin{answer ? 1u : 0u};
#endif
    }

    bool listen(int patience) {
        pollfd events{STDIN_FILENO, POLLIN, 0};
        if (!host.room() || poll(&events, 1, patience) <= 0) return true;
        uint8_t bytes[4096];
        ssize_t count = read(STDIN_FILENO, bytes, sizeof bytes);
        if (count > 0) host.add(bytes, static_cast<size_t>(count));
        return count > 0 || (count < 0 && errno == EINTR);
    }

    bool flush() {
        size_t start = 0;
        while (start < said.size() && !stopping) {
            ssize_t count = write(STDOUT_FILENO, said.data() + start, said.size() - start);
            if (count < 0 && errno != EINTR) return false;
            start += count > 0 ? static_cast<size_t>(count) : 0;
        }
        said.clear();
        return true;
    }
};

int main(int count, char **arguments) {
    struct sigaction action = {};
    action.sa_handler = stop;
    sigaction(SIGTERM, &action, nullptr);
    sigaction(SIGINT, &action, nullptr);
    Board board(count > 1 ? arguments[1] : "");
    while (!stopping && board.run()) {}
    std::fprintf(stderr, "%llu\n", static_cast<unsigned long long>(board.passed()));
}
