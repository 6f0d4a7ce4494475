"""From labelled pictures to batches: dataset edits, near copies, the check, cached crops, augmentation."""
