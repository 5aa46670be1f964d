#pragma once

#include <array>
#include <initializer_list>
#include <string_view>
#include <vector>

#include "backend/metal/call.h"

// What the kernels of a call read and write.
namespace tessera::metal {

// The input of this name; null where the call has none.
const Array* find(const Call& call, std::string_view name);

// One float32 a query: [B, Hq, Nq].
Array row_vector(const Call& call, std::string_view name);

// The inputs by these names that the call has. D is made by an earlier launch.
std::vector<Array> operands(
    const Call& call, std::initializer_list<std::string_view> names);

// The layout of operands without gaps.
Array layout_of(const std::vector<Array>& operands);

// What delta or a loop over scores reads: operands and their layout; a loop its
// geometry and numbers too.
std::vector<Array> inputs_of(const Call& call, Pass pass);

// Which part of the loop a launch is, as the text reads it.
Array piece(std::array<int, 7> numbers);

// The heads and rows that a piece of a loop owns.
struct Extent {
  int batches = 0;
  int heads = 0;
  int rows = 0;
};

// What the pass gives for them.
std::vector<Array> results(const Call& call, Pass pass, Extent extent);

// What one part of a loop leaves for the next; `tiles` are dbias's.
std::vector<Array> sums(
    const Call& call, const Plan& plan, Extent extent, int tiles);

} // namespace tessera::metal
