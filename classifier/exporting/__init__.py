"""The network in the open format (ONNX), in float32 and in 8 bits, and whether they are right."""
