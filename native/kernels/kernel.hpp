// What the kernels have in common: the switch, mlx's own functions, rows of any array, a primitive of one output.
#pragma once
#include <dlfcn.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "mlx/allocator.h"
#include "mlx/array.h"
#include "mlx/backend/cpu/encoder.h"
#include "mlx/ops.h"
#include "mlx/primitives.h"
#include "mlx/utils.h"

namespace runner {

using namespace mlx::core;

extern std::atomic<int> switched_on;
extern std::atomic<uint64_t> made;

// mlx's own function of the same name as `function`, which is one of ours.
template <typename F>
F mlx_own(F function) {
  Dl_info info;
  if (dladdr(reinterpret_cast<void *>(function), &info) == 0 || info.dli_sname == nullptr) {
    throw std::runtime_error("a function of librunner_kernels has no name");
  }
  void *found = dlsym(RTLD_NEXT, info.dli_sname);
  if (found == nullptr) {
    throw std::runtime_error(std::string("mlx has no ") + info.dli_sname);
  }
  return reinterpret_cast<F>(found);
}

inline bool ours(const array &x, const Stream &stream) {
  return switched_on.load(std::memory_order_relaxed) != 0 && x.dtype() == float32 && stream.device == Device::cpu;
}

// A row of the last axis; the elements of a row may lie apart, then they are gathered into `scratch`.
class Rows {
 public:
  explicit Rows(const array &x) : data_(x.data<float>()), shape_(x.shape()), strides_(x.strides()) {
    width_ = x.ndim() == 0 ? 1 : static_cast<size_t>(x.shape(-1));
    inner_ = x.ndim() == 0 ? 1 : x.strides(-1);
    whole_ = x.flags().row_contiguous;
  }
  size_t width() const { return width_; }
  bool whole() const { return whole_; }
  const float *row(size_t index, std::vector<float> &scratch) const {
    const float *from = data_ + start(index);
    if (inner_ == 1 || width_ <= 1) {
      return from;
    }
    scratch.resize(width_);
    for (size_t i = 0; i < width_; i++) {
      scratch[i] = from[static_cast<int64_t>(i) * inner_];
    }
    return scratch.data();
  }

 private:
  int64_t start(size_t index) const {
    if (whole_) {
      return static_cast<int64_t>(index * width_);
    }
    int64_t at = 0;
    for (int axis = static_cast<int>(shape_.size()) - 2; axis >= 0; axis--) {
      auto size = static_cast<size_t>(shape_[axis]);
      at += static_cast<int64_t>(index % size) * strides_[axis];
      index /= size;
    }
    return at;
  }
  const float *data_;
  Shape shape_;
  Strides strides_;
  size_t width_;
  int64_t inner_;
  bool whole_;
};

// One output; eval_gpu is never reached, because these are made for CPU streams alone.
class Kernel : public UnaryPrimitive {
 public:
  explicit Kernel(Stream stream) : UnaryPrimitive(stream) { made.fetch_add(1, std::memory_order_relaxed); }
  using UnaryPrimitive::eval_cpu;
  using UnaryPrimitive::eval_gpu;
  void eval_gpu(const std::vector<array> &, array &) override { throw std::runtime_error("a CPU kernel on a GPU stream"); }
  std::vector<Shape> output_shapes(const std::vector<array> &inputs) override { return {inputs[0].shape()}; }

 protected:
  // Runs `work` on the stream when its inputs are there. Arrays that it uses are captured by value in it.
  template <typename Work>
  void dispatch(Work work) {
    cpu::get_command_encoder(stream()).dispatch(std::move(work));
  }
};

inline size_t rows_of(const array &x) { return x.ndim() == 0 ? 1 : x.size() / static_cast<size_t>(std::max(x.shape(-1), 1)); }

}  // namespace runner
