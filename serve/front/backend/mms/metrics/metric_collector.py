"""Java runs this script to collect machine metrics, which nobody reads: it does nothing."""
