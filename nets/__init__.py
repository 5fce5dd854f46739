"""Networks: Flax Linen modules and pure functions, arrays in, arrays out."""
