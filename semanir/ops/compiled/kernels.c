/* The dictionary's selection and the attention over it, window by window, for the inference of small models on a CPU.
 *
 * PyTorch passes over all N x N scores of many windows once for each of a dozen operators; here a row of scores is made,
 * used and forgotten within the first cache. Shapes: M windows, H heads, N tokens per window, d channels per head; what
 * is computed is tested against the same references as every other way. Called without Python's lock, by several
 * threads at once. Results: 0, NO_MEMORY or NOT_FINITE.
 */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

enum { LANES = 8, PATIENCE = 32, FEW = 6, OK = 0, NO_MEMORY = 1, NOT_FINITE = 2 };

INLINE int64_t padded(int64_t count) { return (count + LANES - 1) / LANES * LANES; }

#define NAMED(name) name##_anywhere
#include "window.h"

#if !defined(NO_AVX2) && defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define HAS_AVX2 (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
#pragma GCC push_options
#pragma GCC target("avx2,fma,bmi,popcnt")
#define NAMED(name) name##_avx2
#define FLAGS_OF(flags) __builtin_ia32_movmskps256((vec)(flags))
#include "window.h"
#pragma GCC pop_options
#else
#define HAS_AVX2 0
#define select_avx2 select_anywhere
#define attend_avx2 attend_anywhere
#endif

/* Another number for every change of what the functions below take or mean: library.py compares it. */
int semanir_kernels(void) { return 1; }

/* scores (M, N, N), labels (M, N) or NULL, k -> words (M, N, ceil(N / 32)). NOT_FINITE if a score is not. */
int semanir_select(const float *scores, const int32_t *labels, int64_t num_windows, int64_t n, int64_t k,
                   uint32_t *words) {
    return (HAS_AVX2 ? select_avx2 : select_anywhere)(scores, labels, num_windows, n, k, words);
}

/* query, key, value: (M, H, N, d) by their strides for M, H, N, in numbers; that of d is 1. words (M, N, ceil(N / 32)),
 * scale (H), bias (H, N, N) -> out (M, N, H, d). */
int semanir_attend(const float *query, const float *key, const float *value, const int64_t *strides,
                   const uint32_t *words, const float *scale, const float *bias, int64_t num_windows,
                   int64_t num_heads, int64_t n, int64_t d, float *out) {
    return (HAS_AVX2 ? attend_avx2 : attend_anywhere)(query, key, value, strides, words, scale, bias, num_windows,
                                                      num_heads, n, d, out);
}
