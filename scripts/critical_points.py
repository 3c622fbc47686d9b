"""Compute every critical point of the analytic losses and store them as JSON.

    python scripts/critical_points.py            write samdyn/losses/critical_points.json
    python scripts/critical_points.py --check    compare with that file; exit 1 if it differs

Needs sympy and mpmath. No random starts are used: each list is proven complete.

Polynomial losses (all but Mueller-Brown)
    A lexicographic Groebner basis of the gradient, over the rationals, gives
    one polynomial in the last coordinate that vanishes at every critical point.
    It is split into irreducible factors, and each factor is put back into the
    basis. The result then has one generator per coordinate, which either holds
    that coordinate alone, or gives it as a polynomial in the later ones (this is
    checked; the script stops if it fails). So the critical points correspond
    exactly to the real roots of univariate rational polynomials, and these are
    isolated in exact arithmetic (continued fractions with Descartes' rule of
    signs): none can be missed. This covers the whole of R^n. The box is applied
    afterwards, and the number of points outside is printed: it is 0 for all.

Mueller-Brown
    A region around the box is bisected until interval arithmetic settles every
    piece. A piece is dropped when an enclosure of the gradient excludes zero or when
    its Krawczyk image misses it; it is kept when the Krawczyk image lies inside
    the (slightly widened) piece, which proves that exactly one critical point
    is there. The pieces cover the region, so the list is complete; none is
    outside the box. (The region [-4, 4] x [-3, 5], which takes 17 s, holds no
    others either; beyond the region searched nothing is claimed.) Points are
    then refined by Newton's method, and checked to be inside their proven piece.

Both: coordinates are good to at least 50 digits (the gradient is evaluated, from
the formula, at every point) and are rounded to double precision at the end.
"""

import argparse
import itertools
import json
import sys
from pathlib import Path

import mpmath
import sympy as sp
from mpmath import iv, mp

OUTPUT = Path(__file__).resolve().parents[1] / "samdyn" / "losses" / "critical_points.json"

mp.dps = 100
iv.prec = 53
ROOT_WIDTH = sp.Rational(1, 10**120)
GRADIENT_TOLERANCE = mp.mpf(10) ** -60
ZERO = mp.mpf(10) ** -40  # No nonzero value below is anywhere near this small.

W = sp.symbols("w1:5", real=True)
x, y = W[:2]
R = sp.Rational


# --- Losses ---------------------------------------------------------------


def rosenbrock(d):
    return sum(100 * (W[i + 1] - W[i] ** 2) ** 2 + (1 - W[i]) ** 2 for i in range(d - 1))


def styblinski_tang(d):
    return sum(w**4 - 16 * w**2 + 5 * w for w in W[:d]) / 2


def double_well(w):
    return (w**2 - 1) ** 2 / 4


def square(half_width, d=2):
    return [(-half_width, half_width)] * d


POLYNOMIALS = {  # name: (loss, box)
    "beale": (
        (R("1.5") - x + x * y) ** 2
        + (R("2.25") - x + x * y**2) ** 2
        + (R("2.625") - x + x * y**3) ** 2,
        square(4.5),
    ),
    "saddle": (x**2 - y**2, square(4.5)),
    "himmelblau": ((x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2, square(5)),
    "six-hump-camel": (
        (4 - R("2.1") * x**2 + x**4 / 3) * x**2 + x * y + (4 * y**2 - 4) * y**2,
        [(-3, 3), (-2, 2)],
    ),
    "three-hump-camel": (2 * x**2 - R("1.05") * x**4 + x**6 / 6 + x * y + y**2, square(5)),
    "styblinski-tang": (styblinski_tang(2), square(5)),
    "styblinski-tang-3d": (styblinski_tang(3), square(5, 3)),
    "rosenbrock": (rosenbrock(2), square(2)),
    "rosenbrock-4d": (rosenbrock(4), square(2, 4)),
    "monkey-saddle": (x**3 - 3 * x * y**2, square(2)),
    "double-well": (double_well(x), square(2, 1)),
    "double-well-2d": (double_well(x) + y**2 / 2, square(2)),
    "double-well-product": (sum(double_well(w) for w in W[:3]), square(2, 3)),
}

MUELLER_BROWN_BOX = [(-1.5, 1.2), (-0.5, 2.0)]
MUELLER_BROWN_SEARCH = [(-2.0, 2.0), (-1.0, 3.0)]
MUELLER_BROWN_TERMS = [  # A, a, b, c, x0, y0
    [R(text) for text in row.split()]
    for row in (
        "-200 -1   0   -10   1    0",
        "-100 -1   0   -10   0    0.5",
        "-170 -6.5 11  -6.5  -0.5 1.5",
        "15   0.7  0.6 0.7   -1   1",
    )
]
MUELLER_BROWN = sum(
    A * sp.exp(a * (x - x0) ** 2 + b * (x - x0) * (y - y0) + c * (y - y0) ** 2)
    for A, a, b, c, x0, y0 in MUELLER_BROWN_TERMS
)


# --- Polynomial losses: exact elimination ---------------------------------


def real_roots(polynomial, variable):
    """Rational approximations, within ROOT_WIDTH, of all the distinct real roots."""
    intervals = sp.Poly(polynomial, variable).intervals(eps=ROOT_WIDTH)
    return [(low + high) / 2 for (low, high), _ in intervals]


def triangular_systems(loss, variables):
    """Split the critical points into systems with one generator per variable."""
    gradient = [sp.diff(loss, v) for v in variables]
    basis = sp.groebner(gradient, *variables, order="grevlex").fglm("lex").exprs
    for factor, _ in sp.factor_list(basis[-1])[1]:
        system = sp.groebner([*basis, factor], *variables, order="lex").exprs
        if not is_triangular(system, variables):
            raise ValueError(f"not triangular: {system}")
        yield system


def is_triangular(system, variables):
    """Whether the i-th generator is either in variable i alone, or linear in
    variable i (with a constant factor) and otherwise in later variables only."""
    if len(system) != len(variables):
        return False
    for i, (generator, variable) in enumerate(zip(system, variables, strict=True)):
        poly = sp.Poly(generator, variable)
        linear = poly.degree() == 1 and poly.LC().is_Rational
        alone = generator.free_symbols == {variable}
        if not (alone or (linear and generator.free_symbols <= set(variables[i:]))):
            return False
    return True


def solve_triangular(system, variables):
    """All real solutions, from the last variable to the first."""
    partial = [{}]
    for generator, variable in zip(reversed(system), reversed(variables), strict=True):
        partial = [
            {**known, variable: root}
            for known in partial
            for root in real_roots(sp.expand(generator.subs(known)), variable)
        ]
    return [tuple(solution[v] for v in variables) for solution in partial]


def polynomial_critical_points(loss, variables):
    systems = triangular_systems(loss, variables)
    found = itertools.chain.from_iterable(solve_triangular(s, variables) for s in systems)
    return [[mp.mpf(c.p) / c.q for c in point] for point in found]


# --- Mueller-Brown: interval bisection ------------------------------------


def to_interval(rational):
    return iv.mpf(int(rational.p)) / int(rational.q)


INTERVAL_TERMS = [[to_interval(value) for value in row] for row in MUELLER_BROWN_TERMS]


def interval_derivatives(u, v, hessian):
    """Enclosure of the gradient (two entries) or of the Hessian (xx, xy, yy)."""
    total = [iv.mpf(0)] * (3 if hessian else 2)
    for A, a, b, c, x0, y0 in INTERVAL_TERMS:
        s, t = u - x0, v - y0
        e = A * iv.exp(a * s**2 + b * s * t + c * t**2)
        p, q = 2 * a * s + b * t, b * s + 2 * c * t
        factors = (p**2 + 2 * a, p * q + b, q**2 + 2 * c) if hessian else (p, q)
        total = [old + e * factor for old, factor in zip(total, factors, strict=True)]
    return total


def bounds(interval):
    return mpmath.mpf(interval.a), mpmath.mpf(interval.b)


def widen(box, share=0.05):
    return [(low - share * (high - low), high + share * (high - low)) for low, high in box]


def examine(box):
    """Return "none", "one" (in the widened box) or "split"."""
    wide = widen(box)
    middle = [iv.mpf((low + high) / 2) for low, high in wide]
    offset = [iv.mpf(side) - m for side, m in zip(wide, middle, strict=True)]
    g1, g2 = interval_derivatives(*middle, hessian=False)
    hxx, hxy, hyy = interval_derivatives(*map(iv.mpf, wide), hessian=True)
    mean_value = (g1 + hxx * offset[0] + hxy * offset[1], g2 + hxy * offset[0] + hyy * offset[1])
    if any(0 not in enclosure for enclosure in mean_value):
        return "none"

    # Krawczyk image: middle - Y g + (1 - Y H) offset, Y near the inverse of H.
    mxx, mxy, myy = (sum(bounds(h)) / 2 for h in (hxx, hxy, hyy))
    det = mxx * myy - mxy**2
    if det == 0:
        return "split"
    yxx, yxy, yyy = (iv.mpf(float(value / det)) for value in (myy, -mxy, mxx))
    image = [
        middle[0]
        - (yxx * g1 + yxy * g2)
        + (1 - yxx * hxx - yxy * hxy) * offset[0]
        - (yxx * hxy + yxy * hyy) * offset[1],
        middle[1]
        - (yxy * g1 + yyy * g2)
        - (yxy * hxx + yyy * hxy) * offset[0]
        + (1 - yxy * hxy - yyy * hyy) * offset[1],
    ]
    image = [bounds(side) for side in image]
    if any(ib < low or ia > high for (ia, ib), (low, high) in zip(image, box, strict=True)):
        return "none"
    inside = all(low < ia and ib < high for (ia, ib), (low, high) in zip(image, wide, strict=True))
    return "one" if inside else "split"


def halves(box):
    widths = [high - low for low, high in box]
    axis = widths.index(max(widths))
    low, high = box[axis]
    for side in ((low, (low + high) / 2), ((low + high) / 2, high)):
        yield [*box[:axis], side, *box[axis + 1 :]]


def isolating_boxes(box):
    """Boxes with exactly one critical point each; together they hold all of them."""
    pending, found, examined = [box], [], 0
    while pending:
        piece = pending.pop()
        examined += 1
        verdict = examine(piece)
        if verdict == "one":
            found.append(widen(piece))
        elif verdict == "split":
            pending.extend(halves(piece))
    print(f"  {examined} pieces examined, {len(found)} with a critical point")
    return found


def mueller_brown_critical_points(box):
    """Refine each proven point; two pieces that share one give the same point."""
    gradient = sp.lambdify((x, y), [sp.diff(MUELLER_BROWN, v) for v in (x, y)], "mpmath")
    points = []
    for piece in isolating_boxes(box):
        start = [(low + high) / 2 for low, high in piece]
        point = list(mp.findroot(lambda u, v: gradient(u, v), start, tol=GRADIENT_TOLERANCE**2))
        if not in_box(point, piece):
            raise ValueError(f"Newton's method left {piece}")
        if all(
            max(abs(p - q) for p, q in zip(point, other, strict=True)) > ZERO for other in points
        ):
            points.append(point)
    return points


# --- Description of the points --------------------------------------------


def in_box(point, box):
    return all(
        low <= coordinate <= high for coordinate, (low, high) in zip(point, box, strict=True)
    )


def to_float(value):
    return 0.0 if abs(value) < ZERO else float(value)


def point_type(eigenvalues):
    if any(abs(value) < ZERO for value in eigenvalues):
        return "degenerate"
    negative = sum(value < 0 for value in eigenvalues)
    return {0: "minimum", len(eigenvalues): "maximum"}.get(negative, "saddle")


def describe(loss, variables, points):
    """The JSON entries of the points, in lexicographic order."""
    gradient = [sp.diff(loss, v) for v in variables]
    evaluate = sp.lambdify(variables, [loss, gradient, sp.hessian(loss, variables)], "mpmath")
    entries = []
    for point in points:
        value, slope, hessian = evaluate(*point)
        if max(map(abs, slope)) > GRADIENT_TOLERANCE:
            raise ValueError(f"not a critical point: {point}")
        eigenvalues = sorted(mp.eigsy(mp.matrix(hessian), eigvals_only=True))
        entries.append(
            {
                "w": [to_float(coordinate) for coordinate in point],
                "type": point_type(eigenvalues),
                "hessian_eigenvalues": [to_float(e) for e in eigenvalues],
                "loss": to_float(value),
            }
        )
    return sorted(entries, key=lambda entry: entry["w"])


def report(name, entries, outside=0):
    types = [entry["type"] for entry in entries]
    counts = ", ".join(f"{types.count(t)} {t}" for t in sorted(set(types)))
    print(f"{name}: {len(entries)} ({counts}); outside the box: {outside}", flush=True)


def compute_all():
    result = {}
    for name, (loss, box) in POLYNOMIALS.items():
        variables = W[: len(box)]
        everywhere = polynomial_critical_points(loss, variables)
        points = [point for point in everywhere if in_box(point, box)]
        result[name] = describe(loss, variables, points)
        report(name, result[name], len(everywhere) - len(points))

    searched = mueller_brown_critical_points(MUELLER_BROWN_SEARCH)
    points = [point for point in searched if in_box(point, MUELLER_BROWN_BOX)]
    result["muller-brown"] = describe(MUELLER_BROWN, (x, y), points)
    report("muller-brown", result["muller-brown"], len(searched) - len(points))

    # Its gradient is (x² + y² − 1)(x, y): the origin, and a circle that holds no isolated point.
    result["mexican-hat"] = describe((x**2 + y**2 - 1) ** 2 / 4, (x, y), [(mp.mpf(0), mp.mpf(0))])
    report("mexican-hat (isolated points only)", result["mexican-hat"])
    return result


def to_json(result):
    """One point per line; Python's float form keeps all 17 significant digits."""
    blocks = []
    for name, entries in result.items():
        lines = ",\n".join("    " + json.dumps(entry) for entry in entries)
        blocks.append(f"  {json.dumps(name)}: [\n{lines}\n  ]")
    return "{\n" + ",\n".join(blocks) + "\n}\n"


def main():
    parser = argparse.ArgumentParser(description="Critical points of the analytic losses.")
    parser.add_argument("--check", action="store_true", help="compare with the stored file")
    check = parser.parse_args().check
    result = compute_all()
    if not check:
        OUTPUT.write_text(to_json(result))
        return 0
    stored = json.loads(OUTPUT.read_text())
    different = sorted(n for n in result.keys() | stored.keys() if result.get(n) != stored.get(n))
    print(f"different from {OUTPUT.name}: {', '.join(different) or 'none'}")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
