"""What a trained classifier is: the network, the image decoder, the transform, the bundle."""
