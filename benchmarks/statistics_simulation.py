"""How often intervals cover the truth and tests err, on scores whose truth is known.

    python benchmarks/statistics_simulation.py [--repetitions 2000] [--samples 1000] [--parts shift worst_cases ...]

Every repetition draws a suite: questions of three domains of different difficulty and size, four languages, a quarter of
the (question, language) pairs missing. A score is language + domain + what all translations of a question share (found or
not found: two values far apart) + what an arm makes of the question + noise of the row; with several seeds also what a
training run shifts everywhere, on one suite, and on single questions. Rows marked "for comparison" do it another way.
"""

from __future__ import annotations

import argparse
import functools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from statistics_world import (
    ALPHA,
    ARM_BY_QUESTION,
    ASKED,
    CLUSTERS,
    DOMAIN,
    DOMAIN_MEANS,
    LANGUAGES,
    MARGIN,
    OWN,
    QUESTIONS,
    SPREAD,
    World,
    covers,
    truth,
)

from hybrid_core.significance import Contrast, Pair, Place, Side, swap_p, zero_p
from hybrid_core.stats.bootstrap import ClusterBootstrap, Estimate, Replicates, mean_replicates
from hybrid_core.stats.families import equivalent, holm
from hybrid_core.stats.randomisation import paired_difference, sign_flip_p
from hybrid_core.stats.sums import Sums
from hybrid_core.stats.worst import cvar, worst


@dataclass(frozen=True)
class Check:
    """What a name of a result means, how often it should be so, and on which side it may err."""

    meaning: str
    nominal: float
    bound: str
    """least, most, or "" for rows for comparison."""


Results = Iterator[tuple[str, bool]]


def one_seed(world: World) -> Results:
    """Arms without training noise: levels, differences, tests."""
    bootstrap, level = world.bootstrap(), truth(world.languages)
    arm, twin, better = world.arm(), world.arm(), world.arm(MARGIN)
    yield "level", covers(bootstrap.estimate(arm[0]), level)
    yield "difference", covers(bootstrap.difference(better[0], arm[0]), MARGIN)
    unstratified = world.bootstrap(stratified=False)
    yield "level, domains drawn together", covers(unstratified.estimate(arm[0]), level)
    rows = _as_rows(arm[0])
    yield "level, rows drawn", covers(_rows_bootstrap(rows, world).estimate(rows), level)
    p = world.p([(twin, arm), (better, arm)])
    yield "test", bool(p[0] <= ALPHA)
    yield "test of an effect", bool(p[1] <= ALPHA)
    yield "test, rows flipped", _rows_p(twin[0], arm[0], world) <= ALPHA
    for name, other in (("equivalence at the margin", better), ("equivalence of equals", twin)):
        change = world.level(other, bootstrap) - world.level(arm, bootstrap)
        yield name, bool(equivalent(change, MARGIN, 1 - ALPHA))


def _as_rows(data: Sums) -> Sums:
    """Every row a cluster of its own."""
    question, cell = np.nonzero(data.counts)
    totals = np.zeros((len(cell), len(data.cells)))
    counts = totals.copy()
    totals[np.arange(len(cell)), cell] = data.totals[question, cell]
    counts[np.arange(len(cell)), cell] = 1.0
    return Sums(data.cells, tuple(f"{i:04d}" for i in range(len(cell))), totals, counts)


def _rows_bootstrap(rows: Sums, world: World) -> ClusterBootstrap:
    return ClusterBootstrap(rows.clusters, samples=world.samples, confidence=1 - ALPHA, seed=world.seed, stratum="rows")


def _rows_p(arm: Sums, reference: Sums, world: World) -> float:
    difference, *_ = paired_difference([_as_rows(arm)], [_as_rows(reference)])
    return float(sign_flip_p(difference[:, None], flips=world.samples, seed=world.seed, stratum="rows")[0])


def several_seeds(world: World, seeds: int) -> Results:
    """Arms trained several times, against an arm that was not, and against each other."""
    bootstrap, level = world.bootstrap(), truth(world.languages)
    arm, other, base = world.arm(0.0, world.runs(seeds)), world.arm(0.0, world.runs(seeds)), world.arm()
    trained, untrained = world.level(arm, bootstrap, "a"), world.level(base, bootstrap)
    yield f"level, {seeds} seeds", covers(trained.estimate(1 - ALPHA), level)
    yield f"difference from base, {seeds} seeds", covers((trained - untrained).estimate(1 - ALPHA), 0.0)
    difference = (trained - world.level(other, bootstrap, "b")).estimate(1 - ALPHA)
    yield f"difference, {seeds} seeds", covers(difference, 0.0)
    yield f"test, {seeds} seeds", bool(world.p([(arm, other)])[0] <= ALPHA)
    each = [[Replicates(*bootstrap.replicates(data)) for data in side] for side in (arm, other)]
    for name, scale in (
        ("seeds ignored", 0.0),
        ("seeds redrawn", 1.0),
        ("seeds redrawn, rescaled", math.sqrt(seeds / (seeds - 1))),
    ):
        a, b = (_redrawn(side, scale, world) for side in each)
        yield f"difference, {seeds} {name}", covers((a - b).estimate(1 - ALPHA), 0.0)


def _redrawn(each: list[Replicates], scale: float, world: World) -> Replicates:
    """Seeds drawn with replacement, their deviations from the mean scaled."""
    seeds = len(each)
    values, samples = np.array([r.value for r in each]), np.stack([r.samples for r in each])
    drawn = world.rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=world.samples) / seeds
    return Replicates(float(values.mean()), samples.mean(0) + scale * (drawn @ (values - values.mean())))


def shift(world: World, seeds: int) -> Results:
    """Difference-in-differences of two arms on two suites: 1 seed (no training noise) or several."""
    name = f"{seeds} seed{'s' if seeds > 1 else ''}"
    runs = [world.runs(seeds) if seeds > 1 else None for _ in range(2)]
    for label, outside in (("none", 0.3), ("effect", 0.3 + 2 * MARGIN)):
        change, places = [], []
        for suite, effect in (("home", 0.3), ("away", outside)):  # the arm is far better everywhere
            bootstrap, shared = world.bootstrap(suite), world.question_effects()
            arm, other = (world.arm(e, r, shared) for e, r in zip((effect, 0.0), runs, strict=True))
            change.append(world.level(arm, bootstrap, "a") - world.level(other, bootstrap, "b"))
            places.append(Place(suite, [_contrast(arm, other)], bootstrap.strata))
        p = zero_p(places, np.array([[[-1.0], [1.0]]]), flips=world.samples, seed=world.seed)[0, 0]
        if label == "none":
            estimate = (change[1] - change[0]).estimate(1 - ALPHA)
            yield f"difference-in-differences, {name}", covers(estimate, 0.0)
            yield f"shift test, {name}", bool(p <= ALPHA)
        elif seeds == 1:
            yield "shift test of an effect", bool(p <= ALPHA)
            yield "shift test of an effect, arms swapped", _swapped_shift_p(places, world) <= ALPHA


def _contrast(arm: list[Sums], reference: list[Sums]) -> Contrast:
    return [(1.0, Pair(Side("a", arm), Side("b", reference)))]


def _swapped_shift_p(places: list[Place], world: World) -> float:
    """The test that swaps the arms in both suites, as for a difference."""
    found = [paired_difference(p.contrasts[0][0][1].arm.seeds, p.contrasts[0][0][1].reference.seeds)[0] for p in places]
    joined = np.concatenate([-found[0], found[1]])[:, None]
    return float(sign_flip_p(joined, flips=world.samples, seed=world.seed, stratum="both")[0])


def shift_family(world: World) -> Results:
    """Five arms, each with its own level, that change alike: ten shift effects over two shifted suites."""
    places, levels = [], []
    for suite in ("home", "law", "code"):
        bootstrap, shared = world.bootstrap(suite), world.question_effects()
        arms = [world.arm(0.1 * i, None, shared) for i in range(5)]
        pairs = [(a, b) for i, a in enumerate(arms) for b in arms[:i]]
        places.append(Place(suite, [_contrast(a, b) for a, b in pairs], bootstrap.strata))
        levels.append(world.level(arms[0], bootstrap) - world.level(arms[1], bootstrap))
    weights = np.array([-1.0, 0.5, 0.5])[None, :, None] * np.ones((1, 3, 10))
    p = zero_p(places, weights, flips=world.samples, seed=world.seed)[0]
    yield "any of 10 shift effects, Holm", bool((holm(p) <= ALPHA).any())
    yield "any of 10 shift effects, uncorrected", bool((p <= ALPHA).any())
    effect = mean_replicates(levels[1:]) - levels[0]
    yield "difference-in-differences, 3 suites", covers(effect.estimate(1 - ALPHA), 0.0)


def perturbation(world: World) -> Results:
    """Two arms of which one is better; both lose alike under a perturbation."""
    bootstrap, loss = world.bootstrap(), 0.1
    arm, other = world.arm(0.2), world.arm()
    worse, other_worse = (_with_loss(world, side[0], loss) for side in (arm, other))
    effect = world.level(worse, bootstrap) - world.level(arm, bootstrap)
    yield "loss under a perturbation", covers(effect.estimate(1 - ALPHA), -loss)
    effect -= world.level(other_worse, bootstrap) - world.level(other, bootstrap)
    yield "loss minus loss", covers(effect.estimate(1 - ALPHA), 0.0)
    test: Contrast = [
        (1.0, Pair(Side("a", worse), Side("a", arm))), (-1.0, Pair(Side("b", other_worse), Side("b", other))),
    ]  # fmt: skip
    p = swap_p([test], flips=world.samples, seed=world.seed, suite="home")[0]
    yield "test of loss minus loss", bool(p <= ALPHA)


def _with_loss(world: World, data: Sums, loss: float) -> list[Sums]:
    """The same scores less a loss that differs by question and row."""
    noise = ARM_BY_QUESTION * world.rng.standard_normal((QUESTIONS, 1)) + OWN * world.rng.standard_normal(ASKED.shape)
    return [Sums(data.cells, data.clusters, data.totals - (loss + noise) * ASKED, data.counts)]


def unseen(world: World) -> Results:
    """The first two languages seen, the others not: the gap of an arm, and that of one arm minus that of another."""
    bootstrap, arm, other = world.bootstrap(), world.arm(0.2)[0], world.arm()[0]
    groups = [0, 1], [2, 3]
    high, low = (Replicates(*bootstrap.replicates(arm.only(g))) for g in groups)
    expected = ((world.languages + world.domains[:, None]) * ASKED).sum(0) / ASKED.sum(0)
    yield "gap of seen and unseen", covers((high - low).estimate(1 - ALPHA), expected[:2].mean() - expected[2:].mean())
    others = [Replicates(*bootstrap.replicates(other.only(g))) for g in groups]
    yield "gap minus gap", covers(((high - low) - (others[0] - others[1])).estimate(1 - ALPHA), 0.0)
    test = [
        (weight, Pair(Side("a", [arm.only(g)]), Side("b", [other.only(g)])))
        for weight, g in zip((1.0, -1.0), groups, strict=True)
    ]
    p = zero_p([Place("home", [test], bootstrap.strata)], np.ones((1, 1, 1)), flips=world.samples, seed=world.seed)
    yield "test of gap minus gap", bool(p[0, 0] <= ALPHA)


def family(world: World) -> Results:
    """Five arms that are alike: ten contrasts."""
    arms = [world.arm() for _ in range(5)]
    p = world.p([(a, b) for i, a in enumerate(arms) for b in arms[:i]])
    yield "any of 10 contrasts, Holm", bool((holm(p) <= ALPHA).any())
    yield "any of 10 contrasts, uncorrected", bool((p <= ALPHA).any())


def worst_cases(world: World) -> Results:
    """The worst of four languages, three domains, four suites; and of many cells that share little."""
    yield from _worst_languages(world)
    for name, means in (("apart", DOMAIN_MEANS), ("alike", (0.0, 0.0, 0.0))):
        found = World(world.seed, world.samples, domains=means)
        data, bootstrap = found.arm()[0], found.bootstrap()
        parts = [_of_domain(data, d) for d in range(3)]
        values, samples = bootstrap.replicates_of(parts)
        true = [_expected(found.languages, part.counts) + mean for part, mean in zip(parts, means, strict=True)]
        yield f"worst domain, {name}", _worst_covers(values, samples.T, min(true))
    for name, levels in (("apart", (0.0, 0.05, 0.1, 0.2)), ("alike", (0.0,) * 4)):
        found = [
            world.level(world.arm(x, None, world.question_effects()), world.bootstrap(f"s{i}"))
            for i, x in enumerate(levels)
        ]
        values, samples = np.array([r.value for r in found]), np.stack([r.samples for r in found], axis=1)
        yield f"worst suite, {name}", _worst_covers(values, samples, truth(world.languages))
    yield from _worst_cells(world)


def _worst_languages(world: World) -> Results:
    for name, languages in (("apart", SPREAD), ("alike", np.zeros(LANGUAGES))):
        data = World(world.seed, world.samples, languages).arm()[0]
        expected = ((languages + np.array(DOMAIN_MEANS)[DOMAIN][:, None]) * ASKED).sum(0) / ASKED.sum(0)
        values, samples = world.bootstrap().cell_replicates(data)
        yield f"worst language, {name}", _worst_covers(values, samples, expected.min())
        lowest = Replicates(float(values.min()), samples.min(1)).estimate(1 - ALPHA)
        yield f"worst language, {name}, percentile", covers(lowest, expected.min())


def _worst_cells(world: World) -> Results:
    """Worst cell and mean of the worst quarter, where cells share little noise: the hardest case."""
    bootstrap = world.bootstrap()
    for cells, name in ((11, "apart"), (11, "alike"), (110, "alike")):
        means = np.linspace(-0.2, 0.2, cells) if name == "apart" else np.zeros(cells)
        scores = (
            means
            + 0.05 * world.rng.standard_normal((QUESTIONS, 1))
            + 0.25 * world.rng.standard_normal((QUESTIONS, cells))
        )
        data = Sums(tuple((f"{i:03d}", "") for i in range(cells)), CLUSTERS, scores, np.ones_like(scores))
        values, samples = bootstrap.cell_replicates(data)
        yield f"worst of {cells} cells, {name}", _worst_covers(values, samples, means.min())
        count = math.ceil(cells / 4)
        true = float(np.sort(means)[:count].mean())
        yield (
            f"CVaR of {cells} cells, {name}",
            covers(_moved(cvar(1 + values, 1 + samples, confidence=1 - ALPHA)), true),
        )
        lowest = np.sort(samples, axis=1)[:, :count].mean(1)
        plain = Replicates(float(np.sort(values)[:count].mean()), lowest).estimate(1 - ALPHA)
        yield f"CVaR of {cells} cells, {name}, percentile", covers(plain, true)


def _worst_covers(values: np.ndarray, samples: np.ndarray, true: float) -> bool:
    _, found = worst(1 + values, 1 + samples, [str(i) for i in range(len(values))], confidence=1 - ALPHA)
    return covers(_moved(found), true)


def _moved(found: Estimate) -> Estimate:
    """Back from where intervals do not end at 0."""
    return Estimate(found.value - 1, found.low - 1, found.high - 1)


def _of_domain(data: Sums, domain: int) -> Sums:
    inside = (domain == DOMAIN)[:, None]
    return Sums(data.cells, data.clusters, data.totals * inside, data.counts * inside)


def _expected(languages: np.ndarray, counts: np.ndarray) -> float:
    """Macro average of the languages that were asked."""
    return float(languages[counts.sum(0) > 0].mean())


PARTS: dict[str, Callable[[World], Results]] = {
    "one_seed": one_seed,
    "three_seeds": functools.partial(several_seeds, seeds=3),
    "five_seeds": functools.partial(several_seeds, seeds=5),
    "shift": functools.partial(shift, seeds=1),
    "shift_three_seeds": functools.partial(shift, seeds=3),
    "shift_family": shift_family,
    "family": family,
    "perturbation": perturbation,
    "unseen": unseen,
    "worst_cases": worst_cases,
}
_COVERAGE = 1 - ALPHA
CHECKS = {
    "level": Check("interval of a level covers", _COVERAGE, "least"),
    "level, domains drawn together": Check("for comparison: not stratified by domain", _COVERAGE, ""),
    "level, rows drawn": Check("for comparison: translations as independent rows", _COVERAGE, ""),
    "difference": Check("interval of a difference covers", _COVERAGE, "least"),
    "difference-in-differences, 1 seed": Check("interval of a shift effect covers", _COVERAGE, "least"),
    "difference-in-differences, 3 seeds": Check("interval of a shift effect covers", _COVERAGE, "least"),
    "difference-in-differences, 3 suites": Check("interval covers, mean of two shifted suites", _COVERAGE, "least"),
    "loss under a perturbation": Check("interval of variant minus clean covers", _COVERAGE, "least"),
    "loss minus loss": Check("interval of one arm's loss minus another's covers", _COVERAGE, "least"),
    "gap of seen and unseen": Check("interval of an arm's gap covers", _COVERAGE, "least"),
    "gap minus gap": Check("interval of one arm's gap minus another's covers", _COVERAGE, "least"),
    **{
        f"{what}, {seeds} seeds": Check("interval covers", _COVERAGE, "least")
        for seeds in (3, 5) for what in ("level", "difference from base", "difference")
    },
    **{
        f"difference, {seeds} {how}": Check("for comparison", _COVERAGE, "")
        for seeds in (3, 5) for how in ("seeds ignored", "seeds redrawn", "seeds redrawn, rescaled")
    },
    "test": Check("randomisation test rejects, arms alike", ALPHA, "most"),
    "test, 3 seeds": Check("the same, noise of training included", ALPHA, "most"),
    "test, 5 seeds": Check("the same, noise of training included", ALPHA, "most"),
    "test, rows flipped": Check("for comparison: translations flipped one by one", ALPHA, ""),
    "test of an effect": Check(f"power: the arm is better by {MARGIN}", 0.5, "least"),
    "any of 10 contrasts, Holm": Check("family-wise error, five arms alike", ALPHA, "most"),
    "any of 10 contrasts, uncorrected": Check("for comparison", ALPHA, ""),
    "equivalence at the margin": Check(f"called equivalent, true difference {MARGIN} = margin", ALPHA, "most"),
    "equivalence of equals": Check("called equivalent, true difference 0", 0.2, "least"),
    "shift test, 1 seed": Check("flipped residuals reject, an arm better by 0.3 everywhere", ALPHA, "most"),
    "shift test, 3 seeds": Check("the same, noise of training included", ALPHA, "most"),
    "shift test of an effect": Check(f"power: the arm gains {2 * MARGIN} more outside", 0.5, "least"),
    "shift test of an effect, arms swapped": Check("for comparison: the test that swaps arms", 0.5, ""),
    "any of 10 shift effects, Holm": Check("family-wise error, five arms that change alike", ALPHA, "most"),
    "any of 10 shift effects, uncorrected": Check("for comparison", ALPHA, ""),
    "test of loss minus loss": Check("swapped losses reject, arms lose alike", ALPHA, "most"),
    "test of gap minus gap": Check("flipped residuals reject, gaps alike", ALPHA, "most"),
    **{
        f"worst {what}, {how}": Check(f"interval covers, {how}", _COVERAGE, "least")
        for what in ("language", "suite")
        for how in ("apart", "alike")
    },
    **{
        f"worst domain, {how}": Check(f"interval covers, {how}; the smallest domain has 9 questions", _COVERAGE, "")
        for how in ("apart", "alike")
    },
    "worst language, apart, percentile": Check("for comparison: percentile interval", _COVERAGE, ""),
    "worst language, alike, percentile": Check("for comparison: percentile interval", _COVERAGE, ""),
    **{
        f"{what} of {cells} cells, {how}": Check(f"interval covers, {how}, little shared noise", _COVERAGE, "least")
        for what, cells, how in (*((w, 11, h) for w in ("worst", "CVaR") for h in ("apart", "alike")), ("CVaR", 110, "alike"))
    },
    "worst of 110 cells, alike": Check("interval covers, alike, little shared noise: 0.91 measured", _COVERAGE, ""),
    **{
        f"CVaR of {cells} cells, {how}, percentile": Check("for comparison: percentile interval", _COVERAGE, "")
        for cells, how in ((11, "apart"), (11, "alike"), (110, "alike"))
    },
}  # fmt: skip


def run(repetitions: int, samples: int, first: int = 0, parts: Sequence[str] = tuple(PARTS)) -> dict[str, float]:
    """Share of the repetitions in which each thing was so, of the things that these parts look at."""
    counts: dict[str, int] = {}
    for repetition in range(first, first + repetitions):
        for number, (part, look) in enumerate(PARTS.items()):
            for name, so in look(World(len(PARTS) * repetition + number, samples)) if part in parts else ():
                counts[name] = counts.get(name, 0) + so
    return {name: counts[name] / repetitions for name in CHECKS if name in counts}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=2000)
    parser.add_argument("--samples", type=int, default=1000, help="resamples and flips in every repetition")
    parser.add_argument("--parts", nargs="+", choices=tuple(PARTS), default=tuple(PARTS), help="all unless named")
    options = parser.parse_args()
    started = time.perf_counter()
    found = run(options.repetitions, options.samples, parts=options.parts)
    print("| what | meaning | should be | measured | Monte-Carlo error |\n|---|---|---|---|---|")
    side = {"least": "at least ", "most": "at most ", "": ""}
    for name, share in found.items():
        check = CHECKS[name]
        error = math.sqrt(max(share * (1 - share), 1e-4) / options.repetitions)
        wanted = f"{side[check.bound]}{check.nominal:.2f}"
        print(f"| {name} | {check.meaning} | {wanted} | {share:.3f} | {error:.3f} |")
    print(f"\n{options.repetitions} repetitions, {options.samples} samples, {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
