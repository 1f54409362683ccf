"""What is trained in which epochs, and how its rate and batch are found."""
