#pragma once

#include <algorithm>
#include <tuple>

#include "api/metal/harness.h"
#include "metal/steel.h"

// Our forward pass beside MLX's steel attention, both counted by the executor.
namespace tessera::test {

// What MLX 0.32.4 gives to that kernel: more than 8 queries, of a head
// dimension of 64, 80 or 128, causal with as many keys at least. Fewer queries
// go to a kernel that steps from key to key.
struct SteelShape {
  int Nq;
  int Nk;
  int D;
  bool causal;
  Dtype dtype = Dtype::bfloat16;
  int Hq = 1;
  int Hkv = 1;
  int B = 1;

  bool is_steels() const {
    return Nq > 8 && (D == 64 || D == 80 || D == 128) && (!causal || Nq <= Nk);
  }
};

// Of all launches of the forward pass.
inline metal::Counts counts_of_forward(
    const SteelShape& s, metal::Family family) {
  Case c = make_case(s.Nq, s.Nk, s.D, s.causal, s.Hq, s.Hkv);
  c.problem.B = s.B;
  c.problem.dtype = s.dtype;
  auto launcher = std::make_shared<ExecutorLauncher>();
  const MetalOnCpu scope({family, launcher, 1e9});
  forward_through_the_op(c, random_inputs(c));
  metal::Counts all;
  for (const auto& [plan, one] : launcher->executed) {
    all.matrix_operations += one.matrix_operations;
    all.exponentials += one.exponentials;
    all.float_adds += one.float_adds;
    all.float_multiplies += one.float_multiplies;
    all.float_fused += one.float_fused;
    all.threadgroup_barriers += one.threadgroup_barriers;
    all.simdgroup_barriers += one.simdgroup_barriers;
    all.threadgroup_loads += one.threadgroup_loads;
    all.device_bytes_loaded += one.device_bytes_loaded;
    all.threadgroup_memory =
        std::max(all.threadgroup_memory, one.threadgroup_memory);
  }
  return all;
}

// None of ours is more. Steel's threadgroups of a batch entry are those of any
// other.
inline void expect_no_more_than_steel(
    const SteelShape& s, const std::vector<metal::Family>& families) {
  const auto theirs =
      metal::run_steel({s.Nq, s.Nk, s.D, s.causal, s.dtype, s.Hq, s.Hkv})
          .counts;
  const auto B = static_cast<std::uint64_t>(s.B);
  for (const auto family : families) {
    const auto ours = counts_of_forward(s, family);
    const std::tuple<const char*, std::uint64_t, std::uint64_t> figures[] = {
        {"matrix operations",
         ours.matrix_operations,
         B * theirs.matrix_operations},
        {"exponentials", ours.exponentials, B * theirs.exponentials},
        {"threadgroup barriers",
         ours.threadgroup_barriers,
         B * theirs.threadgroup_barriers},
        {"simdgroup barriers",
         ours.simdgroup_barriers,
         B * theirs.simdgroup_barriers},
        {"threadgroup bytes",
         ours.threadgroup_memory,
         theirs.threadgroup_memory},
        {"threadgroup loads",
         ours.threadgroup_loads,
         B * theirs.threadgroup_loads},
        {"device bytes loaded",
         ours.device_bytes_loaded,
         B * theirs.device_bytes_loaded},
        {"multiplies and adds",
         ours.multiply_adds(),
         B * theirs.multiply_adds()}};
    for (const auto& [what, our, their] : figures) {
      EXPECT_LE(our, their)
          << what << ": " << s.Nq << " x " << s.Nk << " D " << s.D << " heads "
          << s.Hq << ':' << s.Hkv << " B " << s.B
          << (s.causal ? " causal " : " dense ") << metal::name(family) << ' '
          << metal::name_of(s.dtype);
    }
  }
}

} // namespace tessera::test
