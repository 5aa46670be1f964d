#pragma once

#include <array>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "plan/metal/plan.h"

namespace tessera::metal {

enum class Element {
  float32,
  float16,
  bfloat16,
  int32,
  int64,
  uint32,
  boolean
};

constexpr Element element_of(Dtype dtype) {
  return dtype == Dtype::float32 ? Element::float32
      : dtype == Dtype::float16  ? Element::float16
                                 : Element::bfloat16;
}

// An array that a launch reads or writes, by the name that its text has for it:
// operands by their letters.
struct Array {
  std::string name;
  Element element = Element::float32;
  std::vector<int> shape;
  // Of a small constant one, its values; of an int32 one whole numbers.
  std::vector<double> values{};
  // What it is known by outside of the launch, where that is not its name: the
  // part of an operand, or what one launch leaves for the next.
  std::string key{};

  const std::string& known_as() const {
    return key.empty() ? name : key;
  }

  std::int64_t size() const {
    std::int64_t size = 1;
    for (const int side : shape) {
      size *= side;
    }
    return size;
  }
  bool operator==(const Array&) const = default;
};

// The input that tells of the operands before it, each its sides and then its
// strides in elements: one buffer, where MLX would take two an operand, of the
// 31 that a kernel may have. Its values are those of operands without gaps.
constexpr std::string_view layout_name = "layout";

// Where the loop of a launch begins and ends. One that does not begin takes up
// what an earlier launch has added up, and one that does not end leaves it.
struct Part {
  bool begins = true;
  bool ends = true;

  bool operator==(const Part&) const = default;
};

// One dispatch of a kernel: what MLX's metal_kernel is given, but for the text
// (text.h), which is made where it is launched.
struct Launch {
  Plan plan;
  Part part;
  std::string name;
  std::vector<Array> inputs; // in the order of their buffers
  std::vector<Array> outputs;
  std::array<int, 3> grid{}; // in threads
  std::array<int, 3> threadgroup{};
};

// Outputs of earlier launches, put together along an axis.
struct Join {
  Array output;
  std::vector<std::string> parts;
  int axis = 0;
};

using Step = std::variant<Launch, Join>;

} // namespace tessera::metal
