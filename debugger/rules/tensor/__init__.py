"""Rules of the kind "tensor": losses, tensors and confusion matrices."""
