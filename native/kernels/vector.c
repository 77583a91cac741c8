/* Float32 rows: exp, softmax, SwiGLU, RMSNorm, rotation.
 *
 * The x86 build of mlx-cpu computes exp one number at a time, which was a third of the time of a prefill
 * (docs/measurements.md). Plain C that the
 * compiler vectorises; on x86-64 each function is compiled for AVX-512, AVX2 and the baseline, and the loader takes what
 * the processor has. What is not here: memory, threads, matrix products (BLAS), mlx (the .cpp files).
 *
 * exp: exp(x) = 2^n * exp(r), n = round(x / ln 2), r in [-0.35, 0.35], a polynomial of degree 6 (Cephes' expf, S. Moshier):
 * at most 2 units in the last place from the true value. Below -87.33 it is 0, where the exact value is denormal or 0.
 */
#include "vector.h"

#include <float.h>
#include <math.h>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__linux__)
#define EACH_PROCESSOR __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define EACH_PROCESSOR
#endif
#define INLINE static inline __attribute__((always_inline))

INLINE float exp_of(float x)
{
    const float most = 88.72283f, least = -87.33654f, rounding = 12582912.0f; /* 1.5 * 2^23 */
    float bounded = x > most ? most : x;
    bounded = bounded < least ? least : bounded; /* NaN fails both and stays */
    union {
        float value;
        uint32_t bits;
    } shifted = {bounded * 1.44269504088896341f + rounding};
    float n = shifted.value - rounding;
    float r = bounded - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    /* 2^n in two factors: n reaches 128, and 2^128 has no float. The unit of `shifted` is 1, so that its bits hold n; a
       conversion would not be defined for NaN. */
    int32_t whole = (int32_t)(shifted.bits - 0x4B400000u);
    int32_t half = whole >> 1;
    union {
        uint32_t bits;
        float value;
    } low = {(uint32_t)(half + 127) << 23}, high = {(uint32_t)(whole - half + 127) << 23};
    float result = p * low.value * high.value;
    result = x < least ? 0.0f : result;
    return x > most ? INFINITY : result;
}

EACH_PROCESSOR void runner_sigmoid(const float *in, float *out, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        out[i] = 1.0f / (1.0f + exp_of(-in[i]));
    }
}

EACH_PROCESSOR void runner_swiglu(const float *gate, const float *up, float *out, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        float g = gate[i];
        out[i] = g / (1.0f + exp_of(-g)) * up[i];
    }
}

EACH_PROCESSOR void runner_rms_norm(const float *in, const float *weight, size_t weight_stride, float epsilon, float *out,
                                    size_t width)
{
    float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < width; i++) {
        sum += in[i] * in[i];
    }
    float scale = 1.0f / sqrtf(sum / (float)width + epsilon);
    if (weight == NULL) {
        for (size_t i = 0; i < width; i++) {
            out[i] = in[i] * scale;
        }
    } else if (weight_stride == 1) {
        for (size_t i = 0; i < width; i++) {
            out[i] = in[i] * scale * weight[i];
        }
    } else {
        for (size_t i = 0; i < width; i++) {
            out[i] = in[i] * scale * weight[i * weight_stride];
        }
    }
}

/* The largest; NaN when there is one, since a comparison alone would pass over it. */
INLINE float largest_of(const float *in, size_t count)
{
    float most = -INFINITY, poison = 0.0f;
#pragma omp simd reduction(max : most) reduction(+ : poison)
    for (size_t i = 0; i < count; i++) {
        most = in[i] > most ? in[i] : most;
        poison += in[i] != in[i] ? 1.0f : 0.0f;
    }
    return poison > 0.0f ? NAN : most;
}

EACH_PROCESSOR float runner_logsumexp(const float *in, size_t count)
{
    float most = largest_of(in, count);
    if (isinf(most) || most != most) {
        return most; /* all -inf, one +inf, or NaN */
    }
    float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < count; i++) {
        sum += exp_of(in[i] - most);
    }
    return logf(sum) + most;
}

EACH_PROCESSOR void runner_softmax(float *scores, const uint8_t *keep, const float *add, size_t count)
{
    if (keep != NULL) {
        for (size_t i = 0; i < count; i++) {
            scores[i] = keep[i] != 0 ? scores[i] : -FLT_MAX;
        }
    }
    if (add != NULL) {
        for (size_t i = 0; i < count; i++) {
            scores[i] += add[i];
        }
    }
    float most = largest_of(scores, count), sum = 0.0f;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < count; i++) {
        float part = exp_of(scores[i] - most);
        scores[i] = part;
        sum += part;
    }
    float inverse = 1.0f / sum;
    for (size_t i = 0; i < count; i++) {
        scores[i] *= inverse;
    }
}

EACH_PROCESSOR void runner_rotate(const float *in, const float *cosines, const float *sines, float *out, size_t dims,
                                  int traditional)
{
    size_t half = dims / 2;
    if (traditional) {
        for (size_t i = 0; i < half; i++) {
            float a = in[2 * i], b = in[2 * i + 1];
            out[2 * i] = a * cosines[i] - b * sines[i];
            out[2 * i + 1] = a * sines[i] + b * cosines[i];
        }
        return;
    }
    for (size_t i = 0; i < half; i++) {
        float a = in[i], b = in[i + half];
        out[i] = a * cosines[i] - b * sines[i];
        out[i + half] = a * sines[i] + b * cosines[i];
    }
}
