/* What the kernels do, for the instructions that the including file has chosen; NAMED(x) is x's name for them. */

typedef float NAMED(vec) __attribute__((vector_size(4 * LANES)));
typedef int32_t NAMED(ivec) __attribute__((vector_size(4 * LANES)));
#define vec NAMED(vec)
#define ivec NAMED(ivec)

INLINE vec NAMED(load)(const float *from) {
    vec value;
    memcpy(&value, from, sizeof value);
    return value;
}
#define load NAMED(load)

INLINE void NAMED(store)(float *to, vec value) { memcpy(to, &value, sizeof value); }
#define store NAMED(store)

INLINE vec NAMED(chosen)(ivec which, vec yes, vec no) { return (vec)(((ivec)yes & which) | ((ivec)no & ~which)); }
#define chosen NAMED(chosen)

INLINE float NAMED(sum)(vec a) { return ((a[0] + a[4]) + (a[1] + a[5])) + ((a[2] + a[6]) + (a[3] + a[7])); }
#define sum NAMED(sum)

/* ------------------------------------------------------------------ selection */

/* How many of x are at least the threshold. */
INLINE int32_t NAMED(count_from)(const float *x, int64_t n, float threshold) {
    int32_t count = 0;
    int64_t j = 0;
#ifdef FLAGS_OF
    for (; j + LANES <= n; j += LANES) count += __builtin_popcount((unsigned)FLAGS_OF(load(x + j) >= threshold));
#endif
    for (; j < n; j++) count += x[j] >= threshold;
    return count;
}
#define count_from NAMED(count_from)

/* The least and the most of x; 0 if not all are finite. */
INLINE int NAMED(bounds)(const float *x, int64_t n, float *least, float *most) {
    vec low = {0}, high = {0}, wrong = {0};
    int64_t j = 0;
    low += INFINITY;
    high -= INFINITY;
    for (; j + LANES <= n; j += LANES) {
        vec part = load(x + j);
        low = chosen(part < low, part, low);
        high = chosen(part > high, part, high);
        wrong += part - part; /* 0, or not a number */
    }
    float odd = sum(wrong);
    *least = INFINITY, *most = -INFINITY;
    for (int lane = 0; lane < LANES; lane++) {
        *least = low[lane] < *least ? low[lane] : *least;
        *most = high[lane] > *most ? high[lane] : *most;
    }
    for (; j < n; j++) {
        *least = x[j] < *least ? x[j] : *least;
        *most = x[j] > *most ? x[j] : *most;
        odd += x[j] - x[j];
    }
    return odd == 0;
}

/* The k-th largest of x, and how many of its equals belong to the k largest. Slow, and right for whatever is finite. */
static float NAMED(kth_by_rounds)(const float *x, int64_t n, int64_t k, int64_t *equals) {
    float below = INFINITY;
    int64_t above = 0;
    for (;;) {
        float most = -INFINITY;
        int64_t count = 0;
        for (int64_t j = 0; j < n; j++)
            if (x[j] < below && x[j] > most) most = x[j];
        for (int64_t j = 0; j < n; j++) count += x[j] == most;
        if (above + count >= k || count == 0) {
            *equals = k - above;
            return most;
        }
        above += count;
        below = most;
    }
}

/* The same by narrowing: a value that exactly k are no smaller than is as good as the k-th largest itself.
 * More than k of x, ``allowed``, lie between least and most; the others are smaller. guess: how far between the two
 * that of the row before lay, which is where to look first; then this row's. */
INLINE float NAMED(threshold)(const float *x, int64_t n, int64_t k, int64_t allowed, float least, float most,
                              int64_t *equals, float *guess) {
    int32_t at_least = (int32_t)allowed, at_most = count_from(x, n, most), wanted = (int32_t)k;
    *equals = n;
    if (at_most >= wanted) {
        if (at_most > wanted) *equals = k;
        return most;
    }
    float low = least, high = most, share = *guess;
    for (int round = 0; round < PATIENCE; round++) {
        float middle = low + (high - low) * share;
        if (!(middle > low && middle < high)) middle = low + (high - low) * 0.5f;
        if (!(middle > low && middle < high)) break;
        int32_t count = count_from(x, n, middle);
        if (count == wanted) {
            *guess = (middle - least) / (most - least);
            return middle;
        }
        int many = count > wanted;
        low = many ? middle : low;
        high = many ? high : middle;
        at_least = many ? count : at_least;
        at_most = many ? at_most : count;
        /* A straight line between the two counts, but every third time the middle, which cannot be far off for long. */
        share = round % 3 == 2 ? 0.5f : ((float)(at_least - wanted) + 0.5f) / (float)(at_least - at_most + 1);
    }
    return NAMED(kth_by_rounds)(x, n, k, equals);
}

/* Bit j: x[j] is above the threshold, or one of its first equals. */
INLINE void NAMED(set_bits)(const float *x, int64_t n, float threshold, int64_t equals, uint32_t *words) {
    for (int64_t start = 0; start < n; start += 32) {
        uint32_t word = 0;
        int64_t count = n - start < 32 ? n - start : 32, j = 0;
        if (equals < n)
            for (; j < count; j++) {
                int equal = x[start + j] == threshold && equals > 0;
                equals -= equal;
                word |= (uint32_t)(x[start + j] > threshold || equal) << j;
            }
#ifdef FLAGS_OF
        for (; j + LANES <= count; j += LANES) word |= (uint32_t)FLAGS_OF(load(x + start + j) >= threshold) << j;
#endif
        for (; j < count; j++) word |= (uint32_t)(x[start + j] >= threshold) << j;
        words[start / 32] = word;
    }
}

static int NAMED(select)(const float *scores, const int32_t *labels, int64_t num_windows, int64_t n, int64_t k,
                         uint32_t *words) {
    int64_t num_words = (n + 31) / 32;
    float *row = malloc((size_t)n * sizeof *row), least, most, guess = 0.5f;
    if (!row) return NO_MEMORY;
    int result = OK;
    for (int64_t window = 0; window < num_windows && result == OK; window++) {
        const int32_t *label = labels ? labels + window * n : NULL;
        int divided = 0;
        if (label)
            for (int64_t j = 0; j < n; j++) divided |= label[j] != label[0];
        for (int64_t i = 0; i < n; i++) {
            const float *x = scores + (window * n + i) * n;
            int64_t allowed = n, equals = n;
            if (!NAMED(bounds)(x, n, &least, &most)) {
                result = NOT_FINITE;
                break;
            }
            if (divided) {
                allowed = 0;
                least = INFINITY, most = -INFINITY;
                for (int64_t j = 0; j < n; j++) {
                    int same = label[j] == label[i];
                    allowed += same;
                    row[j] = same ? x[j] : -INFINITY;
                    most = row[j] > most ? row[j] : most;
                }
                for (int64_t j = 0; j < n; j++) least = label[j] == label[i] && x[j] < least ? x[j] : least;
                x = row;
            }
            float kth = allowed <= k ? least : NAMED(threshold)(x, n, k, allowed, least, most, &equals, &guess);
            NAMED(set_bits)(x, n, kth, equals, words + (window * n + i) * num_words);
        }
    }
    free(row);
    return result;
}

/* ------------------------------------------------------------------ attention */

/* exp(x) for x <= 0, to two units in the last place: Cody and Waite's reduction, the polynomial of Cephes' expf. */
INLINE vec NAMED(exponential)(vec x) {
    vec least = {0};
    least -= 87.3f;
    x = chosen(x < least, least, x); /* what is not a number stays so */
    ivec power = __builtin_convertvector(x * 1.44269504f - 0.5f, ivec); /* the nearest: what is cut off lies above */
    vec n = __builtin_convertvector(power, vec);
    vec r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    vec y = r * 1.9875691500e-4f + 1.3981999507e-3f;
    y = y * r + 8.3334519073e-3f;
    y = y * r + 4.1665795894e-2f;
    y = y * r + 1.6666665459e-1f;
    y = y * r + 5.0000001201e-1f;
    y = y * (r * r) + r + 1.0f;
    return y * (vec)((power + 127) << 23);
}

/* 1 / max(|x|, 1e-12), as torch.nn.functional.normalize has it. */
INLINE float NAMED(inverse_norm)(const float *x, int64_t d) {
    vec squares = {0};
    int64_t c = 0;
    for (; c + LANES <= d; c += LANES) squares += load(x + c) * load(x + c);
    float total = sum(squares);
    for (; c < d; c++) total += x[c] * x[c];
    return 1.0f / fmaxf(sqrtf(total), 1e-12f);
}

/* scores[0..n) = query . keys, keys (d, n) with n a multiple of LANES. */
INLINE void NAMED(products)(const float *query, const float *keys, int64_t n, int64_t d, float *scores) {
    int64_t j = 0;
    for (; j + 8 * LANES <= n; j += 8 * LANES) {
        vec sums[8] = {{0}};
        for (int64_t c = 0; c < d; c++) {
            const float *key = keys + c * n + j;
#pragma GCC unroll 8
            for (int u = 0; u < 8; u++) sums[u] += query[c] * load(key + u * LANES);
        }
#pragma GCC unroll 8
        for (int u = 0; u < 8; u++) store(scores + j + u * LANES, sums[u]);
    }
    for (; j < n; j += LANES) {
        vec sums = {0};
        for (int64_t c = 0; c < d; c++) sums += query[c] * load(keys + c * n + j);
        store(scores + j, sums);
    }
}

/* a . b, d a multiple of LANES. */
INLINE float NAMED(product)(const float *a, const float *b, int64_t d) {
    vec sums = {0};
    for (int64_t c = 0; c < d; c += LANES) sums += load(a + c) * load(b + c);
    return sum(sums);
}

/* out[0..d) = sum of weights[t] * values[index[t]], values (N, d) with d a multiple of LANES. */
INLINE void NAMED(weighted)(const float *weights, const int32_t *index, int64_t count, const float *values, int64_t d,
                            float *out) {
    for (int64_t c = 0; c < d; c += 2 * LANES) {
        vec a = {0}, b = {0}, a2 = {0}, b2 = {0}; /* sums of even and odd t: neither waits for the other */
        int64_t more = c + LANES < d ? LANES : 0, t = 0;
        for (; t + 2 <= count; t += 2) {
            const float *value = values + index[t] * d + c, *next = values + index[t + 1] * d + c;
            a += weights[t] * load(value);
            b += weights[t] * load(value + more);
            a2 += weights[t + 1] * load(next);
            b2 += weights[t + 1] * load(next + more);
        }
        if (t < count) {
            const float *value = values + index[t] * d + c;
            a += weights[t] * load(value);
            b += weights[t] * load(value + more);
        }
        store(out + c, a + a2);
        if (more) store(out + c + LANES, b + b2);
    }
}

/* weights = exp(x - max x) of the first count; there is room up to the next multiple of LANES. Returns their sum. */
INLINE float NAMED(exponentials)(float *x, int64_t count) {
    vec high = {0}, sums = {0};
    high -= INFINITY;
    for (int64_t t = count; t < padded(count); t++) x[t] = -INFINITY;
    for (int64_t t = 0; t < count; t += LANES) high = chosen(load(x + t) > high, load(x + t), high);
    float most = high[0];
    for (int lane = 1; lane < LANES; lane++) most = high[lane] > most ? high[lane] : most;
    for (int64_t t = 0; t < count; t += LANES) {
        vec e = NAMED(exponential)(load(x + t) - most);
        store(x + t, e);
        sums += e;
    }
    float total = sum(sums);
    for (int64_t t = count; t < padded(count); t++) total -= x[t]; /* exp(-87.3), not 0 */
    return total;
}

static int NAMED(attend)(const float *query, const float *key, const float *value, const int64_t *strides,
                         const uint32_t *words, const float *scale, const float *bias, int64_t num_windows,
                         int64_t num_heads, int64_t n, int64_t d, float *out) {
    int64_t keys = padded(n), channels = padded(d), num_words = (n + 31) / 32;
    size_t floats = (size_t)(keys * d + 2 * n * channels + 2 * channels + 2 * keys);
    float *memory = malloc(floats * sizeof(float) + (size_t)n * sizeof(int32_t));
    if (!memory) return NO_MEMORY;
    memset(memory, 0, floats * sizeof(float)); /* channels and keys beyond the last stay 0 */
    float *turned = memory, *rows = turned + keys * d, *values = rows + n * channels;
    float *unit = values + n * channels, *sums = unit + channels;
    float *scores = sums + channels, *weights = scores + keys;
    int32_t *index = (int32_t *)(weights + keys);
    uint32_t last = n % 32 ? (1u << n % 32) - 1 : ~0u;
    for (int64_t window = 0; window < num_windows; window++)
        for (int64_t head = 0; head < num_heads; head++) {
            const float *q = query + window * strides[0] + head * strides[1];
            const float *k = key + window * strides[3] + head * strides[4];
            const float *v = value + window * strides[6] + head * strides[7];
            for (int64_t j = 0; j < n; j++) {
                const float *from = k + j * strides[5];
                float factor = NAMED(inverse_norm)(from, d);
                for (int64_t c = 0; c < d; c++) turned[c * keys + j] = rows[j * channels + c] = from[c] * factor;
                memcpy(values + j * channels, v + j * strides[8], (size_t)d * sizeof(float));
            }
            for (int64_t i = 0; i < n; i++) {
                const float *from = q + i * strides[2], *row = bias + (head * n + i) * n;
                const uint32_t *kept = words + (window * n + i) * num_words;
                float factor = NAMED(inverse_norm)(from, d) * scale[head];
                for (int64_t c = 0; c < d; c++) unit[c] = from[c] * factor;
                int64_t count = 0;
                for (int64_t w = 0; w < num_words; w++)
                    for (uint32_t left = w + 1 < num_words ? kept[w] : kept[w] & last; left; left &= left - 1) {
                        int32_t j = (int32_t)(32 * w) + __builtin_ctz(left);
                        index[count++] = j;
                    }
                if (FEW * count <= n) {
                    for (int64_t t = 0; t < count; t++)
                        weights[t] = NAMED(product)(unit, rows + index[t] * channels, channels) + row[index[t]];
                } else {
                    NAMED(products)(unit, turned, keys, d, scores);
                    for (int64_t t = 0; t < count; t++) weights[t] = scores[index[t]] + row[index[t]];
                }
                float total = NAMED(exponentials)(weights, count);
                NAMED(weighted)(weights, index, count, values, channels, sums);
                float *to = out + ((window * n + i) * num_heads + head) * d;
                for (int64_t c = 0; c < d; c++) to[c] = sums[c] / total;
            }
        }
    free(memory);
    return OK;
}

#undef vec
#undef ivec
#undef load
#undef store
#undef chosen
#undef sum
#undef count_from
#undef FLAGS_OF
#undef NAMED
