"""How Hypothesis runs here."""

from hypothesis import settings

settings.register_profile("unit", deadline=None, max_examples=50)  # a busy machine is no failure
settings.load_profile("unit")
