#pragma once

#include <mlx/backend/cpu/encoder.h>
#include <mlx/mlx.h>
#include <mlx/primitives.h>

#include <memory>
#include <utility>
#include <vector>

#include "api/node/memory.h"
#include "ops/ours.h"
#include "tessera/error.h"

namespace tessera::ops {

namespace mx = mlx::core;

inline bool is_ours(const mx::array& x) {
  return is_ours(x.dtype());
}

// A graph node that runs on the CPU alone.
class CpuNode : public mx::Primitive {
 public:
  explicit CpuNode(const char* name)
      : Primitive(mx::default_stream(mx::default_device())), name_(name) {}

  void eval_gpu(
      const std::vector<mx::array>&, std::vector<mx::array>&) override {
    fail(name_, "expected a CPU stream");
  }

  const char* name() const override {
    return name_;
  }

 protected:
  // Queues `work` behind what the stream has to do. It must not throw.
  template <typename Work>
  void dispatch(Work&& work) {
    mx::cpu::get_command_encoder(stream()).dispatch(std::forward<Work>(work));
  }

  // Memory for `floats` numbers until what is queued next is done.
  float* temporary(std::int64_t floats) {
    constexpr std::int64_t row = 1024; // an axis counts in int
    const auto rows = floats / row + 1;
    mx::array memory(
        tessera::allocate(static_cast<std::size_t>(rows * row) * sizeof(float)),
        {static_cast<int>(rows), static_cast<int>(row)},
        mx::float32);
    mx::cpu::get_command_encoder(stream()).add_temporary(memory);
    return memory.data<float>();
  }

  static void allocate(std::vector<mx::array>& outputs) {
    for (mx::array& out : outputs) {
      out.set_data(tessera::allocate(out.nbytes()));
    }
  }

 private:
  const char* name_;
};

// One output in float32 from row-major inputs.
template <typename Node, typename... Arguments>
mx::array make_node(
    mx::Shape shape, std::vector<mx::array> inputs, Arguments&&... arguments) {
  for (mx::array& x : inputs) {
    x = mx::contiguous(x);
  }
  return mx::array(
      std::move(shape),
      mx::float32,
      std::make_shared<Node>(std::forward<Arguments>(arguments)...),
      std::move(inputs));
}

template <typename Node, typename... Arguments>
std::vector<mx::array> make_nodes(
    std::vector<mx::Shape> shapes,
    std::vector<mx::array> inputs,
    Arguments&&... arguments) {
  for (mx::array& x : inputs) {
    x = mx::contiguous(x);
  }
  std::vector<mx::Dtype> dtypes(shapes.size(), mx::float32);
  return mx::array::make_arrays(
      std::move(shapes),
      std::move(dtypes),
      std::make_shared<Node>(std::forward<Arguments>(arguments)...),
      std::move(inputs));
}

// The product of all axes but the last.
inline std::int64_t rows_of(const mx::array& x) {
  return static_cast<std::int64_t>(x.size()) / x.shape(-1);
}

} // namespace tessera::ops
