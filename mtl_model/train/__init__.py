"""From batches to weights: one training loop, and what a run and a fine-tuning need around it."""
