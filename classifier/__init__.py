"""A trained classifier: the network, the transform, the calibration, the bundle."""
