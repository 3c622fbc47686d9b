// First exits of dw = b(w) dt + s dW in two dimensions from a region: the loop that a patient C++
// programmer would write. It is the yardstick of `escape.py` and `escape_problems.py`.
//
// Random numbers (counter hash, Box-Muller by polynomials), Brownian-bridge exit correction and
// records are those of samdyn.escape, so that path i of a seed is the same path there. A lane of a
// block holds a path; one that has left makes room for the next at once.
//
// A problem says `start`, `drift` and `gap`: how far a point is from the border, with a gradient
// of length 1.

#pragma once

#include <time.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <thread>
#include <vector>

#include "vectors.h"

enum class Scheme { EULER, HEUN, BINOMIAL };

constexpr uint32_t GOLDEN = 0x9E3779B9u;
constexpr uint32_t NONE = 0xFFFFFFFFu;

template <class L>
struct Point {
  L x, y;
};

template <int N>
using Words = Lanes<uint32_t, N>;
template <int N>
using Floats = Lanes<float, N>;

// The numbers of a run.
struct Setting {
  uint32_t seed[2], paths;
  double dt, s, rho, size;
  bool bridge;
};

template <class W>
INLINE W mix(W x) {
  x = (x ^ (x >> 16)) * 0x7FEB352Du;
  x = (x ^ (x >> 15)) * 0x846CA68Bu;
  return x ^ (x >> 16);
}

// A path's two words, and a multiple of the second that all its numbers need.
template <class W>
struct Key {
  W low, high, twist;
};

template <class W>
struct Pair {
  W first, second;
};

// `counter` is a multiple of GOLDEN
template <class W>
INLINE Pair<W> random_words(const Key<W>& key, const W& counter) {
  W core = mix(counter ^ key.low);
  W first = core + key.high, second = core ^ key.twist;
  first = (first ^ (first >> 15)) * 0x2C1B3C6Du;
  second = (second ^ (second >> 13)) * 0x297A2D39u;
  return {first ^ (first >> 16), second ^ (second >> 15)};
}

template <int N>
INLINE Floats<N> cell(const Words<N>& word) {
  return as<float>(bits_as<int32_t>(word));
}

template <int N>
INLINE Floats<N> uniform(const Words<N>& word) {
  return cell(word >> 1) * 0x1p-31f + 0x1p-32f;
}

template <int COUNT, int N>
INLINE Floats<N> horner(const Floats<N>& x, const float (&c)[COUNT]) {
  Floats<N> total = x * c[0] + c[1];
#pragma GCC unroll 16
  for (int i = 2; i < COUNT; i++) total = total * x + c[i];
  return total;
}

template <int N>
INLINE Floats<N> logarithm(const Floats<N>& u) {
  constexpr float c[] = {0.0714975223f, -0.115712017f, 0.116615124f, -0.124110505f, 0.142499357f,
                         -0.166684806f, 0.200007081f,  -0.249999896f, 0.333333313f};
  auto bits = bits_as<int32_t>(u);
  auto exponent = (bits - 0x3F3504F3) >> 23;
  auto x = bits_as<float>(bits - (exponent << 23)) - 1.0f;
  auto square = x * x;
  auto tail = horner(x, c) * x * square - 0.5f * square;
  return x + tail + as<float>(exponent) * 0.693147182f;
}

// exp(x), at most 1
template <int N>
INLINE Floats<N> exponential(const Floats<N>& x) {
  constexpr float c[] = {0.009666374f, 0.055838343f, 0.24022348f, 0.69313675f, 1.0f};
  constexpr float shift = 0x1.8p23f;  // in a sum with it the last bits are the whole number
  auto scaled = x * 1.44269502f;
  scaled = select(scaled > -125.0f, scaled, Floats<N>(-125.0f));
  scaled = select(scaled < 0.0f, scaled, Floats<N>(0.0f));
  auto shifted = scaled + shift;
  auto rest = scaled - (shifted - shift);
  auto power = bits_as<int32_t>(shifted) << 23;
  return bits_as<float>(bits_as<int32_t>(horner(rest, c)) + power);
}

template <int N>
INLINE Point<Floats<N>> normal_pair(const Pair<Words<N>>& words) {
  constexpr float sines[] = {0.000160441181f, -0.00468175393f, 0.0796926245f, -0.645964086f,
                             1.57079637f};
  constexpr float cosines[] = {0.000919260259f, -0.0208634809f, 0.2536695f, -1.23370051f, 1.0f};
  auto radius = root(-2.0f * logarithm(uniform(words.first)));
  auto quarter = cell((words.second << 2) >> 3) * 0x1p-29f + (0x1p-30f - 0.5f);
  auto square = quarter * quarter;
  auto sine = quarter * horner(square, sines), cosine = horner(square, cosines);
  auto turned = bits_as<int32_t>(words.second << 1) < 0;
  auto sign = words.second & (1u << 31);  // of both
  auto length = bits_as<float>(bits_as<uint32_t>(radius) ^ sign);
  return {length * select(turned, sine, cosine), length * select(turned, cosine, sine)};
}

// Two numbers of mean 0, `UNIT` of which is a standard deviation.
template <Scheme S>
constexpr double UNIT = S == Scheme::BINOMIAL ? 2.8284271247461903 : 1.0;

template <Scheme S, int N>
INLINE Point<Floats<N>> draws(const Key<Words<N>>& key, const Words<N>& counter) {
  auto words = random_words(key, counter);
  if constexpr (S == Scheme::BINOMIAL)
    return {cell(set_bits(words.first)) - 16.0f, cell(set_bits(words.second)) - 16.0f};
  else
    return normal_pair(words);
}

template <Scheme S, class Problem, class L, class T>
INLINE Point<L> step(const Problem& problem, const Point<L>& w, const Point<L>& z, T dt, T scale) {
  auto here = problem.drift(w);
  Point<L> noise{scale * z.x, scale * z.y};
  Point<L> after{w.x + here.x * dt + noise.x, w.y + here.y * dt + noise.y};
  if constexpr (S != Scheme::HEUN) return after;
  auto there = problem.drift(after);
  T half = dt / 2;
  return {w.x + (here.x + there.x) * half + noise.x, w.y + (here.y + there.y) * half + noise.y};
}

// Paths in turn, some at a time for each thread.
class Queue {
 public:
  explicit Queue(uint32_t paths) : paths_(paths) {}
  void take(uint64_t& first, uint64_t& end) {
    first = next_.fetch_add(SOME, std::memory_order_relaxed);
    end = first + SOME < paths_ ? first + SOME : paths_;
  }

 private:
  static constexpr uint64_t SOME = 64;
  std::atomic<uint64_t> next_{0};
  const uint64_t paths_;
};

struct Totals {
  uint64_t useful = 0, made = 0;
};

// One thread: a block of N paths at a time.
template <class Problem, class T, Scheme S, int N>
class Worker {
  using L = Lanes<T, N>;

  // What a step changes or needs, in registers.
  struct State {
    Point<L> w;
    L gap, life;
    Key<Words<N>> key;
    Words<N> counter;
  };

  // Paths that have left: when, within their step, is found for many at once.
  static constexpr int SOME = BYTES / 4;
  struct Exits {
    Lanes<T, SOME> above{T(1)}, below{T(1)};
    Key<Words<SOME>> key{0u, 0u, 0u};
    uint32_t path[SOME];
    uint64_t steps[SOME];
    int count = 0;
  };

 public:
  Worker(const Setting& setting, Queue& queue, double* times)
      : set_(setting), problem_((T)setting.rho, (T)setting.size), queue_(queue), times_(times) {}

  Totals run() {
    State s = begin();
    const T dt = (T)set_.dt, scale = (T)(set_.s * std::sqrt(set_.dt) / UNIT<S>);
    const T rate = (T)(-2.0 / (set_.s * set_.s * set_.dt));
    // farther away it touches with a probability that float32 does not see
    const T near = set_.bridge ? T(-18) / rate : T(0);
    uint64_t now = 0;
    while (live_) {
      auto z = draws<S>(s.key, s.counter);
      auto after = step<S>(problem_, s.w, Point<L>{as<T>(z.x), as<T>(z.y)}, dt, scale);
      L reached = problem_.gap(after);
      L product = s.gap * reached;
      s.counter = s.counter + GOLDEN;
      now++;
      // whoever is outside is near too, for no gap is negative before a step
      if (not_above(product, near)) {
        uint64_t out = not_above(reached, T(0));
        if (set_.bridge) {
          s.life = s.life * (T(1) - as<T>(exponential(as<float>(rate * product))));
          out |= not_above(s.life, T(1) - std::numeric_limits<T>::epsilon() / 2);
        }
        if (__builtin_expect(out != 0, 0)) {
          State copy = s;  // so that the state itself needs no address
          copy.w = after;
          retire(copy, out, reached, now);
          s = copy;
          continue;
        }
      }
      s.w = after;
      s.gap = reached;
    }
    settle();
    totals_.made = now * N;
    return totals_;
  }

 private:
  State begin() {
    State s;
    s.key.low = s.key.high = s.key.twist = Words<N>(0u);
    for (int i = 0; i < N; i++) refill(s, i, 0);
    return s;
  }

  // Put the next path into a lane, or let it rest for ever.
  void refill(State& s, int lane, uint64_t now) {
    auto w = problem_.start();
    s.w.x.set(lane, w.x), s.w.y.set(lane, w.y), s.gap.set(lane, problem_.start_gap());
    s.counter.set(lane, 0);
    if (next_ >= end_) queue_.take(next_, end_);
    if (next_ >= end_) {
      path_[lane] = NONE, s.life.set(lane, std::numeric_limits<T>::infinity());
      return;
    }
    const uint32_t path = (uint32_t)next_++;
    const uint32_t low = mix(mix(path + set_.seed[0]) ^ set_.seed[1]);
    const uint32_t high = mix((path ^ set_.seed[1]) * 0x85EBCA6Bu + low + GOLDEN);
    const Key<uint32_t> key{low, high, high * 0x9E3779B1u};
    s.key.low.set(lane, key.low), s.key.high.set(lane, key.high), s.key.twist.set(lane, key.twist);
    const uint32_t word = random_words(key, NONE * GOLDEN).first;
    s.life.set(lane, T(1) / (T)((float)(int32_t)(word >> 1) * 0x1p-31f + 0x1p-32f));
    path_[lane] = path, began_[lane] = now, live_++;
  }

  // Note the paths of the lanes in `out`, and put new ones there.
  __attribute__((noinline)) void retire(State& s, uint64_t out, L reached, uint64_t now) {
    const L above = s.gap;
    s.gap = reached;
    for (; out; out &= out - 1) {
      const int lane = __builtin_ctzll(out);
      if (path_[lane] != NONE) {
        const int k = exits_.count++;
        exits_.above.set(k, above[lane]), exits_.below.set(k, std::abs(reached[lane]));
        exits_.key.low.set(k, s.key.low[lane]), exits_.key.high.set(k, s.key.high[lane]);
        exits_.key.twist.set(k, s.key.twist[lane]);
        exits_.path[k] = path_[lane], exits_.steps[k] = now - began_[lane];
        if (exits_.count == SOME) settle();
        live_--;
      }
      refill(s, lane, now);
    }
  }

  // Record the exits that wait for their times.
  void settle() {
    Lanes<T, SOME> fraction(T(1));
    if (set_.bridge) fraction = first_passage(exits_);
    for (int k = 0; k < exits_.count; k++) {
      const double steps = (double)(exits_.steps[k] - 1) + fraction[k];
      times_[exits_.path[k]] = steps * (double)(T)set_.dt;
      totals_.useful += exits_.steps[k];
    }
    exits_.count = 0;
  }

  // When within its step a Brownian bridge from `above` to -`below` first touches 0: T/(1 - T) is
  // inverse Gaussian, drawn as by Michael, Schucany & Haas (1976).
  Lanes<T, SOME> first_passage(const Exits& exits) const {
    using M = Lanes<T, SOME>;
    const M above = exits.above;
    const auto words = [&](uint32_t counter) {
      return random_words(exits.key, Words<SOME>(counter * GOLDEN));
    };
    const M normal = as<T>(normal_pair(words(NONE - 1)).x);
    const M choice = as<T>(uniform(words(NONE - 2).first));
    const M least = T(1e-6) * above;
    const M below = select(exits.below > least, exits.below, least) + T(1e-30);
    const M half = normal * normal * (T)(set_.s * set_.s * set_.dt) / (T(2) * above * below);
    const M small = T(1) / (T(1) + half + root(half * (half + T(2))));
    const M early = above * small / (below + above * small);
    const M late = above / (below * small + above);
    M part = select(choice * (T(1) + small) < T(1), early, late);
    part = select(part > T(0x1p-10), part, M(T(0x1p-10)));
    return select(part < T(1), part, M(T(1)));
  }

  const Setting set_;
  const Problem problem_;
  Queue& queue_;
  double* times_;
  Totals totals_;
  Exits exits_;
  uint64_t next_ = 0, end_ = 0;  // paths taken from the queue
  int live_ = 0;
  uint32_t path_[N];
  uint64_t began_[N];
};

template <template <class> class Problem, class T, Scheme S, int VECTORS>
Totals work(const Setting& setting, Queue& queue, double* times) {
  return Worker<Problem<T>, T, S, VECTORS * BYTES / 4>(setting, queue, times).run();
}

using Work = Totals (*)(const Setting&, Queue&, double*);

template <template <class> class Problem, class T, Scheme S>
Work work_of(int vectors) {
  return vectors == 1   ? work<Problem, T, S, 1>
         : vectors == 2 ? work<Problem, T, S, 2>
         : vectors == 4 ? work<Problem, T, S, 4>
                        : nullptr;
}

template <template <class> class Problem, class T>
Work work_of(const char* scheme, int vectors) {
  if (!std::strcmp(scheme, "heun")) return work_of<Problem, T, Scheme::HEUN>(vectors);
  if (!std::strcmp(scheme, "euler-binomial")) return work_of<Problem, T, Scheme::BINOMIAL>(vectors);
  return work_of<Problem, T, Scheme::EULER>(vectors);
}

static double cpu_seconds() {
  timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

// Runs what the arguments say, and prints a line of JSON.
template <template <class> class Problem>
int run(int count, char** argument) {
  if (count < 13) {
    std::fprintf(stderr,
                 "usage: %s SEED0 SEED1 PATHS DT S RHO SIZE BRIDGE(0|1) THREADS "
                 "euler|heun|euler-binomial float32|float64 VECTORS(1|2|4) [FILE for exit times]\n",
                 argument[0]);
    return 2;
  }
  Setting set;
  for (int i = 0; i < 2; i++) set.seed[i] = (uint32_t)std::strtoul(argument[1 + i], nullptr, 10);
  set.paths = (uint32_t)std::strtoul(argument[3], nullptr, 10);
  set.dt = std::atof(argument[4]), set.s = std::atof(argument[5]);
  set.rho = std::atof(argument[6]), set.size = std::atof(argument[7]);
  set.bridge = std::atoi(argument[8]) != 0;
  const int threads = std::atoi(argument[9]);
  const int vectors = std::atoi(argument[12]);
  const bool wide = !std::strcmp(argument[11], "float64");
  const Work work = wide ? work_of<Problem, double>(argument[10], vectors)
                         : work_of<Problem, float>(argument[10], vectors);
  if (!work) return 2;
  std::vector<double> times(set.paths);
  std::vector<Totals> totals(threads);
  Queue queue(set.paths);
  const auto began = std::chrono::steady_clock::now();
  const double cpu_began = cpu_seconds();
  std::vector<std::thread> workers;
  for (int i = 0; i < threads; i++)
    workers.emplace_back([&, i] { totals[i] = work(set, queue, times.data()); });
  for (std::thread& worker : workers) worker.join();
  const double cpu = cpu_seconds() - cpu_began;
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - began;
  Totals all;
  for (const Totals& part : totals) all.useful += part.useful, all.made += part.made;
  double sum = 0, squares = 0;
  for (double t : times) sum += t, squares += t * t;
  const double mean = sum / set.paths, variance = squares / set.paths - mean * mean;
  std::printf(
      "{\"seconds\": %.6f, \"cpu_seconds\": %.6f, \"path_steps\": %llu, \"lane_steps\": %llu, "
      "\"mean\": %.9g, \"standard_error\": %.6g, \"vector_bits\": %d, \"vectors\": %d}\n",
      passed.count(), cpu, (unsigned long long)all.useful, (unsigned long long)all.made, mean,
      std::sqrt(variance / set.paths), 8 * BYTES, vectors);
  if (count > 13) {
    FILE* file = std::fopen(argument[13], "wb");
    if (!file || std::fwrite(times.data(), sizeof(double), set.paths, file) != set.paths) return 1;
    std::fclose(file);
  }
  return 0;
}
