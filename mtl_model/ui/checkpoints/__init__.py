"""Checkpoints on the page: those in memory, the gallery, the trial of one that comes in."""
