#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "backend/metal/launch.h"

namespace tessera::metal {

// Where the loop of a launch begins and ends. One that does not begin takes up
// what an earlier launch has added up, and one that does not end leaves it.
struct Part {
  bool begins = true;
  bool ends = true;

  bool operator==(const Part&) const = default;
};

// The Metal Shading Language's name of an element's type, as MLX writes it.
std::string_view type_of(Element element);

// The text in front of the kernel: the plan's numbers, the types of its
// arrays, the rule of the mask and the verbs on tiles.
std::string header_of(
    const Plan& plan,
    Part part,
    const std::vector<Array>& inputs,
    const std::vector<Array>& outputs);

// The body of the kernel, whose signature MLX writes.
std::string body_of(const Plan& plan);

} // namespace tessera::metal
