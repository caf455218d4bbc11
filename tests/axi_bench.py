"""Inside the simulator: packets into `spikeloom_axi`, with pauses on both sides, and what comes out of it.

Reads `job.npz` in the run folder: `words` and `lasts` of the transfers, `stall` the chance that a side pauses in a
cycle, `packets` to wait for. Writes `outcome.json`: the transfers that came out, the cycles, what broke the protocol.
"""

import json
import os
from pathlib import Path

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly, RisingEdge

PATIENCE = 3000


@cocotb.test()
async def run(dut):
    folder = Path(os.environ["SPIKELOOM_RUN_FOLDER"])
    with np.load(folder / "job.npz") as job:
        words, lasts = job["words"].tolist(), job["lasts"].tolist()
        stall, packets = float(job["stall"]), int(job["packets"])
    rng = np.random.default_rng(5)
    for name in ("s_axis_tdata", "s_axis_tvalid", "s_axis_tlast", "m_axis_tready", "aresetn"):
        getattr(dut, name).value = 0
    cocotb.start_soon(Clock(dut.aclk, 10, unit="ns").start())
    for _ in range(3):
        await FallingEdge(dut.aclk)
    faults = [] if not dut.m_axis_tvalid.value and not dut.s_axis_tready.value else ["not silent in reset"]
    dut.aresetn.value = 1
    sent, got, cycles, silent, before, accepted = 0, [], 0, 0, None, False
    while sum(last for _, last in got) < packets and silent < PATIENCE:
        await FallingEdge(dut.aclk)  # all inputs change here: what is seen below is what the next edge takes
        if not dut.s_axis_tvalid.value or accepted:
            offers = sent < len(words) and rng.random() >= stall
            dut.s_axis_tvalid.value = int(offers)
            dut.s_axis_tdata.value = words[sent] if offers else 0
            dut.s_axis_tlast.value = lasts[sent] if offers else 0
        dut.m_axis_tready.value = int(rng.random() >= stall)
        await ReadOnly()
        accepted = bool(dut.s_axis_tvalid.value) and bool(dut.s_axis_tready.value)
        sent += accepted
        now = (int(dut.m_axis_tdata.value), int(dut.m_axis_tlast.value)) if dut.m_axis_tvalid.value else None
        if before is not None and now != before:
            faults.append(f"cycle {cycles}: {before} became {now} before it was taken")
        taken = now is not None and bool(dut.m_axis_tready.value)
        if taken:
            got.append(now)
        before = None if taken else now
        silent = 0 if taken or accepted else silent + 1
        cycles += 1
        await RisingEdge(dut.aclk)
    outcome = {"got": got, "cycles": cycles, "faults": faults, "address_error": int(dut.address_error.value)}
    (folder / "outcome.json").write_text(json.dumps(outcome))
