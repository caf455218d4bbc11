"""A linked core whose weights come from flash."""

from __future__ import annotations

from typing import Any

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .flash_loader import FlashFormat, FlashLoader
from .linked_core import LinkedCore


class FlashedCore(wiring.Component):
    """A linked core with SPRAM beside the loader that fills it; until then the core refuses every frame.

    ========================= ========== ===================================================
    Port                      Dir        Meaning
    ========================= ========== ===================================================
    rx, tx, activity, host_*  in, out    see LinkedCore
    cs, sck, copi, cipo       out, ... in the flash, see FlashLoader
    failed                    out        the weights could not be loaded, which is being tried again
    ========================= ========== ===================================================
    """

    host_cs: Signal
    host_sck: Signal
    rx: Signal
    tx: Signal
    activity: Signal
    cs: Signal
    sck: Signal
    copi: Signal
    cipo: Signal
    failed: Signal

    def __init__(self, core: LinkedCore, form: FlashFormat) -> None:
        self._core = core
        self._loader = FlashLoader(form, is_told=core.tells_identity)
        super().__init__(
            {
                **({"host_cs": In(1, init=1), "host_sck": In(1)} if core.by_spi else {}),
                "rx": In(1, init=1),
                "tx": Out(1, init=1),
                "activity": Out(1),
                **{name: Out(1) for name in ("cs", "sck", "copi", "failed")},
                "cipo": In(1),
            }
        )

    @property
    def by_spi(self) -> bool:
        """Whether the host speaks SPI."""
        return self._core.by_spi

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.core = core = self._core
        m.submodules.loader = loader = self._loader
        wiring.connect(m, loader.load, core.load)
        if core.tells_identity:
            m.d.comb += loader.identity.eq(core.identity)
        m.d.comb += [core.ready.eq(loader.ready), core.rx.eq(self.rx), loader.cipo.eq(self.cipo)]
        if core.by_spi:
            m.d.comb += [core.host_cs.eq(self.host_cs), core.host_sck.eq(self.host_sck)]
        for source, names in ((core, ("tx", "activity")), (loader, ("cs", "sck", "copi", "failed"))):
            m.d.comb += [getattr(self, name).eq(getattr(source, name)) for name in names]
        return m
