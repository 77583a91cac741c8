// Rotary positions: the angles are computed once for all layers, heads and steps.
#include <cmath>
#include <cstring>
#include <memory>
#include <mutex>
#include <shared_mutex>

#include "kernel.hpp"
#include "mlx/fast.h"
#include "vector.h"

namespace runner {
namespace {

// Cosines and sines of position * base^(-2i/dims) * scale for whole positions, computed once for all layers and steps.
class Angles {
 public:
  Angles(int dims, float base, float scale) : half_(dims / 2), base_(base), scale_(scale) {}
  bool fits(int dims, float base, float scale) const { return half_ == dims / 2 && base_ == base && scale_ == scale; }
  // Rows for positions 0 to `most`; pointers stay valid.
  void reach(int64_t most) {
    std::unique_lock lock(mutex_);
    while (static_cast<int64_t>(rows_.size()) <= most) {
      auto position = static_cast<float>(rows_.size()) * scale_;
      auto row = std::make_unique<float[]>(2 * half_);
      for (int i = 0; i < half_; i++) {
        // The same float arithmetic as mlx's fallback: exp(i * -log(base) / half).
        float frequency = std::exp(static_cast<float>(i) * (-std::log(base_) / static_cast<float>(half_)));
        row[i] = std::cos(position * frequency);
        row[half_ + i] = std::sin(position * frequency);
      }
      rows_.push_back(std::move(row));
    }
  }
  const float *row(int64_t position) {
    std::shared_lock lock(mutex_);
    return rows_[position].get();
  }

 private:
  int half_;
  float base_, scale_;
  std::shared_mutex mutex_;
  std::vector<std::unique_ptr<float[]>> rows_;
};

Angles &angles_for(int dims, float base, float scale) {
  static std::mutex mutex;
  static std::vector<std::unique_ptr<Angles>> known;
  std::lock_guard lock(mutex);
  for (auto &one : known) {
    if (one->fits(dims, base, scale)) {
      return *one;
    }
  }
  known.push_back(std::make_unique<Angles>(dims, base, scale));
  return *known.back();
}

// inputs: x (batch, heads, length, width), offset (one, or one a batch row; int32)
class Rope1 : public Kernel {
 public:
  Rope1(Stream stream, int dims, bool traditional, float base, float scale)
      : Kernel(stream), dims_(dims), traditional_(traditional), base_(base), scale_(scale) {}
  const char *name() const override { return "RunnerRope"; }
  bool is_equivalent(const Primitive &other) const override {
    const auto *o = dynamic_cast<const Rope1 *>(&other);
    return o != nullptr && dims_ == o->dims_ && traditional_ == o->traditional_ && base_ == o->base_ && scale_ == o->scale_;
  }
  void eval_cpu(const std::vector<array> &inputs, array &out) override {
    out.set_data(allocator::malloc(out.nbytes()));
    Angles &angles = angles_for(dims_, base_, scale_);
    dispatch([x = array::unsafe_weak_copy(inputs[0]), offset = array::unsafe_weak_copy(inputs[1]), to = out.data<float>(),
              &angles, dims = dims_, traditional = traditional_]() { turn(x, offset, to, angles, dims, traditional); });
  }

 private:
  static void turn(const array &x, const array &offset, float *to, Angles &angles, int dims, bool traditional) {
    Rows rows(x);
    std::vector<float> scratch, negative(dims);
    int64_t length = x.shape(-2), width = x.shape(-1), heads = x.shape(1);
    int64_t step = offset.size() == 1 ? 0 : offset.strides(0);
    const int32_t *first = offset.data<int32_t>();
    for (int64_t batch = 0; batch < x.shape(0); batch++) {
      int64_t start = first[batch * step];
      angles.reach(std::max(std::abs(start), std::abs(start + length)));
      for (int64_t head = 0; head < heads; head++) {
        for (int64_t at = 0; at < length; at++) {
          int64_t position = start + at;
          const float *cosines = angles.row(std::abs(position)), *sines = cosines + dims / 2;
          if (position < 0) {  // padding on the left: cos(-x) = cos(x), sin(-x) = -sin(x)
            for (int i = 0; i < dims / 2; i++) {
              negative[i] = -sines[i];
            }
            sines = negative.data();
          }
          size_t index = static_cast<size_t>((batch * heads + head) * length + at);
          const float *in = rows.row(index, scratch);
          float *target = to + index * width;
          runner_rotate(in, cosines, sines, target, dims, traditional);
          if (width > dims) {
            std::memcpy(target + dims, in + dims, (width - dims) * sizeof(float));
          }
        }
      }
    }
  }
  int dims_;
  bool traditional_;
  float base_, scale_;
};

}  // namespace
}  // namespace runner

namespace mlx::core::fast {

using namespace runner;

array rope(const array &x, int dims, bool traditional, std::optional<float> base, float scale, const array &offset,
           const std::optional<array> &freqs, StreamOrDevice s) {
  auto stream = to_stream(s);
  bool places = offset.dtype() == int32 && (offset.size() == 1 || (offset.ndim() == 1 && offset.shape(0) == x.shape(0)));
  bool known = base && !freqs && x.ndim() == 4 && dims > 0 && dims % 2 == 0 && dims <= x.shape(-1) && places;
  if (!known || !ours(x, stream) || x.size() == 0) {
    using Own = array (*)(const array &, int, bool, std::optional<float>, float, const array &, const std::optional<array> &,
                          StreamOrDevice);
    static auto own = mlx_own<Own>(&rope);
    return own(x, dims, traditional, base, scale, offset, freqs, s);
  }
  return array(x.shape(), float32, std::make_shared<Rope1>(stream, dims, traditional, *base, scale), {x, offset});
}

}  // namespace mlx::core::fast
