// Attention of one head group at a time: scores of a tile of queries by one matrix product, softmax in place, the sum by a second.
//
// mlx's fallback makes an array of all scores, another of the masked ones, another of their exponentials.
#include <cstring>

#include "kernel.hpp"
#include "mlx/fast.h"
#include "vector.h"

extern "C" void cblas_sgemm(int order, int trans_a, int trans_b, int m, int n, int k, float alpha, const float *a, int lda,
                            const float *b, int ldb, float beta, float *c, int ldc);

namespace runner {
namespace {

enum { ROW_MAJOR = 101, NO_TRANS = 111, TRANS = 112 };

constexpr int64_t TILE_ROWS = 128;  // queries of all heads of one group in one product: the scores stay in the L2 cache

// A matrix of one head as rows of `ld` floats; gathered when its elements lie apart.
struct Head {
  const float *data;
  int ld;
};

Head head_of(const array &x, int64_t batch, int64_t head, std::vector<float> &scratch) {
  const float *from = x.data<float>() + batch * x.strides(0) + head * x.strides(1);
  int64_t length = x.shape(2), width = x.shape(3), across = x.strides(2), along = x.strides(3);
  if ((along == 1 || width == 1) && across >= width) {
    return {from, static_cast<int>(across)};
  }
  scratch.resize(length * width);
  for (int64_t t = 0; t < length; t++) {
    for (int64_t i = 0; i < width; i++) {
      scratch[t * width + i] = from[t * across + i * along];
    }
  }
  return {scratch.data(), static_cast<int>(width)};
}

// One row of the mask for (batch, head, query); null when there is none of this kind.
class Mask {
 public:
  Mask(const array *mask, bool causal, int64_t keys, int64_t queries) : causal_(causal), keys_(keys), queries_(queries) {
    if (mask != nullptr) {
      data_ = mask->data<uint8_t>();
      boolean_ = mask->dtype() == bool_;
      for (int axis = 0; axis < 4; axis++) {
        int own = axis - 4 + static_cast<int>(mask->ndim());
        strides_[axis] = own < 0 || mask->shape(own) == 1 ? 0 : mask->strides(own);
      }
    }
  }
  void soften(float *scores, int64_t batch, int64_t head, int64_t query, std::vector<uint8_t> &keep, std::vector<float> &add) {
    int64_t count = causal_ ? std::min(keys_, keys_ - queries_ + query + 1) : keys_;
    if (causal_ && count < keys_) {
      std::memset(scores + count, 0, (keys_ - count) * sizeof(float));
    }
    if (data_ == nullptr) {
      runner_softmax(scores, nullptr, nullptr, count);
      return;
    }
    int64_t start = batch * strides_[0] + head * strides_[1] + query * strides_[2];
    if (boolean_) {
      runner_softmax(scores, line(data_ + start, keep, count), nullptr, count);
    } else {
      runner_softmax(scores, nullptr, line(reinterpret_cast<const float *>(data_) + start, add, count), count);
    }
  }

 private:
  template <typename T>
  const T *line(const T *from, std::vector<T> &scratch, int64_t count) const {
    if (strides_[3] == 1) {
      return from;
    }
    scratch.resize(count);
    for (int64_t t = 0; t < count; t++) {
      scratch[t] = from[t * strides_[3]];
    }
    return scratch.data();
  }
  const uint8_t *data_ = nullptr;
  bool boolean_ = false, causal_;
  int64_t keys_, queries_, strides_[4] = {0, 0, 0, 0};
};

// inputs: queries (batch, heads, length, width), keys, values (batch, key heads, keys, width), a mask or none
class Attention : public Kernel {
 public:
  Attention(Stream stream, float scale, bool causal) : Kernel(stream), scale_(scale), causal_(causal) {}
  const char *name() const override { return "RunnerAttention"; }
  bool is_equivalent(const Primitive &other) const override {
    const auto *o = dynamic_cast<const Attention *>(&other);
    return o != nullptr && scale_ == o->scale_ && causal_ == o->causal_;
  }
  std::vector<Shape> output_shapes(const std::vector<array> &inputs) override {
    Shape out = inputs[0].shape();
    out.back() = inputs[2].shape(-1);
    return {out};
  }
  void eval_cpu(const std::vector<array> &inputs, array &out) override {
    // In memory (batch, length, heads, width): what follows is a transpose and a reshape, which then cost nothing.
    int64_t heads = out.shape(1), length = out.shape(2), width = out.shape(3);
    array::Flags flags{true, length == 1 || heads == 1, out.size() == static_cast<size_t>(width)};
    out.set_data(allocator::malloc(out.nbytes()), out.size(), Strides{length * heads * width, width, heads * width, 1}, flags);
    std::vector<array> kept;
    for (const auto &input : inputs) {
      kept.push_back(array::unsafe_weak_copy(input));
    }
    dispatch([kept = std::move(kept), to = out.data<float>(), width, scale = scale_, causal = causal_]() {
      attend(kept, to, width, scale, causal);
    });
  }

 private:
  static void attend(const std::vector<array> &inputs, float *out, int64_t width, float scale, bool causal) {
    const array &q = inputs[0], &k = inputs[1], &v = inputs[2];
    int64_t heads = q.shape(1), length = q.shape(2), depth = q.shape(3), keys = k.shape(2), group = heads / k.shape(1);
    int64_t tile = std::max<int64_t>(1, std::min(length, TILE_ROWS / group));
    std::vector<float> queries(group * tile * depth), scores(group * tile * keys), summed(group * tile * width);
    std::vector<float> own_keys, own_values, add;
    std::vector<uint8_t> keep;
    Mask mask(inputs.size() > 3 ? &inputs[3] : nullptr, causal, keys, length);
    for (int64_t batch = 0; batch < q.shape(0); batch++) {
      for (int64_t shared = 0; shared < k.shape(1); shared++) {
        Head key = head_of(k, batch, shared, own_keys), value = head_of(v, batch, shared, own_values);
        for (int64_t first = 0; first < length; first += tile) {
          int64_t high = std::min(tile, length - first), rows = group * high;
          gather(q, batch, shared * group, group, first, high, scale, queries.data());
          cblas_sgemm(ROW_MAJOR, NO_TRANS, TRANS, static_cast<int>(rows), static_cast<int>(keys), static_cast<int>(depth),
                        1.0f, queries.data(), static_cast<int>(depth), key.data, key.ld, 0.0f, scores.data(),
                        static_cast<int>(keys));
          for (int64_t row = 0; row < rows; row++) {
            mask.soften(scores.data() + row * keys, batch, shared * group + row / high, first + row % high, keep, add);
          }
          cblas_sgemm(ROW_MAJOR, NO_TRANS, NO_TRANS, static_cast<int>(rows), static_cast<int>(width),
                        static_cast<int>(keys), 1.0f, scores.data(), static_cast<int>(keys), value.data, value.ld, 0.0f,
                        summed.data(), static_cast<int>(width));
          for (int64_t row = 0; row < rows; row++) {
            int64_t head = shared * group + row / high, at = first + row % high;
            std::memcpy(out + ((batch * length + at) * heads + head) * width, summed.data() + row * width,
                        width * sizeof(float));
          }
        }
      }
    }
  }

  // Queries of a group of heads, scaled, head after head.
  static void gather(const array &q, int64_t batch, int64_t head, int64_t group, int64_t first, int64_t high, float scale,
                     float *to) {
    int64_t depth = q.shape(3), along = q.strides(3);
    for (int64_t g = 0; g < group; g++) {
      for (int64_t row = 0; row < high; row++, to += depth) {
        const float *from =
            q.data<float>() + batch * q.strides(0) + (head + g) * q.strides(1) + (first + row) * q.strides(2);
        for (int64_t i = 0; i < depth; i++) {
          to[i] = from[i * along] * scale;
        }
      }
    }
  }
  float scale_;
  bool causal_;
};

bool attention_is_ours(const array &q, const array &k, const array &v, const std::string &mode,
                       const std::optional<array> &mask, const Stream &stream) {
  if (!ours(q, stream) || k.dtype() != float32 || v.dtype() != float32 || q.ndim() != 4 || k.ndim() != 4 || v.ndim() != 4) {
    return false;
  }
  bool shapes = q.shape(0) == k.shape(0) && k.shape(0) == v.shape(0) && k.shape(1) == v.shape(1) && k.shape(2) == v.shape(2) &&
                q.shape(3) == k.shape(3) && k.shape(1) > 0 && q.shape(1) % k.shape(1) == 0 && q.size() > 0 && k.shape(2) > 0;
  if (!shapes || (mode != "" && mode != "array" && mode != "causal")) {
    return false;
  }
  if (mode == "causal") {
    return !mask && q.shape(2) <= k.shape(2);
  }
  if (!mask) {
    return true;
  }
  if ((mask->dtype() != bool_ && mask->dtype() != float32) || mask->ndim() > 4) {
    return false;
  }
  const int wanted[4] = {q.shape(0), q.shape(1), q.shape(2), k.shape(2)};
  for (int axis = 0; axis < static_cast<int>(mask->ndim()); axis++) {
    int expected = wanted[4 - mask->ndim() + axis];
    if (mask->shape(axis) != 1 && mask->shape(axis) != expected) {
      return false;
    }
  }
  return true;
}

}  // namespace
}  // namespace runner

namespace mlx::core::fast {

using namespace runner;

array scaled_dot_product_attention(const array &queries, const array &keys, const array &values, const float scale,
                                   const std::string &mask_mode, std::optional<array> mask_arr,
                                   const std::optional<array> &sinks, bool force_fused, StreamOrDevice s) {
  auto stream = to_stream(s);
  if (sinks || force_fused || !attention_is_ours(queries, keys, values, mask_mode, mask_arr, stream)) {
    using Own = array (*)(const array &, const array &, const array &, const float, const std::string &,
                          std::optional<array>, const std::optional<array> &, bool, StreamOrDevice);
    static auto own = mlx_own<Own>(&scaled_dot_product_attention);
    return own(queries, keys, values, scale, mask_mode, mask_arr, sinks, force_fused, s);
  }
  std::vector<array> inputs{queries, keys, values};
  if (mask_arr) {
    inputs.push_back(*mask_arr);
  }
  Shape shape = queries.shape();
  shape.back() = values.shape(-1);
  return array(shape, float32, std::make_shared<Attention>(stream, scale, mask_mode == "causal"), std::move(inputs));
}

}  // namespace mlx::core::fast
