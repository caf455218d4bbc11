"""What a neuron does at the end of a step, and the bank that keeps the neurons of an engine."""
