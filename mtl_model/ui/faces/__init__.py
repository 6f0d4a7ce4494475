"""Faces on the page: cards, comparison, requests, corrections, the webcam's route."""
