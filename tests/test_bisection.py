"""Bisection finds the change to the last number, on the host and inside compiled code alike."""

import jax
import jax.numpy as jnp
import numpy as np

from samdyn.bisection import bisect_on_host, bisect_traced

ROOTS = np.array([0.1, 1 / 3, 2.0, 2.9])


def test_the_ends_are_neighbouring_numbers_about_the_root():
    low, high = bisect_on_host(lambda x: x * x < 2, 0.0, 3.0, 200)
    assert low**2 < 2 <= high**2
    assert high == np.nextafter(low, 3)


def test_it_asks_no_more_often_than_told_nor_where_no_number_is_left():
    asked = []
    low, high = bisect_on_host(lambda x: asked.append(x) or x < 1, 0.0, 8.0, 3)
    assert (low, high, asked) == (0.0, 1.0, [4.0, 2.0, 1.0])
    asked.clear()
    bisect_on_host(lambda x: asked.append(x) or True, 1.0, np.nextafter(1.0, 2))
    assert asked == []


def test_traced_entries_end_where_those_of_the_host_do():
    traced = jax.jit(lambda roots: bisect_traced(lambda x: x < roots, 0 * roots, 0 * roots + 3))
    ends = np.stack(traced(jnp.asarray(ROOTS)), axis=1)
    host = [bisect_on_host(lambda x, r=r: x < r, 0.0, 3.0) for r in ROOTS]
    np.testing.assert_array_equal(ends, host)
