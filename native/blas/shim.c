/* The three CBLAS symbols that libmlx imports, forwarded to scipy-openblas32, whose symbols carry a scipy_ prefix.
 *
 * The mlx-cpu wheel for Linux links netlib's reference BLAS (3 to 5 GFLOP/s). A library opened with RTLD_GLOBAL before
 * libmlx wins the symbol look-up, so this file replaces those three and nothing else. Products with one row or one column go
 * to gemv: OpenBLAS on x86 does not forward them, and its gemm spends a third of a decode step on packing the weights
 * (docs/measurements.md). Opened by runner/engine/blas.py; built by build.rs; not used on macOS, where mlx has Accelerate.
 *
 * runner_blas_open must succeed before any product: until then a call aborts, since a wrong result would be worse.
 */
#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROW_MAJOR = 101, NO_TRANS = 111, TRANS = 112 };

typedef void (*sgemm_fn)(int, int, int, int, int, int, float, const float *, int, const float *, int, float, float *, int);
typedef void (*dgemm_fn)(int, int, int, int, int, int, double, const double *, int, const double *, int, double, double *, int);
typedef void (*cgemm_fn)(int, int, int, int, int, int, const void *, const void *, int, const void *, int, const void *, void *, int);
typedef void (*sgemv_fn)(int, int, int, int, float, const float *, int, const float *, int, float, float *, int);

static sgemm_fn real_sgemm;
static dgemm_fn real_dgemm;
static cgemm_fn real_cgemm;
static sgemv_fn real_sgemv;

/* Opens the library at `path` and finds the four functions. 0 = ready, 1 = cannot open, 2 = a function is missing. */
int runner_blas_open(const char *path)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        return 1;
    }
    sgemm_fn sgemm = (sgemm_fn)dlsym(library, "scipy_cblas_sgemm");
    dgemm_fn dgemm = (dgemm_fn)dlsym(library, "scipy_cblas_dgemm");
    cgemm_fn cgemm = (cgemm_fn)dlsym(library, "scipy_cblas_cgemm");
    sgemv_fn sgemv = (sgemv_fn)dlsym(library, "scipy_cblas_sgemv");
    if (sgemm == NULL || dgemm == NULL || cgemm == NULL || sgemv == NULL) {
        return 2;
    }
    real_sgemm = sgemm;
    real_dgemm = dgemm;
    real_cgemm = cgemm;
    real_sgemv = sgemv;
    return 0;
}

static void need(const void *function)
{
    if (function == NULL) {
        fputs("runner_blas: a matrix product before runner_blas_open\n", stderr);
        abort();
    }
}

void cblas_sgemm(int order, int trans_a, int trans_b, int m, int n, int k, float alpha, const float *a, int lda, const float *b,
                 int ldb, float beta, float *c, int ldc)
{
    need((const void *)real_sgemm);
    /* gemv returns without touching c when k is 0 where gemm scales it by beta: leave that case to gemm. */
    if (order == ROW_MAJOR && m == 1 && k > 0) {
        /* c (1, n) = a (1, k) op(b) (k, n), so c = op(b)^T a; b is stored (k, n), or (n, k) when transposed. */
        int stride_a = trans_a == NO_TRANS ? 1 : lda;
        if (trans_b == NO_TRANS) {
            real_sgemv(ROW_MAJOR, TRANS, k, n, alpha, b, ldb, a, stride_a, beta, c, 1);
        } else {
            real_sgemv(ROW_MAJOR, NO_TRANS, n, k, alpha, b, ldb, a, stride_a, beta, c, 1);
        }
        return;
    }
    if (order == ROW_MAJOR && n == 1 && k > 0) {
        /* c (m, 1) = op(a) (m, k) b (k, 1); c and an untransposed b are columns with their leading dimension as stride. */
        int stride_b = trans_b == NO_TRANS ? ldb : 1;
        if (trans_a == NO_TRANS) {
            real_sgemv(ROW_MAJOR, NO_TRANS, m, k, alpha, a, lda, b, stride_b, beta, c, ldc);
        } else {
            real_sgemv(ROW_MAJOR, TRANS, k, m, alpha, a, lda, b, stride_b, beta, c, ldc);
        }
        return;
    }
    real_sgemm(order, trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

void cblas_dgemm(int order, int trans_a, int trans_b, int m, int n, int k, double alpha, const double *a, int lda, const double *b,
                 int ldb, double beta, double *c, int ldc)
{
    need((const void *)real_dgemm);
    real_dgemm(order, trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

void cblas_cgemm(int order, int trans_a, int trans_b, int m, int n, int k, const void *alpha, const void *a, int lda, const void *b,
                 int ldb, const void *beta, void *c, int ldc)
{
    need((const void *)real_cgemm);
    real_cgemm(order, trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
