"""What Java runs for the machine's metrics, which go nowhere: nothing."""
