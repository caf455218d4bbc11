"""What a network is: populations, projections, and the rules that hold for them."""
