#pragma once

#include <string>
#include <string_view>

#include "backend/metal/launch.h"

namespace tessera::metal {

// The Metal Shading Language's name of an element's type, as MLX writes it.
std::string_view type_of(Element element);

// The text in front of the kernel: the plan's numbers, the types of its
// arrays, the rule of the mask and the verbs on tiles.
std::string header_of(const Launch& launch);

// The body of the kernel, whose signature MLX writes.
std::string body_of(const Launch& launch);

} // namespace tessera::metal
