"""Frames out and replies in over one line, within the room that the device has."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ...hdl.errors import LineError
from ...hdl.link.identity import UNNAMED, probe_frame, probed_identity
from ...hdl.link.protocol import (
    Code,
    Frame,
    Header,
    LinkError,
    LinkFormat,
    Reason,
    Reply,
    ReplyDecoder,
    Unslip,
    encode_frame,
    encode_image,
    encode_sample,
    longest_content,
)
from .certainty import Certainty, Exit
from .line import Line

PROBES = 4
"""How often a device is asked who it is, of which two answers must be the same."""

AHEAD = 2
"""Frames under way where samples may end early: one that the core works on while its reply travels, and the next."""

_QUIET_SECONDS = 0.03
"""A pause in which nothing comes: what was under way has arrived."""

_MOST_NOISE_BYTES = 1 << 14


class DisturbedError(LineError):
    """The exchange broke off: bytes were lost or spoilt, and what was under way must be sent again."""


@dataclass(frozen=True)
class Arrival:
    """The replies to a sample, and when its first byte went out and the last came in, in seconds."""

    replies: tuple[Reply, ...]
    began: float
    ended: float


@dataclass
class Traffic:
    """Bytes that went out and came in."""

    sent: int = 0
    received: int = 0


@dataclass
class _UnderWay:
    """A frame with `due` replies to come: of the sample `number`, whose `last` it is or not."""

    number: int
    words: int
    last: bool
    due: int


@dataclass
class _Sample:
    began: float
    certainty: Certainty | None = None
    replies: list[Reply] = field(default_factory=list)

    @property
    def decided(self) -> bool:
        """Whether its class is certain, so that no further step is needed."""
        return self.certainty is not None and self.certainty.certain


_Ahead = tuple[Frame, int, bool]
"""A frame, the number of its sample, and whether it is that sample's last."""


class Exchange:
    """One conversation over an open line."""

    def __init__(self, line: Line, form: LinkFormat, patience: float) -> None:
        """`patience` is how many seconds a device may be silent that owes a reply."""
        self._line = line
        self._form = form
        self._patience = patience
        self.traffic = Traffic()

    def identify(self, *, known: bool = False) -> int | None:
        """Who is at the other end: the identity in two answers to a probe, or None where none come.

        Whatever was under way is dropped, there and here. A board that is `known` to be there is asked again where it
        is silent: a probe may have been spoilt. Raises LostLineError, and LineError for bytes that are no answers.
        """
        heard, found = 0, list[int]()
        for _ in range(PROBES):
            heard += self._drain()
            self._write(probe_frame(self._form))
            frames = Unslip()
            while data := self._read(self._patience):
                heard += len(data)
                bodies = [body for byte in data if (body := frames.feed(byte)) is not None]
                answers = [identity for body in bodies if (identity := probed_identity(body)) is not None]
                found += answers
                if answers or heard > _MOST_NOISE_BYTES:
                    break
            if len(found) > 1 and found[-1] == found[-2]:
                self._drain()
                return found[-1]
            if not heard and not known:
                return None
        if not heard:
            return None
        raise LineError(
            f"a board answers in frames: {self._line.name} brings {heard} bytes that are none of ours; is it a board "
            "with a Spikeloom bitstream, at the rate of the build?"
        )

    def run(
        self,
        samples: npt.NDArray[np.uint8],
        window: int | None,
        done: Callable[[Arrival], None],
        exit: Exit | None = None,
    ) -> None:
        """Send samples, spikes [samples, steps, inputs] or images [samples, inputs], and pass what comes to `done`.

        Samples are answered in their order, and no more than `window` are under way at a time. With an `exit` few
        frames are sent ahead, and a sample whose class is certain gets an empty last step in place of those that are
        left. Raises DisturbedError where it breaks off, after which nothing counts but what `done` has heard of;
        LostLineError.
        """
        if self._form.coding is not None:
            window = 1
        waiting = self._frames(samples)
        ahead = next(waiting, None)
        under_way: deque[_UnderWay] = deque()
        open_samples: deque[_Sample] = deque()
        decoder = ReplyDecoder(self._form)
        noise = 0
        while ahead is not None or under_way:
            while ahead is not None and self._fits(*ahead, under_way, window, exit):
                frame, number, last = ahead
                self._write(frame.data)
                if not open_samples or (under_way and under_way[-1].last):
                    open_samples.append(_Sample(self._line.now, None if exit is None else exit.begin()))
                under_way.append(_UnderWay(number, frame.words, last, frame.replies))
                ahead = next(waiting, None)
            data = self._read(self._patience)
            if not data:
                raise DisturbedError(f"a device answers within {self._patience:g} s: {self._line.name} is silent")
            noise += len(data)
            for byte in data:
                reply = self._reply(decoder, byte)
                if reply is None:
                    continue
                noise = 0
                number = under_way[0].number if under_way else -1
                self._take(reply, under_way, open_samples, done)
                if open_samples and open_samples[0].decided and ahead is not None and ahead[1] == number:
                    ahead = self._ended(ahead, waiting)
            if noise > 4 * longest_content(self._form) + _MOST_NOISE_BYTES:
                raise DisturbedError(f"replies end: {self._line.name} goes on and on")

    def _frames(self, samples: npt.NDArray[np.uint8]) -> Iterator[_Ahead]:
        """Every frame, with the number of its sample and whether it is that sample's last."""
        for number, sample in enumerate(samples):
            if self._form.coding is not None:
                yield encode_image(self._form, sample), number, True
                continue
            frames = list(encode_sample(self._form, sample))
            for place, frame in enumerate(frames):
                yield frame, number, place == len(frames) - 1

    def _ended(self, ahead: _Ahead, waiting: Iterator[_Ahead]) -> _Ahead:
        """An empty last step in place of the frames of a sample from `ahead` on."""
        _, number, last = ahead
        while not last:
            _, _, last = next(waiting)
        return encode_frame(self._form, Header.END_OF_SAMPLE, []), number, True

    def _fits(
        self,
        frame: Frame,
        number: int,
        last: bool,
        under_way: deque[_UnderWay],
        window: int | None,
        exit: Exit | None,
    ) -> bool:
        if not under_way:
            return True
        if exit is not None and len(under_way) >= AHEAD:
            return False
        if window is not None and number - under_way[0].number >= window:
            return False
        return sum(item.words for item in under_way) + frame.words <= self._form.fifo_words - 1

    def _reply(self, decoder: ReplyDecoder, byte: int) -> Reply | None:
        try:
            return decoder.feed(byte)
        except LinkError as error:
            raise DisturbedError(str(error)) from None

    def _take(
        self,
        reply: Reply,
        under_way: deque[_UnderWay],
        open_samples: deque[_Sample],
        done: Callable[[Arrival], None],
    ) -> None:
        if reply.reason is Reason.FLASH:
            raise LineError(
                "a design with weights in flash needs them there: the board has none, or of another build; write the "
                "build's flash.bin with spikeloom flash"
            )
        if reply.code is Code.ERROR or not under_way:
            why = reply.reason.name.lower() if reply.reason is not None else "nothing was asked"
            raise DisturbedError(f"the device refused a frame ({why})")
        frame = under_way[0]
        frame.due -= 1
        sample = open_samples[0]
        sample.replies.append(reply)
        if sample.certainty is not None and reply.code is not Code.ACCEPTED:
            sample.certainty.take(reply)
        if (reply.code is Code.SAMPLE) != (frame.last and not frame.due):
            raise DisturbedError(f"a sample ends with its last frame: the device answered {reply.code.name}")
        if frame.due:
            return
        under_way.popleft()
        if frame.last:
            open_samples.popleft()
            done(Arrival(tuple(sample.replies), sample.began, self._line.now))

    def _drain(self) -> int:
        """Take what comes until nothing does; how many bytes that were."""
        count = 0
        while count < _MOST_NOISE_BYTES and (data := self._read(_QUIET_SECONDS)):
            count += len(data)
        return count

    def _write(self, data: bytes) -> None:
        self.traffic.sent += len(data)
        self._line.write(data)

    def _read(self, seconds: float) -> bytes:
        data = self._line.read(seconds)
        self.traffic.received += len(data)
        return data


def require_identity(found: int | None, form: LinkFormat, port: str, patience: float) -> None:
    """LineError, in one line that says what to do, where the other end is not a device with this build's design."""
    if found is None:
        raise LineError(
            f"a board answers a probe: {port} was silent for {patience:g} s; is it powered, the right port, and "
            "configured? write the build to it with spikeloom flash"
        )
    if found != form.identity:
        other = "a design without a name" if found == UNNAMED else f"the design {found:04x}"
        raise LineError(
            f"a board must have the build's design: {port} has {other}, the build is {form.identity:04x}; write it to "
            "the board with spikeloom flash"
        )
