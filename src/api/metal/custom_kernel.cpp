#include "api/metal/custom_kernel.h"

#include <mlx/export.h>
#include <mlx/fast.h>

#include <tuple>

#include "backend/metal/text.h"

namespace tessera {

namespace {

std::vector<std::string> names_of(const std::vector<metal::Array>& arrays) {
  std::vector<std::string> names;
  for (const auto& array : arrays) {
    names.push_back(array.name);
  }
  return names;
}

// MLX looks at the shapes and dtypes of these alone.
std::vector<mx::array> placeholders(const std::vector<metal::Array>& arrays) {
  std::vector<mx::array> made;
  for (const auto& array : arrays) {
    made.emplace_back(
        shape_of(array),
        dtype_of(array.element),
        nullptr,
        std::vector<mx::array>{});
  }
  return made;
}

std::tuple<int, int, int> triple(const std::array<int, 3>& x) {
  return {x[0], x[1], x[2]};
}

} // namespace

mx::Dtype dtype_of(metal::Element element) {
  switch (element) {
    case metal::Element::float16:
      return mx::float16;
    case metal::Element::bfloat16:
      return mx::bfloat16;
    case metal::Element::int32:
      return mx::int32;
    case metal::Element::int64:
      return mx::int64;
    case metal::Element::uint32:
      return mx::uint32;
    case metal::Element::boolean:
      return mx::bool_;
    case metal::Element::float32:
      break;
  }
  return mx::float32;
}

mx::Shape shape_of(const metal::Array& array) {
  return {array.shape.begin(), array.shape.end()};
}

std::shared_ptr<mx::Primitive> custom_kernel(
    const metal::Launch& launch, mx::StreamOrDevice stream) {
  const auto kernel = mx::fast::metal_kernel(
      launch.name,
      names_of(launch.inputs),
      names_of(launch.outputs),
      body_of(launch),
      header_of(launch),
      false); // arrays are read through their strides
  std::vector<mx::Shape> shapes;
  std::vector<mx::Dtype> dtypes;
  for (const auto& output : launch.outputs) {
    shapes.push_back(shape_of(output));
    dtypes.push_back(dtype_of(output.element));
  }
  std::shared_ptr<mx::Primitive> made;
  const auto make = [&](const std::vector<mx::array>& inputs) {
    const auto outputs = kernel(
        inputs,
        shapes,
        dtypes,
        triple(launch.grid),
        triple(launch.threadgroup),
        {},
        std::nullopt,
        false,
        stream);
    made = outputs.front().primitive_ptr();
    return outputs;
  };
  const auto inputs = placeholders(launch.inputs);
  if (mx::metal::is_available()) {
    make(inputs);
  } else {
    mx::export_function([](const mx::ExportCallbackInput&) {}, make, inputs);
  }
  return made;
}

} // namespace tessera
