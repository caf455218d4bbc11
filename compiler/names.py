"""The names that people choose from, each list once: what the command line offers is what the code knows.

Nothing is imported here, so that the command line starts at once.
"""

METHODS = ("magnitude", "activity", "obc", "osbc")
"""The methods of compression."""

KEEP = "keep"
"""The method that changes no weight: those that lie on a grid become its codes."""

BASELINES = ("magnitude", "activity")
"""Those that make up for nothing; what pruning by itself knows."""

CALIBRATED = ("activity", "obc", "osbc")
"""Those that need samples."""

FITTED = ("obc", "osbc")
"""Those that fit what stays to second moments of the samples, with torch; they know patterns and operations."""

SCHEMES = ("fixed_point", "ternary", "binary")
"""How quantised weights are coded."""

SCOPES = ("global", "layer")
"""Where pruning spreads its zeros: over all layers, or the same share in each."""

AUGMENTS = ("none", "warp", "events")
"""How samples to train on vary."""

DIALECTS = ("snntorch", "norse", "spikingjelly", "sinabs", "nir", "rockpool", "spyx", "lava")
"""The frameworks whose conventions a NIR file may follow."""

RESETS = ("subtract", "zero", "value")
FIRES = ("gt", "ge")
TAUS = ("seconds", "scaled")
"""How releases of Norse write time constants."""

READOUTS = ("spikes", "first-spike", "membrane-last", "membrane-max", "membrane-sum", "membranes")
"""How a class is read off the output."""

ONLY_DECODERS = ("counts", "argmax")
"""Answers to images that say no more of the network than that spikes decide."""

ANSWERS = (*READOUTS, *ONLY_DECODERS)
"""What a device is asked to answer: these, and of images the spikes to count or the class alone."""

ENCODERS = ("rate", "latency", "direct")
DECODERS = (*reversed(ONLY_DECODERS), *READOUTS[1:])
"""The coding of a device that takes images."""

FOLDS = ("shared", "pipelined", "wide", "slotted")
OBJECTIVES = ("luts", "brams", "latency", "energy")
"""What a folding is chosen for."""

GOALS = ("area", "latency")
"""What a search prefers among candidates of like accuracy."""

LANES = (2, 4, 8, 16)
"""How many lanes are weighed where a folding is chosen."""

WEIGHT_MEMORIES = ("auto", "bram", "spram")
"""Where a design keeps its weights."""

EXECUTORS = ("float", "reference", "amaranth", "verilog", "netlist")
"""What runs a network."""

RUN_MODES = ("execute", "validate", "throughput")
"""What a run on a board is for."""

CABLE_FAULTS = ("lost", "doubled", "flipped", "silent", "pulled")
"""What becomes of a byte on a bad cable to a simulated board: it is lost, comes twice, or with a bit flipped; with it
begins a silence, or the cable is out for a while."""

SIMULATORS = ("icarus", "verilator")
LEVELS = ("rtl", "netlist", "pins")
"""What a regression runs on."""

TOOLS = ("yowasp", "native")
"""Whose synthesis, place and route."""
