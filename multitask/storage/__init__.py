"""Files on disk: atomic writes, locks, strict JSON and YAML, checksums, paths. Imports `errors` and `terminal` only."""
