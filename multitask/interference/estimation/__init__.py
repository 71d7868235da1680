"""What the pair matrix of a study would be, told from less than training every pair.

`matrix` is what an estimator gives, `interference.estimated` lists them and trains what each needs; `probes`,
`weights`, `refit` and `short` are how they work, `confirm` chooses the pairs that matter and corrects the rest by them,
`agreement` says how near an estimate is to a measured matrix.
"""
