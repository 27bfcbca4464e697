"""Stacks of measurements with gaps, and the noise of them that their own differences show."""

import numpy as np

__all__ = ["deviations", "noise_of_stack", "stacked"]

N_SPLITS = 16


def stacked(values, weights):
    """Return the weighted mean over the first axis, ignoring NaN, and the sum of the weights, 0 where there is none."""
    used = np.where(np.isfinite(values), weights, 0.0)
    total = used.sum(axis=0)
    with np.errstate(invalid="ignore"):
        return np.sum(used * np.where(used > 0, values, 0.0), axis=0) / np.where(total > 0, total, np.nan), total


def deviations(values, weights):
    """Return what each layer has more than the mean of the others, scaled to the noise of the layer alone.

    Variances are taken to be inverse to the weights.
    """
    result = np.empty(values.shape)
    for number in range(len(values)):
        rest = np.arange(len(values)) != number
        mean, total = stacked(values[rest], weights[rest])
        with np.errstate(divide="ignore", invalid="ignore"):
            result[number] = (values[number] - mean) / np.sqrt(1 + weights[number] / total)
    return result


def noise_of_stack(values, weights):
    """Return maps with the noise of the stack and nothing else: scaled differences of half stacks.

    What all layers share (the flat) cancels; what differs between them (photons, stripes, faint sources) stays, with
    the same strength as in the stack: the difference of halves of weights A and B has ``(1/A + 1/B) (A + B)`` times its
    variance. One map for each of up to 16 ways to halve the layers.
    """
    maps = []
    for half in _halvings(len(values)):
        (one, weight), (other, other_weight) = (stacked(values[part], weights[part]) for part in (half, ~half))
        maps.append((one - other) * np.sqrt(weight * other_weight) / (weight + other_weight))
    return np.array(maps)


def _halvings(n):
    """Ways to halve ``n`` things, boolean arrays, always the same; no two alike where there are enough."""
    rng = np.random.default_rng(0)
    found = {}
    for _ in range(8 * N_SPLITS):
        half = np.zeros(n, bool)
        half[rng.permutation(n)[: n // 2]] = True
        if n % 2 == 0 and not half[0]:
            half = ~half
        found[half.tobytes()] = half
        if len(found) == N_SPLITS:
            break
    return list(found.values())
