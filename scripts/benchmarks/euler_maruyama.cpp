// First exits from x < LEVEL of dw = -g(w + rho g(w)) dt + s dW in the double well
// (x^2 - 1)^2/4 + y^2/2, from (-1, 0), by Euler-Maruyama: the loop that a patient C++ programmer
// would write. It is the yardstick of `escape.py`.
//
// Random numbers (counter hash, Box-Muller by polynomials), Brownian-bridge exit correction and
// records are those of samdyn.escape, so that path i of a seed is the same path there. Vectors of
// sixteen floats hold one path an element; a path that has left makes room for the next at once.
//
// usage: euler_maruyama SEED0 SEED1 PATHS DT S RHO LEVEL BRIDGE(0|1) THREADS [FILE for exit times]

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>
#ifdef __AVX512F__
#include <immintrin.h>
#endif

constexpr int WIDTH = 16;
typedef float Floats __attribute__((vector_size(4 * WIDTH)));
typedef int32_t Ints __attribute__((vector_size(4 * WIDTH)));
typedef uint32_t Words __attribute__((vector_size(4 * WIDTH)));

struct Problem {
  uint32_t seed[2];
  uint32_t paths;
  float dt, s, rho, level;
};

struct Totals {
  uint64_t useful = 0, made = 0;
};

#define INLINE static inline __attribute__((always_inline))

INLINE Words mix(Words x) {
  x = (x ^ (x >> 16)) * 0x7FEB352Du;
  x = (x ^ (x >> 15)) * 0x846CA68Bu;
  return x ^ (x >> 16);
}

INLINE Floats cell(Words word) { return __builtin_convertvector((Ints)word, Floats); }

INLINE Floats uniform(Words word) { return cell(word >> 1) * 0x1p-31f + 0x1p-32f; }

template <int N>
INLINE Floats horner(Floats x, const float (&c)[N]) {
  Floats total = x * c[0] + c[1];
  for (int i = 2; i < N; i++) total = total * x + c[i];
  return total;
}

INLINE Floats root(Floats x) {
#ifdef __AVX512F__
  return (Floats)_mm512_sqrt_ps((__m512)x);
#else
  for (int i = 0; i < WIDTH; i++) x[i] = std::sqrt(x[i]);
  return x;
#endif
}

INLINE Floats logarithm(Floats u) {
  constexpr float c[] = {0.0714975223f, -0.115712017f, 0.116615124f, -0.124110505f, 0.142499357f,
                         -0.166684806f, 0.200007081f,  -0.249999896f, 0.333333313f};
  Ints bits = (Ints)u;
  Ints exponent = (bits - 0x3F3504F3) >> 23;
  Floats x = (Floats)(bits - (exponent << 23)) - 1.0f;
  Floats square = x * x;
  Floats tail = horner(x, c) * x * square - 0.5f * square;
  return x + tail + __builtin_convertvector(exponent, Floats) * 0.693147182f;
}

// exp(x) for x <= 0
INLINE Floats exponential(Floats x) {
  constexpr float c[] = {0.000218775051f, 0.00123878219f, 0.00968458038f, 0.055480428f,
                         0.240230501f,    0.693146944f,   1.0f};
  Floats scaled = x * 1.44269502f;
  scaled = scaled > -126.0f ? scaled : Floats{} - 126.0f;
  Ints whole = __builtin_convertvector(scaled, Ints);  // towards 0
  whole += __builtin_convertvector(whole, Floats) > scaled;
  Floats power = (Floats)((whole + 127) << 23);
  return horner(scaled - __builtin_convertvector(whole, Floats), c) * power;
}

struct Pair {
  Words first, second;
};

INLINE Pair random_words(Words low, Words high, Words counter) {
  Words core = mix((counter * 0x9E3779B9u) ^ low);
  Words first = core + high;
  first = (first ^ (first >> 15)) * 0x2C1B3C6Du;
  Words second = core ^ (high * 0x9E3779B1u);
  second = (second ^ (second >> 13)) * 0x297A2D39u;
  return {first ^ (first >> 16), second ^ (second >> 15)};
}

struct Normals {
  Floats x, y;
};

INLINE Normals normal_pair(Pair words) {
  constexpr float sines[] = {0.000160441181f, -0.00468175393f, 0.0796926245f, -0.645964086f,
                             1.57079637f};
  constexpr float cosines[] = {-2.52020418e-05f, 0.000919260259f, -0.0208634809f,
                               0.2536695f,       -1.23370051f,    1.0f};
  Floats square = -2.0f * logarithm(uniform(words.first));
  Floats radius = root(square > 0.0f ? square : Floats{});
  Floats quarter = cell((words.second << 2) >> 3) * 0x1p-29f + (0x1p-30f - 0.5f);
  Floats q2 = quarter * quarter;
  Floats sine = quarter * horner(q2, sines), cosine = horner(q2, cosines);
  auto turned = (words.second & (1u << 30)) != 0;
  Floats first = turned ? sine : cosine, second = turned ? cosine : sine;
  Words sign = words.second & (1u << 31);  // minus both
  radius = (Floats)((Words)radius ^ sign);
  return {radius * first, radius * second};
}

INLINE bool any(Ints mask) {
#ifdef __AVX512F__
  return _mm512_movepi32_mask((__m512i)mask) != 0;
#else
  int32_t found = 0;
  for (int i = 0; i < WIDTH; i++) found |= mask[i];
  return found != 0;
#endif
}

// The paths of sixteen elements of a vector, and where they are.
struct Block {
  Floats x, y, gap, life;
  Words low, high, steps;
  uint32_t path[WIDTH];
  int live = 0;
};

class Queue {
 public:
  explicit Queue(uint32_t paths) : paths_(paths) {}
  bool take(uint32_t& path) {
    if (next_.load(std::memory_order_relaxed) >= paths_) return false;
    uint64_t mine = next_.fetch_add(1, std::memory_order_relaxed);
    path = (uint32_t)mine;
    return mine < paths_;
  }

 private:
  std::atomic<uint64_t> next_{0};
  const uint64_t paths_;
};

static uint32_t mix1(uint32_t x) { return mix(Words{} + x)[0]; }

constexpr uint32_t NONE = 0xFFFFFFFFu;

// Put the next path into element i, or let it rest for ever.
static void refill(Block& b, int i, Queue& queue, const Problem& p) {
  uint32_t path;
  b.x[i] = -1.0f, b.y[i] = 0.0f, b.gap[i] = p.level + 1.0f, b.steps[i] = 0;
  if (!queue.take(path)) {
    b.path[i] = NONE, b.life[i] = INFINITY;
    return;
  }
  uint32_t low = mix1(mix1(path + p.seed[0]) ^ p.seed[1]);
  uint32_t high = mix1((path ^ p.seed[1]) * 0x85EBCA6Bu + low + 0x9E3779B9u);
  b.path[i] = path, b.low[i] = low, b.high[i] = high, b.live++;
  Pair words = random_words(Words{} + low, Words{} + high, Words{} + NONE);
  b.life[i] = 1.0f / uniform(words.first)[0];
}

// When within its step a Brownian bridge from `above` to -`below` first touches 0: T/(1 - T) is
// inverse Gaussian, drawn as by Michael, Schucany & Haas (1976).
static Floats first_passage(const Block& b, Floats above, Floats below, const Problem& p) {
  Floats normal = normal_pair(random_words(b.low, b.high, Words{} + (NONE - 1))).x;
  Floats choice = uniform(random_words(b.low, b.high, Words{} + (NONE - 2)).first);
  Floats least = 1e-6f * above;
  below = (below > least ? below : least) + 1e-30f;
  Floats half = normal * normal * (p.s * p.s * p.dt) / (2.0f * above * below);
  Floats small = 1.0f / (1.0f + half + root(half * (half + 2.0f)));
  auto early = choice * (1.0f + small) < 1.0f;
  Floats part = early ? above * small / (below + above * small) : above / (below * small + above);
  part = part > 0x1p-10f ? part : Floats{} + 0x1p-10f;
  return part < 1.0f ? part : Floats{} + 1.0f;
}

// Record the paths of the elements in `out`, and put new ones there.
template <bool BRIDGE>
__attribute__((noinline)) static void retire(Block& b, Ints out, Floats reached, Queue& queue,
                                             const Problem& p, double* times, Totals& totals) {
  Floats fraction = Floats{} + 1.0f;
  if (BRIDGE) fraction = first_passage(b, b.gap, reached < 0.0f ? -reached : reached, p);
  for (int i = 0; i < WIDTH; i++) {
    if (!out[i]) continue;
    if (b.path[i] != NONE) {
      times[b.path[i]] = ((double)b.steps[i] - 1.0 + fraction[i]) * (double)p.dt;
      totals.useful += b.steps[i];
      b.live--;
    }
    refill(b, i, queue, p);
    reached[i] = b.gap[i];
  }
  b.gap = reached;
}

template <bool BRIDGE>
static void work(const Problem& p, Queue& queue, double* times, Totals& totals) {
  constexpr int BLOCKS = 2, ROUND = 256;
  Block blocks[BLOCKS];
  for (Block& b : blocks)
    for (int i = 0; i < WIDTH; i++) b.low[i] = b.high[i] = 0, refill(b, i, queue, p);
  const float dt = p.dt, rho = p.rho, level = p.level, scale = p.s * std::sqrt(p.dt);
  const float rate = -2.0f / (p.s * p.s * p.dt);
  Totals mine;
  for (bool live = true; live;) {
    live = false;
    for (Block& b : blocks) {
      for (int step = 0; step < ROUND; step++) {
        Normals z = normal_pair(random_words(b.low, b.high, b.steps));
        Floats gx = b.x * (b.x * b.x - 1.0f);
        Floats px = b.x + rho * gx, py = b.y + rho * b.y;
        b.x = b.x - dt * (px * (px * px - 1.0f)) + scale * z.x;
        b.y = b.y - dt * py + scale * z.y;
        b.steps += 1;
        Floats reached = level - b.x;
        Ints out = reached <= 0.0f;
        if (BRIDGE) {
          Floats exponent = rate * (b.gap * reached);
          if (any(exponent > -18.0f)) {  // below, 1 - exp is 1 in float32
            exponent = exponent < 0.0f ? exponent : Floats{};
            b.life *= 1.0f - exponential(exponent);
            out |= b.life < 1.0f;
          }
        }
        if (__builtin_expect(any(out), 0))
          retire<BRIDGE>(b, out, reached, queue, p, times, mine);
        else
          b.gap = reached;
      }
      mine.made += ROUND * WIDTH;
      live |= b.live > 0;
    }
  }
  totals = mine;
}

int main(int count, char** argument) {
  if (count < 10) return std::fprintf(stderr, "see the head of the source for the arguments\n"), 2;
  Problem p;
  for (int i = 0; i < 2; i++) p.seed[i] = (uint32_t)std::strtoul(argument[1 + i], nullptr, 10);
  p.paths = (uint32_t)std::strtoul(argument[3], nullptr, 10);
  p.dt = std::strtof(argument[4], nullptr), p.s = std::strtof(argument[5], nullptr);
  p.rho = std::strtof(argument[6], nullptr), p.level = std::strtof(argument[7], nullptr);
  const bool bridge = std::atoi(argument[8]) != 0;
  const int threads = std::atoi(argument[9]);
  std::vector<double> times(p.paths);
  std::vector<Totals> totals(threads);
  Queue queue(p.paths);
  auto began = std::chrono::steady_clock::now();
  std::vector<std::thread> workers;
  for (int i = 0; i < threads; i++)
    workers.emplace_back([&, i] {
      (bridge ? work<true> : work<false>)(p, queue, times.data(), totals[i]);
    });
  for (std::thread& worker : workers) worker.join();
  std::chrono::duration<double> passed = std::chrono::steady_clock::now() - began;
  Totals all;
  for (const Totals& part : totals) all.useful += part.useful, all.made += part.made;
  double sum = 0, squares = 0;
  for (double t : times) sum += t, squares += t * t;
  const double mean = sum / p.paths, variance = squares / p.paths - mean * mean;
  std::printf(
      "{\"seconds\": %.6f, \"path_steps\": %llu, \"lane_steps\": %llu, \"mean\": %.9g, "
      "\"standard_error\": %.6g}\n",
      passed.count(), (unsigned long long)all.useful, (unsigned long long)all.made, mean,
      std::sqrt(variance / p.paths));
  if (count > 10) {
    FILE* file = std::fopen(argument[10], "wb");
    if (!file || std::fwrite(times.data(), sizeof(double), p.paths, file) != p.paths) return 1;
    std::fclose(file);
  }
}
