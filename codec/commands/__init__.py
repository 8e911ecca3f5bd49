"""What `python -m codec` and the command `dfc` do."""
