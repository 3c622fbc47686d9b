// First exits from the ball |w - (3, 1/2)| < SIZE of Beale's function under USAM, from its centre.

#include "first_exits.h"

template <class T>
struct BealeInABall {
  const T rho, radius;
  BealeInABall(T rho, T radius) : rho(rho), radius(radius) {}

  Point<T> start() const { return {T(3), T(0.5)}; }
  T start_gap() const { return radius; }

  // of (1.5 - x + xy)^2 + (2.25 - x + xy^2)^2 + (2.625 - x + xy^3)^2
  template <class L>
  INLINE Point<L> gradient(const Point<L>& w) const {
    const L &x = w.x, &y = w.y;
    L square = y * y, one = y - T(1), two = square - T(1), three = square * y - T(1);
    L a = x * one + T(1.5), b = x * two + T(2.25), c = x * three + T(2.625);
    L twice = x + x;
    return {T(2) * (a * one + b * two + c * three), twice * (a + y * (T(2) * b + T(3) * (c * y)))};
  }

  template <class L>
  INLINE Point<L> drift(const Point<L>& w) const {
    auto ascent = gradient(w);
    auto there = gradient(Point<L>{w.x + rho * ascent.x, w.y + rho * ascent.y});
    return {T(0) - there.x, T(0) - there.y};
  }

  template <class L>
  INLINE L gap(const Point<L>& w) const {
    L x = w.x - T(3), y = w.y - T(0.5);
    return radius - root(x * x + y * y);
  }
};

int main(int count, char** argument) { return run<BealeInABall>(count, argument); }
