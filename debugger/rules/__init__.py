"""Rules: what is wrong in a training job, one small pure class each, as folds over its records."""
