"""The list of mutants, by what they break; each was chosen because it makes something wrong that a user relies on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """`old` in `file` becomes `new`, which `tests` (arguments of pytest) should see; `name` says what is wrong then."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


AMARANTH = ("tests/test_hardware_executors.py", "-k", "amaranth_equals")
"""Small cores in Amaranth's simulator against the reference, at full speed and under stress."""

ENGINES = "tests/test_sample_starts.py"
LOOPS = "tests/test_step_edges.py"
FOLDINGS = ("tests/test_folding.py", "-k", "engine_per_population")
REGRESS = "tests/test_regress.py"
EXECUTORS = "tests/test_hardware_executors.py"
OBS = "tests/test_compression_obs.py"
SIMULATION = "tests/test_compression_simulation.py"
QUANTISE = "tests/test_quantise.py"

MEMORIES = (
    Mutant(
        "a read does not see the word being written",
        "hdl/memories/memory.py",
        "read = block.read_port(transparent_for=(write,) if self._transparent else ())",
        "read = block.read_port()",
        ("tests/test_memory.py", "-k", "being_written"),
    ),
    Mutant(
        "the first of several blocks is always read",
        "hdl/memories/memory.py",
        "m.d.sync += block_index.eq(self.read_address[offset_bits:])",
        "m.d.sync += block_index.eq(0)",
        ("tests/test_memory.py", "-k", "read_only_words"),
    ),
    Mutant(
        "both ports read the first address",
        "hdl/memories/dual_port.py",
        'read.addr.eq(getattr(self, f"address{port}"))',
        "read.addr.eq(self.address0)",
        ("tests/test_vector.py", "-k", "both_ports"),
    ),
    Mutant(
        "the part of an SPRAM word is not remembered",
        "hdl/memories/spram.py",
        "m.d.sync += selected.eq(Cat(self.read_address[:part_bits], bank))",
        "m.d.sync += selected.eq(Cat(Const(0, part_bits), bank))",
        ("tests/test_spram.py", "-k", "words_are_read_back"),
    ),
)

STREAMS = (
    Mutant(
        "the events of a beat have one address",
        "hdl/streams/beats.py",
        "(number * self._slots + slot)[: address_bits(self._addresses)]",
        "(number * self._slots)[: address_bits(self._addresses)]",
        ("tests/test_vector.py", "-k", "unpacked"),
    ),
    Mutant(
        "a fork hands a token to a fast listener again",
        "hdl/streams/routing.py",
        "m.d.sync += done.eq((done | taken) & ~self.i.ready.replicate(self._outputs))",
        "m.d.sync += done.eq(0)",
        FOLDINGS,
    ),
    Mutant(
        "a merge forgets the offset of an input",
        "hdl/streams/routing.py",
        "offset += size",
        "offset += 0",
        FOLDINGS,
    ),
    Mutant(
        "a queue overwrites what waits at its output",
        "hdl/streams/token_queue.py",
        "load.eq((taken != written) & (~self.o.valid | self.o.ready))",
        "load.eq(taken != written)",
        ("tests/test_cycles.py", "-k", "lanes_with_queues"),
    ),
)

NEURONS = (
    Mutant(
        "a neuron behind a spike that waits is lost",
        "hdl/neurons/bank.py",
        "again = w.stall & w.stages[0]",
        "again = Const(0, 1)",
        AMARANTH,
    ),
    Mutant(
        "a contribution reads a word that is being written",
        "hdl/neurons/bank.py",
        "collides = w.adding & w.is_event & (w.post == self.i.payload.post)",
        "collides = Const(0, 1)",
        AMARANTH,
    ),
    Mutant(
        "a sample starts from the last membrane",
        "hdl/neurons/bank.py",
        "m.d.sync += [kept_v.eq(0), kept_spike.eq(0)]",
        "m.d.sync += kept_spike.eq(0)",
        AMARANTH,
    ),
    Mutant(
        "a pass is skipped though its neurons fired",
        "hdl/neurons/bank.py",
        "(before != words) | kept_spike",
        "before != words",
        ("tests/test_folding.py", "-k", "keeps_its_word"),
    ),
    Mutant(
        "the pass that ends a sample lets the next be skipped",
        "hdl/neurons/bank.py",
        "w.still[number].eq(~changed & ~w.clear)",
        "w.still[number].eq(~changed)",
        ("tests/test_folding.py", "-k", "keeps_its_word"),
    ),
    Mutant(
        "the pass that ends a sample is skipped",
        "hdl/neurons/bank.py",
        "with m.Else():\n                    m.d.sync += w.still.eq(0)",
        "with m.Else():\n                    self._skip(m, w, 0)",
        ("tests/test_folding.py", "-k", "afresh"),
    ),
    Mutant(
        "the threshold itself fires",
        "hdl/neurons/dynamics.py",
        'spike = u > parameters["fire"]',
        'spike = u >= parameters["fire"]',
        AMARANTH,
    ),
    Mutant(
        "a membrane saturates at the other end",
        "hdl/neurons/dynamics.py",
        "value[-1].replicate(bits - 1) ^ ((1 << (bits - 1)) - 1)",
        "value[-1].replicate(bits - 1)",
        AMARANTH,
    ),
    Mutant(
        "snntorch_same does not give back what it took",
        "hdl/neurons/dynamics.py",
        "Mux(spike == was_firing, 0, Mux(spike, sub, -sub))",
        "Mux(spike, sub, 0)",
        AMARANTH,
    ),
    Mutant(
        "a spike takes one too many",
        "hdl/neurons/dynamics.py",
        "carry = ~delta if masked else fires & ~delta",
        "carry = 0 if masked else fires & 0",
        AMARANTH,
    ),
    Mutant(
        "nearest rounds down",
        "hdl/neurons/decay.py",
        '(1 << form.k) >> 1 if form.rounding == "nearest" else 0)',
        "0)",
        ("tests/test_decay.py", "-k", "test_decay"),
    ),
    Mutant(
        "rounding toward zero is off by one",
        "hdl/neurons/decay.py",
        "Mux(product < 0, (1 << form.k) - 1, 0)",
        "Mux(product < 0, 1 << form.k, 0)",
        ("tests/test_decay.py", "-k", "test_decay"),
    ),
)

CURRENTS = (
    Mutant(
        "halves are rounded down where terms are added two by two",
        "hdl/neurons/decay.py",
        'constant = ((1 << above) >> (rounding == "nearest")) - 1',
        'constant = ((1 << above) >> (rounding == "nearest")) - 2',
        ("tests/test_decay.py", "-k", "paired"),
    ),
    Mutant(
        "what is cut off below a negative term is lost",
        "hdl/neurons/decay.py",
        "low >> cut, Const(0, 1) if sign > 0 else low[:cut].any()",
        "low >> cut, Const(0, 1)",
        ("tests/test_decay.py", "-k", "paired"),
    ),
    Mutant(
        "a sample starts from the last current",
        "hdl/neurons/bank.py",
        "m.d.sync += kept_g.eq(0)",
        "pass",
        ("tests/test_currents.py", "-k", "every_rule"),
    ),
    Mutant(
        "a pass is skipped though a current changed",
        "hdl/neurons/bank.py",
        "return Cat(word, begun)",
        "return word",
        ("tests/test_currents.py", "-k", "skipped"),
    ),
    Mutant(
        "a current never saturates",
        "hdl/neurons/dynamics.py",
        "if rule.current.saturates else",
        "if False else",
        ("tests/test_currents.py", "-k", "saturates_in"),
    ),
    Mutant(
        "neurons without currents filter what comes in",
        "hdl/neurons/dynamics.py",
        "left = Const(0, 1) if rule.current is None else decayed(g, rule.current.decay,",
        "left = decayed(g, rule.current and rule.current.decay,",
        ("tests/test_currents.py", "-k", "with_currents_and_without"),
    ),
    Mutant(
        "a current that drives later drives at once too",
        "hdl/neurons/dynamics.py",
        "return start if _drives_later(rule) else start + now",
        "return start + now",
        ("tests/test_currents.py", "-k", "every_rule"),
    ),
    Mutant(
        "a current loses its bias",
        "hdl/neurons/dynamics.py",
        'resized(left + parameters["bias"], bits)',
        "resized(left + 0, bits)",
        ("tests/test_currents.py", "-k", "every_rule"),
    ),
    Mutant(
        "currents leak as membranes do",
        "hdl/neurons/dynamics.py",
        "decayed(g, rule.current.decay,",
        "decayed(g, rule.decay,",
        ("tests/test_currents.py", "-k", "every_rule"),
    ),
    Mutant(
        "a vector engine keeps its currents from sample to sample",
        "hdl/engines/vector.py",
        "begun = next_sum(rule, g, ",
        "begun = next_sum(rule, neuron.g, ",
        ("tests/test_currents.py", "-k", "vectors"),
    ),
    Mutant(
        "the sum of a current has no room for its bias",
        "compiler/neurons/reachable.py",
        "low, high = drive_bounds_per_neuron(network, population)\n    return signed_bits(min(map(",
        "low, high = _without_bias(network, population)\n    return signed_bits(min(map(",
        ("tests/test_currents.py", "-k", "words_hold"),
    ),
    Mutant(
        "what drives later has no room",
        "compiler/neurons/reachable.py",
        "start = start + _currents(network, population)",
        "pass",
        ("tests/test_currents.py", "-k", "words_hold"),
    ),
)

WALKERS = (
    Mutant(
        "a bridge is taken for a synapse",
        "hdl/engines/rows.py",
        "self.o.valid.eq(entry_valid & ~(is_bridge & (entry_kind == TokenKind.EVENT)))",
        "self.o.valid.eq(entry_valid)",
        ("tests/test_plan.py", "-k", "bridges"),
    ),
    Mutant(
        "chunks without a synapse take an entry",
        "hdl/engines/bitmap_rows.py",
        "pointer.eq(pointer + reached[-1])",
        "pointer.eq(pointer + 1)",
        ("tests/test_bitmap_rows.py", "-k", "cores"),
    ),
    Mutant(
        "every neuron of an engine is heard outside",
        "hdl/engines/engine.py",
        "leaves.eq((spikes.payload.address >= first_output) | (spikes.payload.kind != TokenKind.EVENT))",
        "leaves.eq(1)",
        AMARANTH,
    ),
    Mutant(
        "a slot without an event reads a row",
        "hdl/engines/vector.py",
        "return Mux(payload.mask[slot], payload.rows[slot], form.rows)",
        "return payload.rows[slot]",
        ("tests/test_vector.py", "-k", "every_folding"),
    ),
    Mutant(
        "sums go on into the next step",
        "hdl/engines/vector.py",
        "m.d.sync += total.eq(0)",
        "m.d.sync += total.eq(total)",
        ("tests/test_vector.py", "-k", "every_reset_rule"),
    ),
    Mutant(
        "a pass reads words that are not written yet",
        "hdl/engines/vector.py",
        "_SHORTEST_PASS = 4",
        "_SHORTEST_PASS = 2",
        ("tests/test_vector.py", "-k", "every_folding"),
    ),
    Mutant(
        "neurons fire in the pass of an abort or a reset",
        "hdl/engines/vector.py",
        "spike = _registered(m, move, fires & ~quiet)",
        "spike = _registered(m, move, fires)",
        (ENGINES, "-k", "vector and same-value"),
    ),
    Mutant(
        "the first step of a sample takes nothing off",
        "hdl/engines/vector.py",
        "Mux(clear, 0, neuron.v) if starts_firing else neuron.v",
        "neuron.v",
        (ENGINES, "-k", "vector and snntorch"),
    ),
    Mutant(
        "a pass reads beyond its memories",
        "hdl/engines/vector.py",
        "state, write = self._read_state(m, word, move & issue)",
        "state, write = self._read_state(m, word, move)",
        ("tests/test_hostile_memories.py", "-k", "beyond"),
    ),
)

LINK = (
    Mutant(
        "half a checksum is enough",
        "hdl/link/frame_decoder.py",
        "clean_before.eq(clean)",
        "clean_before.eq(1)",
        ("tests/test_link.py", "-k", "faulty_frame and half"),
    ),
    Mutant(
        "any byte may be escaped",
        "hdl/link/slip.py",
        "self.i.payload.broken | (escaping & (byte != END) & ~is_escaped)",
        "self.i.payload.broken",
        ("tests/test_link.py", "-k", "faulty_frame and need"),
    ),
    Mutant(
        "events of a refused frame stay",
        "hdl/link/frame_receiver.py",
        "m.d.comb += fifo.rollback.eq(1)",
        "m.d.comb += fifo.rollback.eq(0)",
        ("tests/test_frame_receiver.py", "-k", "model_says"),
    ),
    Mutant(
        "a frame that starts twice goes on",
        "hdl/link/frame_receiver.py",
        "(byte[0] == self.busy)",
        "(~byte[0] & ~self.busy)",
        ("tests/test_link.py", "-k", "first_frame_inside"),
    ),
    Mutant(
        "a long frame is taken as far as there is room",
        "hdl/link/frame_receiver.py",
        "m.d.sync += fault.eq(Reason.OVERRUN)",
        "m.d.sync += fault.eq(fault)",
        ("tests/test_link.py", "-k", "faulty_frame and overrun"),
    ),
    Mutant(
        "weights of another design are loaded",
        "hdl/link/flash_loader.py",
        "initial = flash_crc(form.header)",
        "initial = flash_crc(MAGIC)",
        ("tests/test_flash.py", "-k", "another_header or are_loaded"),
    ),
    Mutant(
        "of several winners the last is named",
        "hdl/images/decoders.py",
        "with m.If(read.data > most):",
        "with m.If(read.data >= most):",
        ("tests/test_decoders.py", "-k", "several_winners"),
    ),
    Mutant(
        "a pixel fires again in every step after its first",
        "hdl/images/encoders.py",
        "self.events.eq(reached & ~reached_before)",
        "self.events.eq(reached)",
        ("tests/test_encoders.py", "-k", "emit"),
    ),
    Mutant(
        "an image's noise goes on from the last one's",
        "hdl/images/encoders.py",
        "m.d.sync += bits.eq(RATE_SEED)",
        "m.d.sync += bits.eq(bits)",
        ("tests/test_encoders.py", "-k", "emit"),
    ),
)

PLANNING = (
    Mutant(
        "float32 sums beyond its integers",
        "sim/reference.py",
        "np.float32 if bound < 1 << 24",
        "np.float32 if bound < 1 << 25",
        ("tests/test_reference.py", "-k", "float32 or proven"),
    ),
    Mutant(
        "membranes of the reference wrap around",
        "sim/reference.py",
        "return np.clip(x, -limit, limit - 1)",
        "return (x + limit) % (2 * limit) - limit",
        ("tests/test_contract.py", "-k", "reference"),
    ),
    Mutant(
        "the reference rounds negative membranes down",
        "sim/reference.py",
        "product += np.where(product < 0, (1 << leak.k) - 1, 0)",
        "product += 0",
        ("tests/test_contract.py", "-k", "reference"),
    ),
    Mutant(
        "the bound of a sum forgets x_max",
        "compiler/ir/bounds.py",
        "return low * x, high * x",
        "return low * x, high",
        ("tests/test_reference.py", "-k", "bound"),
    ),
    Mutant(
        "an accumulator has no room for a delayed reset",
        "compiler/neurons/reachable.py",
        "return rested.hull(over(ways, lambda course: step(course, late, State.cleared(v), nothing).u))",
        "return rested",
        ("tests/test_reference.py", "-k", "delayed_reset"),
    ),
    Mutant(
        "a membrane is proven one bit too narrow",
        "compiler/neurons/intervals.py",
        "return signed_bits(int(self.low.min()), int(self.high.max())) <= bits",
        "return signed_bits(int(self.low.min()), int(self.high.max())) <= bits + 1",
        ("tests/test_reference.py", "-k", "every_sum"),
    ),
    Mutant(
        "an old drive is a new one",
        "compiler/neurons/step.py",
        "return new, g if model.drive is Drive.OLD else new",
        "return new, new",
        (SIMULATION, "-k", "float_executor"),
    ),
    Mutant(
        "snntorch_same pays twice",
        "compiler/neurons/step.py",
        "(spiked if before is None else 1 * spiked - before)",
        "spiked",
        (SIMULATION, "-k", "float_executor"),
    ),
    Mutant(
        "a proof takes thresholds that adapt as they are",
        "compiler/neurons/intervals.py",
        "return Interval(self.low - _high(value), self.high - _low(value))",
        "return Interval(self.low - _low(value), self.high - _low(value))",
        ("tests/test_adaptation.py", "-k", "reach or room"),
    ),
    Mutant(
        "a saturating adaptation has no room in an accumulator",
        "compiler/neurons/reachable.py",
        "adaptation = _any_state(population)",
        "adaptation = Interval.at(np.zeros(population.size, np.int64))",
        ("tests/test_adaptation.py", "-k", "room"),
    ),
    Mutant(
        "a proof has neurons that subtract nothing stop firing",
        "compiler/neurons/intervals.py",
        "return Interval(low, high).where(np.broadcast_to(model.sub > 0, low.shape), least), 1",
        "return Interval(low, high), 1",
        ("tests/test_reference.py", "-k", "reachable_membranes_hold"),
    ),
    Mutant(
        "the counts of a step are one too few",
        "compiler/neurons/reachable.py",
        "counts = -((dynamics.fire - compared) // dynamics.sub)",
        "counts = (compared - dynamics.fire) // dynamics.sub",
        ("tests/test_several_spikes.py", "-k", "reaches_go"),
    ),
    Mutant(
        "listeners are sized for one spike",
        "compiler/ir/bounds.py",
        "else network.population(pre).max_spikes",
        "else 1",
        ("tests/test_several_spikes.py", "-k", "listeners"),
    ),
    Mutant(
        "an adaptation forgets nothing",
        "compiler/neurons/step.py",
        "return self.decayed(a, model.leak_a) + spiked * model.jump",
        "return a + spiked * model.jump",
        ("tests/test_adaptation.py", "-k", "float_executors"),
    ),
    Mutant(
        "what is subtracted does not adapt",
        "compiler/neurons/contract.py",
        "sub=self.sub + a)",
        "sub=self.sub)",
        ("tests/test_adaptation.py", "-k", "float_executors"),
    ),
    Mutant(
        "the reference's thresholds adapt without end",
        "sim/reference.py",
        "state.spiked * dynamics.jump, dynamics.state_bits)",
        "state.spiked * dynamics.jump, 64)",
        ("tests/test_adaptation.py", "-k", "saturates"),
    ),
    Mutant(
        "membranes that are set keep the old adaptation",
        "compiler/frontends/snntorch/adaptive.py",
        "self.spk = self.adapt = torch.zeros_like(value)",
        "self.spk = torch.zeros_like(value)",
        ("tests/test_adaptive_leaky.py", "-k", "clears"),
    ),
    Mutant(
        "neurons that adapt are read as snnTorch's",
        "compiler/frontends/snntorch/parameters.py",
        "return mode, ResetPlace.NEXT if layer.reset_delay else ResetPlace.SAME",
        "return mode, ResetPlace.NEXT",
        ("tests/test_adaptive_leaky.py", "-k", "does_what"),
    ),
    Mutant(
        "Sinabs' IF has no floor",
        "compiler/frontends/nir/dialects.py",
        "if_floor=True,",
        "",
        ("tests/test_nir_releases.py", "-k", "several_times"),
    ),
    Mutant(
        "the float executor rounds counts up",
        "sim/float_executor.py",
        "np.ceil(ratio) - 1 if dynamics.fire is Fire.GT else np.floor(ratio)",
        "np.floor(ratio)",
        ("tests/test_several_spikes.py", "-k", "strict"),
    ),
    Mutant(
        "parallel projections lose their shift",
        "compiler/plan/weights.py",
        "parts = [s.codes << (s.shift - self._shifts[post]) for s in parallel]",
        "parts = [s.codes for s in parallel]",
        ("tests/test_plan.py", "-k", "parallel"),
    ),
    Mutant(
        "outputs leave in the order of their work",
        "compiler/plan/lane_assignment.py",
        "if name == network.output:",
        "if not name:",
        ("tests/test_folding.py", "-k", "lanes_carry"),
    ),
    Mutant(
        "a gap is bridged by too few entries",
        "compiler/encodings/rows.py",
        "return gaps.gap // (reach - 1) if index_bits else np.zeros_like(gaps.gap)",
        "return gaps.gap // reach if index_bits else np.zeros_like(gaps.gap)",
        ("tests/test_encode.py", "-k", "bridged"),
    ),
    Mutant(
        "groups of rows are aligned downwards",
        "compiler/encodings/directory.py",
        "aligned = (sizes + (1 << align) - 1) >> align << align",
        "aligned = sizes >> align << align",
        ("tests/test_encode.py",),
    ),
)

BOARDS = (
    Mutant(
        "an ECP5's PLL multiplies by what it divides by",
        "boards/pll.py",
        "p_CLKFB_DIV=self.clkfb_div",
        "p_CLKFB_DIV=self.clki_div",
        ("tests/test_pll.py", "-k", "primitive_is_set"),
    ),
    Mutant(
        "an iCE40's PLL is one beside its setting",
        "boards/pll.py",
        "p_DIVF=Const(self.divf, 7)",
        "p_DIVF=Const(self.divf + 1, 7)",
        ("tests/test_pll.py", "-k", "primitive_is_set"),
    ),
)

LOWERING = (
    Mutant(
        "`>=` fires above its threshold only",
        "compiler/lowering/constants.py",
        "math.floor(t) if floor else math.ceil(t) - 1",
        "math.floor(t)",
        (QUANTISE, "-k", "lattice"),
    ),
    Mutant(
        "constants are rounded down",
        "compiler/lowering/constants.py",
        "half = Fraction(1, 2)",
        "half = Fraction(0)",
        (QUANTISE, "-k", "half_a_unit"),
    ),
    Mutant(
        "the leak is always the most exact one",
        "compiler/lowering/leak.py",
        "return next((c for c in within[:-1] if measure(c) <= allowed), within[-1])",
        "return within[-1]",
        (QUANTISE, "-k", "leak"),
    ),
    Mutant(
        "the clip search forgets the mean drive",
        "compiler/lowering/scales.py",
        "return result + (mean * a).sum(axis=0) * (mean * b).sum(axis=0)",
        "return result",
        (QUANTISE, "-k", "mean_drive"),
    ),
    Mutant(
        "weights on a grid leave it",
        "compiler/lowering/scales.py",
        "result[fits] = largest[fits] / code",
        "result[fits] = best[fits]",
        (QUANTISE, "-k", "keep_their_grid"),
    ),
    Mutant(
        "half the room of a membrane",
        "compiler/lowering/quantise.py",
        "MARGIN = 2",
        "MARGIN = 1",
        (QUANTISE, "-k", "twice_the_room"),
    ),
)

COMPRESSION = (
    Mutant(
        "what stays does not make up for what goes",
        "compiler/compression/obs.py",
        "w = w - column * step.unsqueeze(1)",
        "w = w.clone()",
        (OBS, "-k", "of_the_paper"),
    ),
    Mutant(
        "panels are not applied to the inverse",
        "compiler/compression/obs.py",
        "u, u.transpose(1, 2), alpha=-1.0)",
        "u, u.transpose(1, 2), alpha=0.0)",
        (OBS, "-k", "of_the_paper or add_up"),
    ),
    Mutant(
        "the order forgets the price",
        "compiler/compression/obs.py",
        "score = (price * w * w / diagonal)",
        "score = (w * w / diagonal)",
        (OBS, "-k", "price"),
    ),
    Mutant(
        "a refit pulls towards the weights alone",
        "compiler/compression/obs.py",
        "right = support.take(pull)",
        "right = support.take(target)",
        (OBS,),
    ),
    Mutant(
        "kept synapses start from their old weights",
        "compiler/compression/obs.py",
        "weights = torch.bmm(inverse, support.take(pull).unsqueeze(2)).squeeze(2)",
        "weights = support.take(target)",
        (OBS, "-k", "rest_alone"),
    ),
    Mutant(
        "the traces of the membrane loss have no leak",
        "compiler/compression/hessian.py",
        "leak=Kept(beta), leak_syn",
        "leak=None, leak_syn",
        (SIMULATION, "-k", "mean_square_error"),
    ),
    Mutant(
        "the bias is left in the problem",
        "compiler/compression/hessian.py",
        "(torch.outer(slope, slope) * bias_power if free_bias else 0.0)",
        "0.0",
        (SIMULATION, "-k", "mean_square_error"),
    ),
    Mutant(
        "sequential targets ignore what the original saw",
        "compiler/compression/hessian.py",
        "moments.cross @ target.T",
        "moments.seen @ target.T",
        (SIMULATION, "-k", "sequential"),
    ),
    Mutant(
        "groups of leaks take the first one's",
        "compiler/compression/hessian.py",
        "float(form.beta[neurons].mean())",
        "float(form.beta[0])",
        (SIMULATION, "-k", "leaks"),
    ),
    Mutant(
        "damping forgets the size of the problem",
        "compiler/compression/hessian.py",
        "ridge = damping * float(diagonal.mean()) if bool(active.any()) else 1.0",
        "ridge = damping if bool(active.any()) else 1.0",
        (SIMULATION, "-k", "hessian or damping"),
    ),
    Mutant(
        "rounding errors are not passed on",
        "compiler/compression/gptq.py",
        "w[:, i:] -= error[:, None] * self.factor[:, i, i:]",
        "w[:, i:] -= 0 * error[:, None] * self.factor[:, i, i:]",
        (OBS, "-k", "rounding or single_code"),
    ),
    Mutant(
        "codes are not improved one by one",
        "compiler/compression/gptq.py",
        "search.descend(search.rescaled(best))",
        "search.rescaled(best)",
        (OBS, "-k", "rounding or single_code"),
    ),
    Mutant(
        "scales fall below what constants need",
        "compiler/compression/gptq.py",
        "scales = torch.maximum(scales, self.joined(self.least, torch.max))",
        "scales = scales.clone()",
        (OBS, "-k", "small_scales"),
    ),
    Mutant(
        "the share of zeros is rounded down",
        "compiler/compression/allocation.py",
        "return math.floor(sparsity * weights + 0.5)",
        "return math.floor(sparsity * weights)",
        (OBS, "-k", "share_of_zeros"),
    ),
    Mutant(
        "a row's order is not kept",
        "compiler/compression/allocation.py",
        "(row / energy if energy > 0 else row).cummax(dim=1).values",
        "(row / energy if energy > 0 else row)",
        (OBS, "-k", "allocation"),
    ),
    Mutant(
        "layers with much energy keep everything",
        "compiler/compression/allocation.py",
        "(row / energy if energy > 0 else row)",
        "row",
        (OBS, "-k", "allocation"),
    ),
    Mutant(
        "busy inputs cost less",
        "compiler/compression/allocation.py",
        "torch.ones_like(used)) ** -operation_weight",
        "torch.ones_like(used)) ** operation_weight",
        ("tests/test_compression_one_shot.py", "-k", "operations_count"),
    ),
    Mutant(
        "pruned synapses come back in training",
        "compiler/compression/finetune.py",
        "* self.scales * self.kept",
        "* self.scales",
        ("tests/test_finetune.py", "-k", "carry_nothing"),
    ),
    Mutant(
        "a readout's scales drift apart",
        "compiler/compression/finetune.py",
        "item.scales.mean().expand_as(item.scales) if item.shared else item.scales",
        "item.scales",
        ("tests/test_finetune.py", "-k", "shared"),
    ),
    Mutant(
        "labels teach nothing",
        "compiler/compression/finetune.py",
        "loss = (1 - mix) * loss + mix * functional.cross_entropy(given, batch.labels)",
        "loss = (1 - mix) * loss",
        ("tests/test_compression_one_shot.py", "-k", "learns_them"),
    ),
    Mutant(
        "the learning rate does not fall",
        "compiler/compression/finetune.py",
        "return rising if rising < 1 else 0.5 + 0.5 * math.cos(math.pi * (share - RISES_FOR) / (1 - RISES_FOR))",
        "return min(1.0, rising)",
        ("tests/test_finetune.py", "-k", "learning_rate"),
    ),
    Mutant(
        "the membrane loss has no leak",
        "compiler/compression/loss.py",
        "replace(form.model.free(), drive=Drive.NEW)",
        "replace(form.model.free(), drive=Drive.NEW, leak=None)",
        (SIMULATION, "-k", "has_the_leak"),
    ),
    Mutant(
        "tiles may leave one too few",
        "compiler/compression/staged.py",
        "(size[order].cumsum(0) <= count)",
        "(size[order].cumsum(0) < count)",
        (OBS, "-k", "exactly_as_many"),
    ),
    Mutant(
        "layers are compared by raw magnitude",
        "compiler/compression/magnitude.py",
        "return _keep([_lamps(w) for w in weights], sparsity)",
        "return _keep(list(weights), sparsity)",
        ("tests/test_prune.py", "-k", "among_its_own"),
    ),
)

ESTIMATES = (
    Mutant(
        "parts that were never measured cost nothing",
        "compiler/estimate/estimate.py",
        "count * factors.get(part, 1.0)",
        "count * factors.get(part, 0.0)",
        ("tests/test_estimate.py", "-k", "factor or never_measured"),
    ),
    Mutant(
        "slow devices are as fast as others",
        "compiler/estimate/estimate.py",
        "return round(1000 / (period * slower), 2)",
        "return round(1000 / period, 2)",
        ("tests/test_estimate.py", "-k", "slower"),
    ),
    Mutant(
        "the link has no memory",
        "compiler/estimate/estimate.py",
        "known = memory_needs(plan, link) + Resources(",
        "known = memory_needs(plan, None) + Resources(",
        ("tests/test_estimate.py", "-k", "block_rams"),
    ),
    Mutant(
        "the shortest path sets the clock",
        "compiler/estimate/estimate.py",
        "| max(paths, key=",
        "| min(paths, key=",
        ("tests/test_estimate.py", "-k", "longest_path"),
    ),
    Mutant(
        "a synaptic operation reads one word",
        "compiler/estimate/engines.py",
        "reads = 2 * additions",
        "reads = additions",
        ("tests/test_estimate.py", "-k", "work"),
    ),
    Mutant(
        "contributions do not hold the pass up",
        "compiler/cycles/lane.py",
        "hold = stall or (several and adding)",
        "hold = stall",
        ("tests/test_cycles.py", "-k", "branches or busy"),
    ),
)

CHECKERS = (
    Mutant(
        "cocotb does not compare membranes",
        "sim/cocotb_bench.py",
        'recorded = {SPIKE: ("spikes", trace.spikes), MEMBRANE: ("membranes", trace.membranes)}',
        'recorded: dict[str, tuple[str, Any]] = {SPIKE: ("spikes", trace.spikes)}',
        (REGRESS, "-k", "moves_no_spike"),
    ),
    Mutant(
        "cocotb stops listening after the last sample",
        "sim/cocotb_bench.py",
        'await ClockCycles(self.dut.clk, int(self.job["drain_cycles"]))',
        "pass",
        (REGRESS, "-k", "fault and never"),
    ),
    Mutant(
        "cocotb never stalls",
        "sim/cocotb_bench.py",
        "self.ready = not self.ready",
        "self.ready = True",
        (REGRESS, "-k", "stalls_and_pauses"),
    ),
    Mutant(
        "cocotb never pauses",
        "sim/cocotb_bench.py",
        "            if gap:\n",
        "            if not gap and gap:\n",
        (REGRESS, "-k", "stalls_and_pauses"),
    ),
    Mutant(
        "cocotb resets an unused core",
        "sim/cocotb_bench.py",
        "        await self._leave_half_a_sample()\n",
        "",
        (REGRESS, "-k", "fault and keeps"),
    ),
    Mutant(
        "Amaranth stops listening after the last sample",
        "sim/amaranth_executor.py",
        "if finished and quiet >= drain:",
        "if finished:",
        (EXECUTORS, "-k", "listens_on"),
    ),
    Mutant(
        "Amaranth never stalls",
        "sim/amaranth_executor.py",
        "for ready in (0, 1):",
        "for ready in (1, 1):",
        (EXECUTORS, "-k", "listens_on"),
    ),
    Mutant(
        "a stimulus has no pauses",
        "sim/stimulus.py",
        "if rng is None:\n        return np.zeros(count, np.int64)",
        "if True:\n        return np.zeros(count, np.int64)",
        (EXECUTORS, "-k", "listens_on"),
    ),
    Mutant(
        "a regression runs without stress",
        "sim/regress.py",
        "            stress=stress if traced else None,\n            waves",
        "            stress=None,\n            waves",
        (REGRESS, "-k", "stalls_and_pauses"),
    ),
    Mutant(
        "a regression aborts nothing",
        "sim/regress.py",
        "abort = None if traced else min(1, len(inputs) - 1)",
        "abort = None",
        (REGRESS, "-k", "fault and abort"),
    ),
    Mutant(
        "a population comes before its step",
        "sim/divergence.py",
        "key=lambda d: (d.sample, d.step, d.population, d.neuron)",
        "key=lambda d: (d.sample, d.population, d.step, d.neuron)",
        (EXECUTORS, "-k", "first_divergence"),
    ),
    Mutant(
        "any token ends a step",
        "sim/observer.py",
        "        if kind is not due:\n",
        "        if kind is None:\n",
        (EXECUTORS, "-k", "observer"),
    ),
    Mutant(
        "an aborted sample stays",
        "sim/observer.py",
        "        self.finished = sample * self.steps\n",
        "",
        (EXECUTORS, "-k", "observer or abort"),
    ),
)

RECURRENCE = "tests/test_compression_recurrence.py"

RECURRENT_COMPRESSION = (
    Mutant(
        "nudged codes bring synapses back that were pruned",
        "compiler/compression/nudge.py",
        "(codes == 0) | (codes == -sign) | (sign * codes >= limits)",
        "(sign * codes >= limits)",
        ("tests/test_nudge.py", "-k", "brought_back"),
    ),
    Mutant(
        "a nudged neuron is thought to reset a step early",
        "compiler/compression/nudge.py",
        "v[:, -1] -= sub / (kept if late and kept else 1.0) * fired[t]",
        "v[:, -1] -= sub * fired[t]",
        ("tests/test_nudge.py", "-k", "own_membranes"),
    ),
    Mutant(
        "codes are nudged the wrong way",
        "compiler/compression/nudge.py",
        "distance = distance + sign * up[:, move]",
        "distance = distance - sign * up[:, move]",
        ("tests/test_nudge.py", "-k", "brought_back or braille"),
    ),
    Mutant(
        "spikes come back a step late",
        "compiler/compression/recurrence.py",
        "arriving = others[pre].spikes[time - delay]",
        "arriving = others[pre].spikes[max(0, time - delay - 1)]",
        (RECURRENCE, "-k", "float_executor"),
    ),
    Mutant(
        "no gradient goes round a loop",
        "compiler/compression/recurrence.py",
        "fired = _fires().apply(self.state.u, fired, self.state.a, self.layer)",
        "fired = fired.detach()",
        (RECURRENCE, "-k", "gradients"),
    ),
    Mutant(
        "groups stand in the order of populations",
        "compiler/compression/recurrence.py",
        "key=lambda index: (len(before[index] | {index}), index)",
        "key=lambda index: (0, index)",
        (RECURRENCE, "-k", "group_behind"),
    ),
)

FLOAT_EXECUTOR = (
    Mutant(
        "a delayed spike of the float executor comes a step early",
        "sim/float_executor.py",
        "x = sources[synapses.pre][:, step - synapses.delay]",
        "x = sources[synapses.pre][:, step - max(0, synapses.delay - 1)]",
        ("tests/test_float_executor.py", "-k", "delays or recurrence"),
    ),
    Mutant(
        "the float executor's samples begin with spikes of their ends",
        "sim/float_executor.py",
        "if step < synapses.delay:",
        "if step < 0:",
        ("tests/test_float_executor.py", "-k", "delays"),
    ),
)

CYCLES = "tests/test_nir_cycles.py"

FRONT_ENDS = (
    Mutant(
        "events of one step overwrite each other",
        "compiler/frontends/nir/exchange.py",
        "np.add.at(spikes, where, _whole(value[there]).astype(np.int32))",
        "spikes[where] = _whole(value[there]).astype(np.int32)",
        ("tests/test_nir_exchange.py", "-k", "add_up"),
    ),
    Mutant(
        "negative events have the weights of positive ones",
        "compiler/ir/connectivity.py",
        "np.concatenate([self.real, -self.real])",
        "np.concatenate([self.real, self.real])",
        ("tests/test_signed_inputs.py", "-k", "becomes_two"),
    ),
    Mutant(
        "signs are lost as samples are read",
        "compiler/ir/signed.py",
        "return network.x_min if network.x_min < 0 and shape in",
        "return 0 if network.x_min < 0 and shape in",
        ("tests/test_signed_inputs.py", "-k", "becomes_two"),
    ),
    Mutant(
        "recurrent neurons hear themselves two steps later",
        "compiler/frontends/snntorch/graph.py",
        "Source(call.name, call.step), lag=1)",
        "Source(call.name, call.step), lag=2)",
        ("tests/test_snntorch_recurrent.py", "-k", "spike_for_spike"),
    ),
    Mutant(
        "the weights of recurrent layers are not turned",
        "compiler/frontends/snntorch/parameters.py",
        "return linear.layer.weight.detach().double().numpy().T",
        "return linear.layer.weight.detach().double().numpy()",
        ("tests/test_snntorch_recurrent.py", "-k", "parameters_are_exact"),
    ),
    Mutant(
        "any constants may stand before the first step",
        "compiler/frontends/snntorch/check.py",
        "            if then < 0:\n                continue\n",
        "            if then < 0:\n                then = 0\n",
        ("tests/test_snntorch_recurrent.py", "-k", "in_a_loop"),
    ),
    Mutant(
        "edges lead back in the order of names",
        "compiler/frontends/nir/order.py",
        "forward = [(a, b) for a, b in edges if b not in dominators[a]]",
        "forward = [(a, b) for a, b in edges if a < b]",
        (CYCLES, "-k", "evaluated_from or two_entries"),
    ),
    Mutant(
        "an edge that leads back adds a step to its delay",
        "compiler/frontends/nir/reader.py",
        "delay=np.maximum(s.delay, int(s.edge in back))",
        "delay=(s.delay + int(s.edge in back))",
        (CYCLES, "-k", "delays_in_steps"),
    ),
    Mutant(
        "delays are rounded down",
        "compiler/frontends/nir/signals.py",
        "/ conventions.dt + 0.5)",
        "/ conventions.dt)",
        (CYCLES, "-k", "delays_in_steps"),
    ),
    Mutant(
        "delays of pre and post neurons are exchanged",
        "compiler/frontends/nir/reader.py",
        "delay = _of_synapses(before.delay, behind.delay, (inputs, outputs))",
        "delay = _of_synapses(behind.delay, before.delay, (inputs, outputs))",
        (CYCLES, "-k", "add_up"),
    ),
    Mutant(
        "a subgraph loses what leads from its output",
        "compiler/frontends/nir/subgraphs.py",
        "*((a, b) for a in before for b in first), *((a, b) for a in last for b in behind)]",
        "*((a, b) for a in before for b in first), *((a, b) for a in last[:0] for b in behind)]",
        (CYCLES, "-k", "within_a_graph"),
    ),
)

STEP_EDGES = (
    Mutant(
        "a sample's last step reaches into the next sample",
        "hdl/neurons/bank.py",
        "adds = adds & ~(w.drops & (self.i.payload.post < w.neuron))",
        "adds = adds & ~(w.drops & Const(0))",
        (LOOPS, "-k", "return_inside"),
    ),
    Mutant(
        "the pass of an output that returns is over before its spikes are back",
        "hdl/neurons/bank.py",
        "settled = self.settled if form.last_returns else last_passed | self.settled",
        "settled = last_passed | self.settled",
        (LOOPS, "-k", "return_inside"),
    ),
    Mutant(
        "spikes reach their own population before its pass is over",
        "hdl/engines/returns.py",
        "        if walking <= set(self._waiting):\n            return Const(1)",
        "        if walking <= set(self._waiting):\n            return Const(0)",
        (LOOPS, "-k", "return_inside"),
    ),
    Mutant(
        "a spike that has left while it waits for its row leaves again",
        "hdl/engines/returns.py",
        "left.eq(leaves & gone & ~back)",
        "left.eq(0)",
        (LOOPS, "-k", "every_neuron_fires_in_every_step"),
    ),
    Mutant(
        "a spike that returns while the output stalls returns again",
        "hdl/engines/returns.py",
        "returned.eq(walks & back & ~gone)",
        "returned.eq(0)",
        (LOOPS, "-k", "return_inside"),
    ),
    Mutant(
        "a log keeps what waits at the end of a sample",
        "hdl/streams/delays.py",
        "with m.If(self.i.payload.kind != TokenKind.END_OF_STEP):\n                    m.d.sync += count.eq(0)",
        "with m.If(self.i.payload.kind != TokenKind.END_OF_STEP):\n                    m.d.sync += count.eq(count)",
        (LOOPS, "-k", "later_in_every_engine or inputs_above_one"),
    ),
    Mutant(
        "a history goes on into the next sample",
        "hdl/streams/delays.py",
        "fresh.eq(self.i.payload.kind != TokenKind.END_OF_STEP)",
        "fresh.eq(0)",
        (LOOPS, "-k", "later_in_every_engine"),
    ),
    Mutant(
        "the first step of a sample hears the sample before",
        "hdl/streams/delays.py",
        "return Mux(fresh, 0, select_from(steps, delay))",
        "return Value.cast(select_from(steps, delay))",
        (LOOPS, "-k", "later_in_every_engine"),
    ),
    Mutant(
        "the second step of a sample hears the sample before",
        "hdl/streams/delays.py",
        "& ~fresh.replicate(form.history_bits)",
        "& ~Const(0, form.history_bits)",
        (LOOPS, "-k", "later_in_every_engine"),
    ),
    Mutant(
        "of two events of one input in a row one is lost",
        "hdl/streams/delays.py",
        "pauses = keeping & (form.most > 1)",
        "pauses = keeping & Const(0)",
        (LOOPS, "-k", "inputs_above_one"),
    ),
    Mutant(
        "a neuron has one tap",
        "compiler/plan/delays.py",
        "(d == delays[-1]) << form.delay_bits",
        "(d == delays[0]) << form.delay_bits",
        (LOOPS, "-k", "later_in_every_engine"),
    ),
    Mutant(
        "axonal delays are a step longer",
        "compiler/plan/delays.py",
        "delays[0] - 1 << form.history_bits",
        "delays[0] << form.history_bits",
        (LOOPS, "-k", "later_in_every_engine"),
    ),
    Mutant(
        "spikes of several steps return after one",
        "compiler/plan/step_edges.py",
        "return Way.RETURNS if inside and delay == 1 else Way.LATE",
        "return Way.RETURNS if inside else Way.LATE",
        (LOOPS, "-k", "later_in_every_engine"),
    ),
    Mutant(
        "input comes during the pass of an output that returns",
        "compiler/plan/weights.py",
        "and self.heard.own != self.names",
        "and len(self.heard.own) > 0",
        (LOOPS, "-k", "return_inside"),
    ),
    Mutant(
        "what an output hears later comes during its pass",
        "compiler/plan/weights.py",
        "for s in (*outside, *self.heard.going(Way.LATE)))",
        "for s in outside)",
        (LOOPS, "-k", "later_in_every_engine or fires_and_all"),
    ),
    Mutant(
        "a store in front of an engine that hears nothing at once passes events on",
        "hdl/streams/routing.py",
        "        passes = self.i.payload.kind != TokenKind.EVENT\n",
        "        passes = Const(1)\n",
        (LOOPS, "-k", "later_in_every_engine"),
    ),
    Mutant(
        "the cycles of a spike that waits are not counted",
        "compiler/cycles/lane.py",
        "settled = idle and head is None and not queue",
        "settled = idle",
        (LOOPS, "-k", "return_are_exact"),
    ),
    Mutant(
        "the cycles of looking for what is due are not counted",
        "compiler/cycles/delays.py",
        "                tap += 1\n",
        "                tap += 1 + (tap + 2 < len(taps) and not due)\n",
        (LOOPS, "-k", "delays_are_exact"),
    ),
)

MUTANTS = (
    *MEMORIES,
    *STREAMS,
    *NEURONS,
    *CURRENTS,
    *WALKERS,
    *STEP_EDGES,
    *LINK,
    *BOARDS,
    *PLANNING,
    *LOWERING,
    *COMPRESSION,
    *ESTIMATES,
    *CHECKERS,
    *FLOAT_EXECUTOR,
    *FRONT_ENDS,
    *RECURRENT_COMPRESSION,
)
