"""Inverses of information matrices, and what to do where there is none."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

FAULT = 0.05  # share of a singular direction from which on a parameter is part of it
MOST_AT_FAULT = 0.2  # share of the items; more, and it is the model that is not identified
SINGULAR = 1e-8  # a smallest eigenvalue below this share of the largest counts as 0


def inverse_of(information: Floats) -> Floats:
    """Inverses of symmetric matrices (..., p, p); NaN where one is not positive definite.

    The matrix is judged after scaling to a unit diagonal.
    """
    diagonal = np.diagonal(information, axis1=-2, axis2=-1)
    is_usable = np.asarray(
        np.isfinite(information).all(axis=(-2, -1)) & (diagonal > 0).all(axis=-1)
    )
    if not diagonal.size:
        return np.empty_like(information)
    safe = np.where(is_usable[..., None], diagonal, 1.0)
    scale = 1.0 / np.sqrt(safe)
    outer = scale[..., :, None] * scale[..., None, :]
    plain = np.where(is_usable[..., None, None], information, np.eye(diagonal.shape[-1]))
    values, vectors = np.linalg.eigh(plain * outer)
    is_usable &= values[..., 0] > SINGULAR * values[..., -1]
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = (vectors / values[..., None, :]) @ np.swapaxes(vectors, -1, -2) * outer
    return np.where(is_usable[..., None, None], inverse, np.nan)


def inverse_of_the_rest(information: Floats, owners: Index, n_items: int) -> Floats:
    """Inverse without the few items that leave the information singular, whose rows are NaN.

    They are held where they are, so that one item without a maximum does not hide the standard
    errors of all others. NaN throughout if it is more than a few, or not items at all.

    Args:
        information: of all parameters, (p, p).
        owners: item of each parameter, n_items for the latent distribution, (p,).
        n_items: number of items.
    """
    nowhere = np.full_like(information, np.nan)
    if not np.isfinite(information).all():
        return nowhere
    scale = 1.0 / np.sqrt(np.maximum(np.abs(np.diagonal(information)), np.finfo(float).tiny))
    values, vectors = np.linalg.eigh(information * scale[:, None] * scale)
    is_null = values <= SINGULAR * values[-1]
    at_fault = np.unique(owners[(vectors[:, is_null] ** 2).sum(axis=1) > FAULT])
    rest = np.flatnonzero(~np.isin(owners, at_fault))
    if n_items in at_fault or len(at_fault) > MOST_AT_FAULT * len(np.unique(owners)):
        return nowhere
    nowhere[np.ix_(rest, rest)] = inverse_of(information[np.ix_(rest, rest)])
    return nowhere
