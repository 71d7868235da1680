"""Figures of a study as PNG, SVG and PDF."""
