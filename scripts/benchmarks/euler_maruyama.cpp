// First exits from x < SIZE of the double well (x^2 - 1)^2/4 + y^2/2 under USAM, from (-1, 0).

#include "first_exits.h"

template <class T>
struct DoubleWell {
  const T rho, level;
  DoubleWell(T rho, T level) : rho(rho), level(level) {}

  Point<T> start() const { return {T(-1), T(0)}; }
  T start_gap() const { return level + T(1); }

  template <class L>
  INLINE Point<L> drift(const Point<L>& w) const {
    L x = w.x + rho * (w.x * (w.x * w.x - T(1))), y = w.y + rho * w.y;
    return {x * (T(1) - x * x), T(0) - y};
  }

  template <class L>
  INLINE L gap(const Point<L>& w) const {
    return level - w.x;
  }
};

int main(int count, char** argument) { return run<DoubleWell>(count, argument); }
