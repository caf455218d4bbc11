"""Replies to the host: the core's output tokens, and what else answers a frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.hdl import Value, ValueLike, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..streams.tokens import TokenKind, token_layout
from .protocol import CRC_BYTES, REASON_BITS, Code, LinkFormat
from .serial_crc import SerialCrc
from .slip import FrameByte, SlipEncoder


class ReplySender(wiring.Component):
    """Frames the core's output tokens, and what else answers a frame, as replies.

    ======== === ==========================================================================================
    Port     Dir Meaning
    ======== === ==========================================================================================
    i        in  stream of the core's output tokens, or readings
    other    in  stream of frames that reach no core: those that end no step are accepted, images are refused
    reason   in  the reason of the next ERROR reply
    o        out stream of bytes for the transmitter
    identity in  what checksums start from, where that `is_told` and no constant of the format
    ======== === ==========================================================================================

    A token that makes n bytes takes n * (10 + the transmitter's time) cycles; `i.ready` depends on registers only.
    """

    i: stream.Interface
    other: stream.Interface
    reason: Signal
    o: stream.Interface
    identity: Signal

    def __init__(self, form: LinkFormat, *, is_told: bool = False) -> None:
        self._format = form
        self._is_told = is_told
        ports = {
            "i": In(stream.Signature(form.readout.layout if form.readout else token_layout(form.outputs))),
            "other": In(stream.Signature(0)),
            "reason": In(REASON_BITS),
            "o": Out(stream.Signature(8)),
        }
        super().__init__(ports | ({"identity": In(8 * CRC_BYTES)} if is_told else {}))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.crc = crc = SerialCrc(initial=None if self._is_told else self._format.identity)
        m.submodules.slip = slip = SlipEncoder()
        wiring.connect(m, slip.o, wiring.flipped(self.o))
        high = Signal(max(0, len(self.i.payload.address) - 8))  # of an address of two bytes
        byte = Signal(8)  # what to send
        turns = Signal(4)  # while the top bit is set, `byte` turns once, into the checksum or out of it
        loaded = Signal()
        sent = Signal()
        under_way = Signal()  # a reply has begun
        rest = self._rest(m)
        m.d.comb += [
            crc.shift.eq(turns[-1]),
            crc.bit.eq(byte[-1]),
            slip.i.valid.eq(loaded & ~turns[-1]),
            slip.i.payload.byte.eq(byte),
            sent.eq(slip.i.valid & slip.i.ready),
        ]
        with m.If(turns[-1]):
            m.d.sync += [turns.eq(turns + 1), byte.eq(Cat(Mux(crc.unload, crc.top, byte[-1]), byte[:-1]))]
        with m.If(sent):
            m.d.sync += loaded.eq(0)

        def load(value: ValueLike, state: str) -> None:
            m.d.sync += [byte.eq(value), turns.eq(8), loaded.eq(1)]
            m.next = state

        with m.FSM():
            with m.State("IDLE"):
                if self._is_told:
                    m.d.comb += [crc.initial.eq(self.identity), crc.restart.eq(~under_way)]
                self._await(m, under_way, high, load)
            if self._format.output_bytes == 2:
                with m.State("LOW"), m.If(sent):
                    load(high, "EVENT" if self._format.readout is None else "CLASS")
            if self._format.readout is not None:
                self._send_reading(m, rest, sent, load)
            with m.State("EVENT"), m.If(sent):
                m.next = "IDLE"
            with m.State("REASON"), m.If(sent):
                load(Code.ERROR, "CODE")
            with m.State("CODE"), m.If(sent):
                load(byte, "CRC_HIGH")
            with m.State("CRC_HIGH"):
                m.d.comb += crc.unload.eq(1)
                with m.If(sent):
                    load(byte, "CRC_LOW")
            with m.State("CRC_LOW"):
                m.d.comb += crc.unload.eq(1)
                with m.If(sent):
                    m.d.sync += loaded.eq(1)
                    m.next = "END"
            with m.State("END"):
                m.d.comb += [slip.i.payload.kind.eq(FrameByte.END), crc.restart.eq(1)]
                with m.If(sent):
                    m.d.sync += under_way.eq(0)
                    m.next = "IDLE"
        return m

    def _send_reading(
        self, m: Module, rest: Sequence[Value], sent: Signal, load: Callable[[ValueLike, str], None]
    ) -> None:
        """The states behind the first byte of a reading, and behind the class."""
        assert self._format.readout is not None
        for number, part in enumerate(rest):
            with m.State(f"VALUE{number}"), m.If(sent):
                load(part, self._after_value(number + 1))
        if self._format.readout.names_class:
            with m.State("CLASS"), m.If(sent):
                load(Code.SAMPLE, "CODE")

    def _rest(self, m: Module) -> list[Value]:
        """The bytes of a reading behind the first, which wait in a register."""
        count = 0 if self._format.readout is None else self._format.readout.value_bytes - 1
        if self._format.readout is None or not count:
            return []
        waiting = Signal(signed(self._format.readout.value_bits - 8))
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += waiting.eq(self.i.payload.value >> 8)
        return [(waiting >> 8 * number)[:8] if number < count - 1 else waiting >> 8 * number for number in range(count)]

    def _after_value(self, sent: int) -> str:
        """The state after so many bytes of a reading but one."""
        assert self._format.readout is not None
        return "EVENT" if sent == self._format.readout.value_bytes - 1 else f"VALUE{sent}"

    def _await(self, m: Module, under_way: Signal, high: Signal, load: Callable[[ValueLike, str], None]) -> None:
        """The first byte of what comes next; `load` takes a byte and the state in which it is sent."""
        token = self.i.payload
        m.d.comb += [self.i.ready.eq(1), self.other.ready.eq(~self.i.valid & ~under_way)]
        readout, low = self._format.readout, "LOW" if self._format.output_bytes == 2 else None
        with m.If(self.i.valid):
            m.d.sync += [under_way.eq(1), high.eq(token.address[8:])]
            with m.Switch(token.kind):
                with m.Case(TokenKind.EVENT):
                    if readout is None:
                        load(token.address[:8], low or "EVENT")
                    else:
                        load((token.value + Const(0, signed(8)))[:8], self._after_value(0))
                with m.Case(TokenKind.END_OF_STEP):
                    load(Code.STEP, "CODE")
                with m.Case(TokenKind.END_OF_SAMPLE):
                    if readout is not None and readout.names_class:
                        load(token.address[:8], low or "CLASS")
                    else:
                        load(Code.SAMPLE, "CODE")
                with m.Case(TokenKind.ABORT):
                    load(self.reason, "REASON")
        with m.Elif(self.other.valid & ~under_way):
            if self._format.coding is None:
                load(Code.ACCEPTED, "CODE")
            else:
                load(self.reason, "REASON")
