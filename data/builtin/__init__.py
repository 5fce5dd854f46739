"""TODO data/builtin."""
