"""The design of a study: arms, settings, the study folder."""
