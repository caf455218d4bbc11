"""Memories with first words that reach RTLIL as they are, where Amaranth makes an object of every bit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from amaranth.hdl import Fragment
from amaranth.lib import memory

_WORDS = r"attribute \spikeloom_words"
_MEMORY, _OF_MEMORY = "memory ", r"parameter \MEMID"
_NO_DATA = r"connect \DATA {  }"


class FilledMemory(memory.Memory):
    """A memory of Amaranth's with its first words, each of `width` bits: as many as it is deep.

    Simulators take them from the memory. In RTLIL they stand in an attribute, from which `with_words` puts them where
    they belong; yosys refuses a text to which nobody has done that.
    """

    def __init__(self, width: int, words: Sequence[int], attrs: dict[str, str]) -> None:
        super().__init__(shape=width, depth=len(words), init=(), attrs=attrs)
        self._width = width
        self._words = words

    def elaborate(self, platform: object) -> Fragment:
        """The memory's instance."""
        if platform is None:
            self.init = self._words
        else:
            self.attrs[_WORDS.split("\\")[1]] = "".join(self._binary())
            self.data.init._raw = ()  # of which no objects are made; no public name says so
        return super().elaborate(platform)

    def _binary(self) -> Iterator[str]:
        """The words in binary, the last one first."""
        text = f"{{:0{self._width}b}}".format
        if len(self._words) < 1 << self._width:
            return map(text, reversed(self._words))
        return map([text(word) for word in range(1 << self._width)].__getitem__, reversed(self._words))


def with_words(text: str) -> str:
    """RTLIL as Amaranth writes it, with the words of every `FilledMemory` in place."""
    return "".join(_with_words(text))


def _with_words(text: str) -> Iterator[str]:
    words: dict[str, str] = {}
    bits = name = ""
    for line in text.splitlines(keepends=True):
        content = line.strip()
        if content.startswith(_WORDS):
            bits = content.split('"')[1]
            continue
        elif bits and content.startswith(_MEMORY):
            words[content.split()[-1]], bits = bits, ""
        elif content.startswith(_OF_MEMORY):
            name = content.split('"')[1].replace("\\\\", "\\")
        elif content == _NO_DATA:
            line = line.replace("{  }", f"{len(words[name])}'{words[name]}")
        yield line
