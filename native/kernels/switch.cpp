// What runner/engine/kernels.py calls: the version of mlx this was built for, the switch, and a counter.
//
// The Python module of mlx calls mlx::core::fast::scaled_dot_product_attention, rope, rms_norm, and mlx::core::sigmoid, multiply
// and logsumexp through the dynamic linker. A library opened with RTLD_GLOBAL before `import mlx.core` wins that look-up (the shim
// in native/blas does the same), so this folder defines those names. What a kernel does not know (another dtype, device, shape or
// mode) goes on to mlx's own function. Nothing inside libmlx is changed. On macOS none of this exists.
#include <string>

#include "kernel.hpp"
#include "mlx/version.h"

namespace runner {
std::atomic<int> switched_on{0};
std::atomic<uint64_t> made{0};
}  // namespace runner

extern "C" const char *runner_kernels_mlx_version(void) {
  static const std::string text = std::to_string(MLX_VERSION_MAJOR) + "." + std::to_string(MLX_VERSION_MINOR) + "." +
                                  std::to_string(MLX_VERSION_PATCH);
  return text.c_str();
}

extern "C" void runner_kernels_switch(int on) { runner::switched_on.store(on); }

// Primitives made so far: tells that calls really arrive here.
extern "C" uint64_t runner_kernels_made(void) { return runner::made.load(); }
