"""The pure part: values in, values out. No clock, files, network, randomness or logging."""
