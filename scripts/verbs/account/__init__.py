"""The account and the experiment: what is needed, missing and spent."""
