"""What a study trains: arms, settings, the study folder."""
