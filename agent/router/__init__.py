"""The only way to the box: one contract, a backend per kind of router, and the doors they use."""
