/* The arithmetic of a model step that is not a matrix product, over plain float32 rows; see vector.c. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* out[i] = silu(gate[i]) * up[i]; out may be gate or up. */
void runner_swiglu(const float *gate, const float *up, float *out, size_t count);

/* out[i] = 1 / (1 + exp(-in[i])); out may be in. */
void runner_sigmoid(const float *in, float *out, size_t count);

/* out = in / sqrt(mean(in^2) + epsilon) * weight; weight NULL stands for ones; weight_stride 0 repeats one weight. */
void runner_rms_norm(const float *in, const float *weight, size_t weight_stride, float epsilon, float *out, size_t width);

/* log(sum(exp(in))), by the largest element, so that nothing overflows. */
float runner_logsumexp(const float *in, size_t count);

/* In place: softmax of a row of scores. keep NULL or count bytes; a score whose byte is 0 becomes -FLT_MAX first, so a
 * row without any kept score is uniform, as mlx has it. add NULL or count floats that are added first. */
void runner_softmax(float *scores, const uint8_t *keep, const float *add, size_t count);

/* Rotates one head of `dims` elements by cosines and sines of dims/2 angles. Not traditional: element i goes with i +
 * dims/2; traditional: 2i goes with 2i + 1. out may be in. */
void runner_rotate(const float *in, const float *cosines, const float *sines, float *out, size_t dims, int traditional);

#ifdef __cplusplus
}
#endif
