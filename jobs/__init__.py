"""Sweeps: which runs there are, what starts them, how far they are. Imports no experiment."""
