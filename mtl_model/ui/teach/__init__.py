"""The Teach tab: its runs, actions, uploads, data set and views."""
