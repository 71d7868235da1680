r"""From scores on resamples to an interval: two levels, seeds and examples, calibrated for few seeds.

Words
    contrast   a linear combination of arms, e.g. joint − single; x_s is its value for seed s, its estimate their mean
    Var_a      bootstrap variance of the estimate when seeds alone are drawn, × S / (S − 1). In closed form, which is
               the limit of infinitely many draws: the variance of the x_s (n − 1 below the line) over S
    Var_b      when examples alone are drawn, × n / (n − 1) for n units
    resid      the part of both that is seed × example: on each draw of examples the variance over seeds of their
               deviations, over S. Drawn at both levels at once it is counted three times (the pigeonhole bootstrap of
               Owen 2007, which is conservative); Var_a and Var_b hold it once each
    V          Var_a + Var_b − resid, not below Var_a nor Var_b: the variance of the estimate
    half       the half-width of the interval

A plain percentile interval of 5 seeds is too narrow: its variance lacks the factor S / (S − 1), and 1.96 stands where
Student's t should (Hesterberg 2015). For two components the usual way out is one t with Satterthwaite's (1946) degrees
of freedom. It fails where it matters here: where the few seeds happen to agree, Var_a is too small *and* the degrees of
freedom are too many. In normal data with 3 seeds its test at 5 % rejects up to 7.8 %, and its test at 0.2 %, where
Benjamini–Hochberg works, ten times too often. So the components keep their own t (Howe 1974):

    half²(α) = max(t²_{S−1} Var_a + t²_{n−1} max(Var_b − resid, 0),  t²_{n−1} Var_b)      t at 1 − α/2

which rejects at most 5.1 %, 1.03 % and 0.23 % at levels 5 %, 1 % and 0.2 %, over 2 to 10 seeds and 42 mixtures of
the components (benchmarks/interference_statistics.py --only levels). The second term says that an interval is never
narrower than what the examples alone give, not even where the seeds agree by chance; it makes the interval cover more
than 95 % where training adds no variance of its own. p is the α at which the interval ends at 0, so that p < 0.05 and
"the interval leaves 0 out" are one statement. `df` is that of the single Student's t with the same half-width, se × t.

With a `Pool` (see `moderation`) Var_a is that of the pooled seeds and of its own, S − 1 of them and d0, and its t has
d0 + S − 1 degrees of freedom, or those of the pool if they are fewer; all else stays.

The interval is symmetric. Percentiles of the draws at both levels (`two_level_draws`), widened to the same length,
cover no better, and with 3 seeds their skewness is that of 3 numbers.

Howe, "Approximate confidence limits on the mean of X + Y …", JASA 69, 1974. Owen, "The pigeonhole bootstrap", Annals of
Applied Statistics 1, 2007. Hesterberg, "What teachers should know about the bootstrap", American Statistician 69, 2015.
Satterthwaite, "An approximate distribution of estimates of variance components", Biometrics Bulletin 2, 1946.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from multitask.interference.statistics.resampling import generator
from multitask.metrics.outputs import Floats, Integers

CONFIDENCE = 0.95
POWER = 0.8
"""With which the smallest detectable effect is found."""
MOST_SEEDS = 200
"""Up to which `seeds_to_halve` looks."""
UNDEFINED = 0.05
"""Share of resamples in which a metric may be undefined: above, there is no interval."""
EXACT_FLIPS = 16
"""Up to so many seeds the sign-flip test takes all 2^S flips."""
ROUNDING = 1e-9
"""In points: what is smaller is the rounding of sums, not a difference."""


class Estimate(NamedTuple):
    """A contrast with what is known of it; None is "not defined"."""

    delta: float | None
    """In points (nats for log_likelihood)."""
    low: float | None
    high: float | None
    se: float | None
    df: float | None
    p: float | None
    """Two-sided."""
    p_sign_flip: float | None
    """Of the seeds alone, exact; None with one seed."""
    seeds: int
    examples: int
    per_seed: tuple[float, ...]
    """NaN where the metric is undefined."""
    undefined: float
    """Share of resamples in which the metric is undefined; they are left out, and above 5 % there is no interval."""
    components: Components | None = None
    """Of its variance; None without an interval."""


class ContrastPart(NamedTuple):
    """A contrast of one task's arms."""

    per_seed: Floats
    """[S]"""
    draws: Floats
    """[R, S] the same on each draw of examples."""
    units: int
    """Examples, or groups of them, that a draw consists of."""
    examples: int


class Pool(NamedTuple):
    """The seed variance that a contrast is expected to have, from other arms of its task."""

    variance: float
    """Of the contrast's value for one seed, in points²."""
    df: float
    """d0: so many degrees of freedom it counts as, beside the S − 1 of the contrast's own seeds."""
    contrasts: int
    """Independent contrasts of the pooled arms, each with S − 1 degrees of freedom; one fewer than the arms."""

    def moderate(self, own: float, seeds: int) -> tuple[float, float]:
        """(variance of the pool and of the contrast's own seeds, its degrees of freedom)."""
        if math.isinf(self.df):
            return self.variance, self.degrees(seeds)
        degrees = seeds - 1
        return (self.df * self.variance + degrees * own) / (self.df + degrees), self.degrees(seeds)

    def degrees(self, seeds: int) -> float:
        """Degrees of freedom of the moderated variance with so many seeds."""
        return min(self.df + seeds - 1, float(self.contrasts * (seeds - 1)))


class Components(NamedTuple):
    """The variance of an estimate, in its parts."""

    seeds: float
    """Var_a; 0 with one seed, of which it is not known."""
    examples: float
    """Var_b"""
    residual: float
    """resid"""
    seeds_df: float
    examples_df: float
    number: int
    """S"""
    pool: Pool | None = None
    """What Var_a was moderated with."""

    @property
    def variance(self) -> float:
        """V."""
        return max(self.seeds + max(self.examples - self.residual, 0.0), self.examples)

    def half(self, alpha: float) -> float:
        """Half the width of the interval that leaves out `alpha`."""
        seeds, examples = quantile(self.seeds_df, alpha / 2), quantile(self.examples_df, alpha / 2)
        both = seeds**2 * self.seeds + examples**2 * max(self.examples - self.residual, 0.0)
        return math.sqrt(max(both, examples**2 * self.examples))

    def with_seeds(self, number: int) -> Components:
        """What they would be with another number of seeds of the same spread."""
        scale = self.number / number
        return self._replace(
            seeds=self.seeds * scale,
            examples=max(self.examples - self.residual, 0.0) + self.residual * scale,
            residual=self.residual * scale,
            seeds_df=float(number - 1) if self.pool is None else self.pool.degrees(number),
            number=number,
        )


def quantile(df: float, tail: float) -> float:
    """The value that Student's t exceeds with probability `tail`.

    >>> round(quantile(4, 0.025), 3)
    2.776
    """
    from scipy.special import stdtrit  # type: ignore[import-untyped]

    return -float(stdtrit(df, tail))


def components(parts: Sequence[ContrastPart], pool: Pool | None = None) -> Components:
    """The variance of the sum of independent parts (tasks are drawn independently of each other, seeds are shared)."""
    x = np.sum([part.per_seed for part in parts], axis=0)
    seeds = len(x)
    of_examples, residual, below = 0.0, 0.0, 0.0
    for part in parts:
        small = part.units / (part.units - 1)
        drawn = small * float(part.draws.mean(axis=1).var())
        of_examples += drawn
        below += drawn**2 / (part.units - 1)
        if seeds > 1:
            away = part.draws - part.draws.mean(axis=0)
            residual += small * float(away.var(axis=1, ddof=1).mean()) / seeds
    own, df = (float(x.var(ddof=1)), float(seeds - 1)) if seeds > 1 else (0.0, 1.0)
    if pool is not None and seeds > 1:
        own, df = pool.moderate(own, seeds)
    return Components(
        seeds=own / seeds,
        examples=of_examples,
        residual=residual,
        seeds_df=df,
        examples_df=of_examples**2 / below if below > 0 else min(part.units for part in parts) - 1,
        number=seeds,
        pool=pool,
    )


def estimate(parts: Sequence[ContrastPart], pool: Pool | None = None) -> Estimate:
    """The sum of contrasts of different tasks, each weighted already, with its interval and p.

    With one seed the interval holds what other examples would change, and nothing of training.

    Args:
        parts: One a task.
        pool: Moderates the seed variance; None takes that of the sum's own seeds.
    """
    x = np.sum([part.per_seed for part in parts], axis=0)
    defined = np.all([np.isfinite(part.draws).all(axis=1) for part in parts], axis=0)
    bare = Estimate(
        delta=float(x.mean()) if np.isfinite(x).all() else None,
        low=None,
        high=None,
        se=None,
        df=None,
        p=None,
        p_sign_flip=sign_flip(x),
        seeds=len(x),
        examples=sum(part.examples for part in parts),
        per_seed=tuple(x.tolist()),
        undefined=1.0 - float(defined.mean()),
    )
    if bare.delta is None or bare.undefined > UNDEFINED or min(part.units for part in parts) < 2:
        return bare
    if not defined.all():
        parts = [part._replace(draws=part.draws[defined]) for part in parts]
    found = components(parts, pool)
    delta, se, half = bare.delta, math.sqrt(found.variance), found.half(1 - CONFIDENCE)
    if se < ROUNDING:  # all seeds and all examples say the same
        df = found.seeds_df if len(x) > 1 else found.examples_df
        same = abs(delta) < ROUNDING
        return bare._replace(low=delta, high=delta, se=0.0, df=df, p=1.0 if same else 0.0, components=found)
    df = _df(half / se, found)
    return bare._replace(
        low=delta - half,
        high=delta + half,
        se=se,
        df=df,
        p=_p(abs(delta), found),
        components=found,
    )


def detectable(found: Components, level: float) -> float:
    """The smallest true effect whose p is below `level` in 80 % of studies of this design, in the estimate's unit.

    The interval's half-width at `level` is t standard errors; the estimate over its standard error follows the
    noncentral t with the degrees of freedom that this t has, so that the spread of the standard error itself, which is
    large with few seeds, is in the figure.
    """
    from scipy.special import nctdtrinc

    se = math.sqrt(found.variance)
    if se < ROUNDING:
        return 0.0
    t = found.half(level) / se
    away = float(nctdtrinc(_df(t, found, level), 1 - POWER, t))
    # For a t beyond some hundreds the noncentral t is not computed; half + the spread is its limit from below.
    return se * (away if math.isfinite(away) and away >= t else t + quantile(found.seeds_df, 1 - POWER))


def seeds_to_halve(found: Components, level: float) -> int | None:
    """How many seeds of the same spread would halve what is detectable; None if no 200 do, for examples are too few."""
    wanted = detectable(found, level) / 2
    if found.number < 2 or detectable(found.with_seeds(MOST_SEEDS), level) > wanted:
        return None
    low, high = found.number, MOST_SEEDS  # more seeds see more
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if detectable(found.with_seeds(middle), level) > wanted else (low, middle)
    return high


def two_level_draws(parts: Sequence[ContrastPart], seed_draws: Integers) -> Floats:
    """[R] the estimate on draws of seeds and of examples at once (b and a crossed): the uncalibrated bootstrap."""
    total = np.sum([part.draws for part in parts], axis=0)
    return np.asarray(np.take_along_axis(total, seed_draws, axis=1).mean(axis=1))


def _df(t: float, found: Components, level: float = 1 - CONFIDENCE) -> float:
    """The degrees of freedom at which Student's t exceeds `t` with probability level / 2."""
    low, high = sorted((found.seeds_df, found.examples_df))
    if t <= quantile(high, level / 2) * (1 + 1e-12):
        return high
    for _ in range(60):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if quantile(middle, level / 2) > t else (low, middle)
    return math.sqrt(low * high)


def _p(distance: float, found: Components) -> float:
    """The level at which the interval just reaches `distance`, not below 1e-99."""
    low, high = 1e-99, 1.0
    for _ in range(80):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if found.half(middle) > distance else (low, middle)
    return high


def sign_flip(differences: Sequence[float] | Floats) -> float | None:
    """Exact two-sided p of S differences: the share of their 2^S changes of sign whose mean is as far from 0.

    Above 16 seeds, 100,000 seeded random changes (and the one observed). None with one seed, or with an undefined one.

    >>> sign_flip([1.0, 2.0, 1.5])
    0.25
    """
    x = np.asarray(differences, dtype=np.float64)
    if len(x) < 2 or not np.isfinite(x).all():
        return None
    observed = abs(float(x.sum()))
    if len(x) <= EXACT_FLIPS:
        # The first sign is kept: the other half of all changes mirrors these.
        signs = 1 - 2 * (np.arange(2 ** (len(x) - 1))[:, None] >> np.arange(len(x) - 1) & 1)
        signs = np.concatenate([np.ones((len(signs), 1)), signs], axis=1)
    else:
        signs = 1 - 2 * generator("flips", len(x)).integers(0, 2, size=(100_000, len(x)))
        signs[0] = 1
    reached = np.abs(signs @ x) >= observed - 1e-9 * np.abs(x).sum()
    return float(reached.mean())
