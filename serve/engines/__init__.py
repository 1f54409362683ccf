"""What computes the logits: OpenVINO on processors, torch on GPUs and for bundles without ONNX."""
