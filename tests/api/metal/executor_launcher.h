#pragma once

#include <mlx/fast_primitives.h>

#include <cstring>
#include <mutex>
#include <string>
#include <tuple>
#include <vector>

#include "api/metal/backend.h"
#include "api/metal/custom_kernel.h"
#include "metal/executor.h"

// Launches MLX's own text of a kernel in the executor.
namespace tessera::test {

// A launch as MLX's backend would hand it to the GPU: its text, and its arrays
// with their shapes and strides in the order of the buffers.
class BoundLaunch {
 public:
  BoundLaunch(
      const metal::Launch& launch,
      const std::vector<mx::array>& inputs,
      std::vector<mx::array>& outputs) {
    const auto node = custom_kernel(launch, mx::Device::gpu);
    const auto state =
        static_cast<const mx::fast::CustomKernel&>(*node).state();
    dispatch_.function = std::get<0>(state);
    dispatch_.source =
        "#include \"mlx/backend/metal/kernels/utils.h\"\n" + std::get<1>(state);
    dispatch_.grid = unsigned_of(std::get<2>(state));
    dispatch_.threadgroup = unsigned_of(std::get<3>(state));
    for (std::size_t axis = 0; axis < 3; ++axis) {
      dispatch_.threadgroup[axis] =
          std::min(dispatch_.threadgroup[axis], dispatch_.grid[axis]);
    }
    const auto& infos = std::get<4>(state);
    // Held while the addresses of their elements are in use.
    shapes_.reserve(inputs.size());
    strides_.reserve(inputs.size());
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      add_input(inputs[i], infos[i]);
    }
    for (auto& output : outputs) {
      output.set_data(mx::allocator::malloc(output.nbytes()));
      dispatch_.buffers.push_back({output.data<char>(), output.nbytes(), true});
    }
  }

  const metal::Dispatch& dispatch() const {
    return dispatch_;
  }

 private:
  static std::array<std::uint32_t, 3> unsigned_of(
      const std::tuple<int, int, int>& x) {
    return {
        static_cast<std::uint32_t>(std::get<0>(x)),
        static_cast<std::uint32_t>(std::get<1>(x)),
        static_cast<std::uint32_t>(std::get<2>(x))};
  }

  void add_input(const mx::array& x, const std::tuple<bool, bool, bool>& info) {
    const auto& [has_shape, has_strides, has_ndim] = info;
    auto array = x;
    dispatch_.buffers.push_back(
        {array.data<char>(), array.data_size() * array.itemsize(), false});
    auto& shape = shapes_.emplace_back(x.shape());
    auto& strides = strides_.emplace_back(x.strides());
    if (has_shape) {
      dispatch_.buffers.push_back(
          {shape.data(), shape.size() * sizeof(shape[0]), false});
    }
    if (has_strides) {
      dispatch_.buffers.push_back(
          {strides.data(), strides.size() * sizeof(strides[0]), false});
    }
    if (has_ndim) {
      throw std::logic_error("expected a text that reads no ndim");
    }
  }

  metal::Dispatch dispatch_;
  std::vector<mx::Shape> shapes_;
  std::vector<mx::Strides> strides_;
};

class ExecutorLauncher : public Launcher {
 public:
  explicit ExecutorLauncher(metal::Options options = {}) : options_(options) {}

  // Of every launch so far, with its plan.
  std::vector<std::pair<metal::Plan, metal::Counts>> executed;

  void launch(
      const metal::Launch& launch,
      const std::vector<mx::array>& inputs,
      std::vector<mx::array>& outputs) override {
    const BoundLaunch bound(launch, inputs, outputs);
    executed.emplace_back(
        launch.plan, metal::execute(bound.dispatch(), options_));
  }
  void join(const std::vector<mx::array>& parts, int axis, mx::array& output)
      override {
    output.set_data(mx::allocator::malloc(output.nbytes()));
    std::int64_t inner = static_cast<std::int64_t>(output.itemsize());
    for (int a = axis + 1; a < static_cast<int>(output.ndim()); ++a) {
      inner *= output.shape(a);
    }
    std::int64_t outer = 1;
    for (int a = 0; a < axis; ++a) {
      outer *= output.shape(a);
    }
    auto* to = output.data<char>();
    for (std::int64_t i = 0; i < outer; ++i) {
      for (auto part : parts) {
        const auto bytes = inner * part.shape(axis);
        std::memcpy(
            to, part.data<char>() + i * bytes, static_cast<std::size_t>(bytes));
        to += bytes;
      }
    }
  }
  void copy(const mx::array& from, mx::array& to) override {
    const auto stream = mx::default_stream(mx::Device::cpu);
    std::vector<mx::array> outputs = {to};
    mx::contiguous(from, false, stream).primitive().eval_cpu({from}, outputs);
    mx::synchronize(stream);
  }

 private:
  metal::Options options_;
};

} // namespace tessera::test
