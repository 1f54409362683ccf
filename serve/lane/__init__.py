"""The lane: costly pictures are decoded outside the workers, one after the other, and stoppable."""
