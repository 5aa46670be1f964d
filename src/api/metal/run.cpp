#include "api/metal/run.h"

#include "api/metal/custom_kernel.h"
#include "tessera/error.h"

namespace tessera {

namespace {

metal::Element element_of(mx::Dtype dtype) {
  return dtype == mx::float16 ? metal::Element::float16
      : dtype == mx::bfloat16 ? metal::Element::bfloat16
      : dtype == mx::int32    ? metal::Element::int32
      : dtype == mx::uint32   ? metal::Element::uint32
      : dtype == mx::bool_    ? metal::Element::boolean
                              : metal::Element::float32;
}

// Nothing is launched for arrays without elements, but they are arrays.
void allocate_empty(std::vector<mx::array>& outputs) {
  for (auto& output : outputs) {
    output.set_data(mx::allocator::malloc(output.nbytes()));
  }
}

mx::array constant(const metal::Array& array) {
  if (array.element == metal::Element::int32) {
    const std::vector<std::int32_t> values(
        array.values.begin(), array.values.end());
    return mx::array(values.begin(), shape_of(array), mx::int32);
  }
  const std::vector<float> values(array.values.begin(), array.values.end());
  return mx::array(values.begin(), shape_of(array), mx::float32);
}

// The layout of arrays as they lie.
mx::array layout_of(const std::vector<mx::array>& arrays) {
  std::vector<std::int64_t> layout;
  for (const auto& array : arrays) {
    layout.insert(layout.end(), array.shape().begin(), array.shape().end());
    layout.insert(layout.end(), array.strides().begin(), array.strides().end());
  }
  const mx::Shape shape = {static_cast<int>(layout.size())};
  return mx::array(layout.begin(), shape, mx::int64);
}

class Runner {
 public:
  Runner(NamedArrays arrays, const NamedArrays& outputs, Launcher& launcher)
      : arrays_(std::move(arrays)), outputs_(outputs), launcher_(launcher) {}

  void operator()(const metal::Launch& launch) {
    std::vector<mx::array> inputs;
    std::vector<mx::array> own; // that nobody else holds
    for (const auto& input : launch.inputs) {
      inputs.push_back(
          input.name == metal::layout_name ? layout_of(inputs)
              : input.values.empty()       ? read(input.known_as())
                                           : constant(input));
      if (!input.values.empty()) {
        own.push_back(inputs.back());
      }
    }
    std::vector<mx::array> outputs;
    for (const auto& output : launch.outputs) {
      outputs.push_back(write(output));
      if (!outputs_.contains(output.known_as())) {
        own.push_back(outputs.back());
      }
    }
    if (launch.grid[0] > 0 && launch.grid[1] > 0 && launch.grid[2] > 0) {
      launcher_.launch(launch, inputs, outputs);
      launcher_.keep(own);
    } else {
      allocate_empty(outputs);
    }
    forget(launch);
  }

  void operator()(const metal::Join& join) {
    std::vector<mx::array> parts;
    for (const auto& part : join.parts) {
      parts.push_back(read(part));
    }
    auto output = write(join.output);
    launcher_.join(parts, join.axis, output);
    for (const auto& part : join.parts) {
      arrays_.erase(part);
    }
  }

 private:
  mx::array read(const std::string& key) const {
    const auto at = arrays_.find(key);
    if (at == arrays_.end()) {
      fail("attention", "expected an array {} from an earlier launch", key);
    }
    return at->second;
  }

  // Sums that are carried on are read once, and spills by nobody.
  void forget(const metal::Launch& launch) {
    for (const auto& input : launch.inputs) {
      if (!input.key.empty()) {
        arrays_.erase(input.key);
      }
    }
    for (const auto& output : launch.outputs) {
      if (output.name == "spill") {
        arrays_.erase(output.known_as());
      }
    }
  }

  mx::array write(const metal::Array& array) {
    const auto& key = array.known_as();
    const auto given = outputs_.find(key);
    arrays_.insert_or_assign(
        key,
        given != outputs_.end()
            ? given->second
            : mx::array(shape_of(array), dtype_of(array.element), nullptr, {}));
    return arrays_.at(key);
  }

  NamedArrays arrays_;
  const NamedArrays& outputs_;
  Launcher& launcher_;
};

} // namespace

metal::Array described(const std::string& name, const mx::array& array) {
  return {
      name,
      element_of(array.dtype()),
      {array.shape().begin(), array.shape().end()}};
}

void run(
    const std::vector<metal::Step>& steps,
    NamedArrays arrays,
    const NamedArrays& outputs,
    Launcher& launcher) {
  Runner runner(std::move(arrays), outputs, launcher);
  int left = static_cast<int>(steps.size());
  for (const auto& step : steps) {
    std::visit(runner, step);
    launcher.pause(--left);
  }
}

mx::array without_gaps(const mx::array& array, Launcher& launcher) {
  if (array.ndim() == 0 || array.shape(-1) == 1 || array.strides(-1) == 1) {
    return array;
  }
  mx::array copy(array.shape(), array.dtype(), nullptr, {});
  launcher.copy(array, copy);
  launcher.keep({copy});
  return copy;
}

} // namespace tessera
