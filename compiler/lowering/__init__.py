"""From the float level of the IR to the integer level."""
