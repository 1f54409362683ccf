"""The parts of the decoder: one file for each format, then colours and pixels."""
