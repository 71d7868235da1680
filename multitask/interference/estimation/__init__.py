"""What the pair matrix of a study would be, told from less than training every pair.

`matrix` is what an estimator gives, `estimators` lists them with what each needs and costs; `probes`, `weights`,
`refit` and `short` are how they work, `confirm` trains the pairs that matter and corrects the rest, `agreement` says
how near an estimate is to a measured matrix.
"""
