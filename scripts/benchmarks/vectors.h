// Lanes of numbers: a few vectors of the processor side by side, with the operators of a number.
//
// Sixteen floats a vector with AVX-512, eight with AVX2, else four. Several vectors are advanced
// at once, so that one is computed while another waits. The compiler's own vectors do arithmetic;
// what it makes of roots, of halves and of questions about all lanes is slow, and done by hand.

#pragma once

#include <cmath>
#include <cstdint>
#include <type_traits>
#ifdef __SSE2__
#include <immintrin.h>
#endif

#if defined __AVX512F__ && defined __AVX512DQ__
#define WITH_512 1
constexpr int BYTES = 64;
#elif defined __AVX2__
#define WITH_256 1
constexpr int BYTES = 32;
#else
constexpr int BYTES = 16;
#endif

#define INLINE inline __attribute__((always_inline))

template <class T>
struct Native {
  typedef T type __attribute__((vector_size(BYTES)));
};

template <class T>
using Signed = std::conditional_t<sizeof(T) == 8, int64_t, int32_t>;

// N numbers of type T.
template <class T, int N>
struct Lanes {
  using Vector = typename Native<T>::type;
  static constexpr int PARTS = N * (int)sizeof(T) / BYTES;
  static constexpr int EACH = BYTES / (int)sizeof(T);
  static_assert(PARTS * EACH == N && N <= 64, "whole vectors, and a bit for each lane");
  Vector part[PARTS];

  Lanes() = default;
  INLINE Lanes(T value) {
    for (Vector& v : part) v = Vector{} + value;
  }
  INLINE T operator[](int lane) const { return part[lane / EACH][lane % EACH]; }
  INLINE void set(int lane, T value) { part[lane / EACH][lane % EACH] = value; }
};

// What a function makes of each vector of its arguments.
template <class T, int N, class Function, class... Rest>
INLINE auto each(Function function, const Lanes<T, N>& first, const Rest&... rest) {
  using Vector = decltype(function(first.part[0], rest.part[0]...));
  Lanes<std::decay_t<decltype(Vector{}[0])>, N> result;
#pragma GCC unroll 16
  for (int i = 0; i < Lanes<T, N>::PARTS; i++)
    result.part[i] = function(first.part[i], rest.part[i]...);
  return result;
}

// T, where it must not be found from what is given: a number may stand for as many equal ones.
template <class T>
using Number = std::common_type_t<T>;

#define OPERATOR(op)                                                                        \
  template <class T, int N>                                                                 \
  INLINE auto operator op(const Lanes<T, N>& a, const Lanes<T, N>& b) {                     \
    return each([](auto x, auto y) __attribute__((always_inline)) { return x op y; }, a, b); \
  }                                                                                         \
  template <class T, int N>                                                                 \
  INLINE auto operator op(const Lanes<T, N>& a, Number<T> b) {                              \
    return a op Lanes<T, N>(b);                                                             \
  }                                                                                         \
  template <class T, int N>                                                                 \
  INLINE auto operator op(Number<T> a, const Lanes<T, N>& b) {                              \
    return Lanes<T, N>(a) op b;                                                             \
  }
OPERATOR(+)
OPERATOR(-)
OPERATOR(*)
OPERATOR(/)
OPERATOR(^)
OPERATOR(&)
OPERATOR(<)
OPERATOR(>)
#undef OPERATOR

template <class T, int N>
INLINE Lanes<T, N> operator<<(const Lanes<T, N>& a, int by) {
  return each([by](auto x) __attribute__((always_inline)) { return x << by; }, a);
}

template <class T, int N>
INLINE Lanes<T, N> operator>>(const Lanes<T, N>& a, int by) {
  return each([by](auto x) __attribute__((always_inline)) { return x >> by; }, a);
}

template <class T, int N>
INLINE Lanes<T, N> select(const Lanes<Signed<T>, N>& which, const Lanes<T, N>& a,
                          const Lanes<T, N>& b) {
  return each([](auto w, auto x, auto y) __attribute__((always_inline)) { return w ? x : y; },
              which, a, b);
}

// The same bits as numbers of another type.
template <class U, class T, int N>
INLINE Lanes<U, N> bits_as(const Lanes<T, N>& a) {
  static_assert(sizeof(T) == sizeof(U), "as many bits");
  return each([](auto x) __attribute__((always_inline)) { return (typename Native<U>::type)x; },
              a);
}

// The same numbers in another type: floats and doubles, or whole numbers as floats.
template <class U, class T, int N>
INLINE Lanes<U, N> as(const Lanes<T, N>& a) {
  if constexpr (std::is_same_v<T, U>) {
    return a;
  } else if constexpr (sizeof(T) == sizeof(U)) {
    return each([](auto x) __attribute__((always_inline)) {
                  return __builtin_convertvector(x, typename Native<U>::type);
                }, a);
  } else {
    constexpr int FLOATS = N * 4 / BYTES;  // vectors of floats, each beside two of doubles
    Lanes<U, N> result;
#pragma GCC unroll 16
    for (int i = 0; i < FLOATS; i++) {
      if constexpr (sizeof(U) == 8) {
#if WITH_512
        result.part[2 * i] = _mm512_cvtps_pd(_mm512_castps512_ps256(a.part[i]));
        result.part[2 * i + 1] = _mm512_cvtps_pd(_mm512_extractf32x8_ps(a.part[i], 1));
#elif WITH_256
        result.part[2 * i] = _mm256_cvtps_pd(_mm256_castps256_ps128(a.part[i]));
        result.part[2 * i + 1] = _mm256_cvtps_pd(_mm256_extractf128_ps(a.part[i], 1));
#else
        for (int lane = 4 * i; lane < 4 * i + 4; lane++) result.set(lane, (U)a[lane]);
#endif
      } else {
#if WITH_512
        const __m512 low = _mm512_castps256_ps512(_mm512_cvtpd_ps(a.part[2 * i]));
        result.part[i] = _mm512_insertf32x8(low, _mm512_cvtpd_ps(a.part[2 * i + 1]), 1);
#elif WITH_256
        const __m256 low = _mm256_castps128_ps256(_mm256_cvtpd_ps(a.part[2 * i]));
        result.part[i] = _mm256_insertf128_ps(low, _mm256_cvtpd_ps(a.part[2 * i + 1]), 1);
#else
        for (int lane = 4 * i; lane < 4 * i + 4; lane++) result.set(lane, (U)a[lane]);
#endif
      }
    }
    return result;
  }
}

template <class T, int N>
INLINE Lanes<T, N> root(const Lanes<T, N>& a) {
  return each([](auto x) __attribute__((always_inline)) {
#if WITH_512
                if constexpr (sizeof(T) == 4) return (decltype(x))_mm512_sqrt_ps(x);
                else return (decltype(x))_mm512_sqrt_pd(x);
#elif WITH_256
                if constexpr (sizeof(T) == 4) return (decltype(x))_mm256_sqrt_ps(x);
                else return (decltype(x))_mm256_sqrt_pd(x);
#elif defined __SSE2__
                if constexpr (sizeof(T) == 4) return (decltype(x))_mm_sqrt_ps(x);
                else return (decltype(x))_mm_sqrt_pd(x);
#else
                for (int i = 0; i < BYTES / (int)sizeof(T); i++) x[i] = std::sqrt(x[i]);
                return x;
#endif
              }, a);
}

// How many of 32 bits are set: by a table of four bits, where there is no instruction for it.
template <int N>
INLINE Lanes<uint32_t, N> set_bits(const Lanes<uint32_t, N>& words) {
#if WITH_512 && defined __AVX512VPOPCNTDQ__
  return each([](auto x) __attribute__((always_inline)) {
                return (decltype(x))_mm512_popcnt_epi32((__m512i)x);
              }, words);
#elif WITH_512 && defined __AVX512BW__
  return each([](auto x) __attribute__((always_inline)) {
                const __m512i table = _mm512_broadcast_i32x4(
                    _mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
                const __m512i four = _mm512_set1_epi8(15);
                const __m512i low = (__m512i)x & four, high = (__m512i)(x >> 4) & four;
                const __m512i bytes = _mm512_add_epi8(_mm512_shuffle_epi8(table, low),
                                                      _mm512_shuffle_epi8(table, high));
                const __m512i pairs = _mm512_maddubs_epi16(bytes, _mm512_set1_epi8(1));
                return (decltype(x))_mm512_madd_epi16(pairs, _mm512_set1_epi16(1));
              }, words);
#elif WITH_256
  return each([](auto x) __attribute__((always_inline)) {
                const __m256i table = _mm256_broadcastsi128_si256(
                    _mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
                const __m256i four = _mm256_set1_epi8(15);
                const __m256i low = (__m256i)x & four, high = (__m256i)(x >> 4) & four;
                const __m256i bytes = _mm256_add_epi8(_mm256_shuffle_epi8(table, low),
                                                      _mm256_shuffle_epi8(table, high));
                const __m256i pairs = _mm256_maddubs_epi16(bytes, _mm256_set1_epi8(1));
                return (decltype(x))_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
              }, words);
#else
  Lanes<uint32_t, N> x = words - ((words >> 1) & 0x55555555u);
  x = (x & 0x33333333u) + ((x >> 2) & 0x33333333u);
  x = (x + (x >> 4)) & 0x0F0F0F0Fu;
  return (x * 0x01010101u) >> 24;
#endif
}

// Which lanes are not above a limit, one bit each; those that are no number are not.
template <class T, int N>
INLINE uint64_t not_above(const Lanes<T, N>& a, T limit) {
  uint64_t found = 0;
#pragma GCC unroll 16
  for (int i = 0; i < Lanes<T, N>::PARTS; i++) {
    uint64_t mask = 0;
#if WITH_512
    if constexpr (sizeof(T) == 4)
      mask = _mm512_cmp_ps_mask(a.part[i], _mm512_set1_ps(limit), _CMP_NGT_UQ);
    else
      mask = _mm512_cmp_pd_mask(a.part[i], _mm512_set1_pd(limit), _CMP_NGT_UQ);
#elif WITH_256
    if constexpr (sizeof(T) == 4)
      mask = (uint32_t)_mm256_movemask_ps(
          _mm256_cmp_ps(a.part[i], _mm256_set1_ps(limit), _CMP_NGT_UQ));
    else
      mask = (uint32_t)_mm256_movemask_pd(
          _mm256_cmp_pd(a.part[i], _mm256_set1_pd(limit), _CMP_NGT_UQ));
#else
    const auto which = ~(a.part[i] > limit);
    const auto halves = (typename Native<int64_t>::type)which;
    if (halves[0] | halves[1])  // seldom
      for (int lane = 0; lane < BYTES / (int)sizeof(T); lane++)
        mask |= (uint64_t)(which[lane] & 1) << lane;
#endif
    found |= mask << (i * Lanes<T, N>::EACH);
  }
  return found;
}
