"""One run as others see it: its report, and a folder to take home."""
