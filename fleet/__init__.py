"""The city's end: what hears the access points. A router never carries it."""
