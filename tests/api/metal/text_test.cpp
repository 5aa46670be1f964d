#include <gtest/gtest.h>

#include <mlx/fast_primitives.h>

#include <variant>

#include "api/metal/custom_kernel.h"
#include "backend/metal/schedule.h"
#include "metal/executor.h"

// The text that MLX makes of a launch.
namespace tessera::test {
namespace {

metal::Call call_of(Problem problem) {
  metal::Call call;
  call.problem = problem;
  const auto element = metal::element_of(problem.dtype);
  const auto add = [&](const char* name, Operand operand) {
    const auto s = shape(operand, problem);
    call.arrays.push_back({name, element, {s.begin(), s.end()}});
  };
  add("Q", Operand::Q);
  add("K", Operand::K);
  add("V", Operand::V);
  add("dO", Operand::dO);
  call.arrays.push_back(
      {"L", metal::Element::float32, {problem.B, problem.Hq, problem.Nq}});
  return call;
}

Problem problem_of(int N, int D, bool causal = false) {
  Problem p;
  p.dtype = Dtype::bfloat16;
  p.B = 1;
  p.Hq = 2;
  p.Hkv = 1;
  p.Nq = p.Nk = N;
  p.D = p.Dv = D;
  p.causal = causal;
  return p;
}

std::vector<metal::Launch> launches(const metal::Call& call, metal::Pass pass) {
  std::vector<metal::Launch> all;
  const auto scheduled = metal::steps_of(call, pass);
  for (const auto& step : std::get<std::vector<metal::Step>>(scheduled)) {
    if (const auto* launch = std::get_if<metal::Launch>(&step)) {
      all.push_back(*launch);
    }
  }
  return all;
}

auto state_of(const metal::Launch& launch) {
  const auto node = custom_kernel(launch, mx::Device::gpu);
  return static_cast<const mx::fast::CustomKernel&>(*node).state();
}

std::string text_of(const metal::Launch& launch) {
  return std::get<1>(state_of(launch));
}

// From the kernel's name to the brace of its body.
std::string signature(const metal::Launch& launch) {
  const auto text = text_of(launch);
  const auto begin = text.find("[[kernel]]");
  return text.substr(begin, text.find(") {", begin) + 3 - begin);
}

// MLX looks for names of arguments in the body: no more of them than the loops
// read, in this order.
TEST(MetalText, HasTheSignatureThatIsMeant) {
  const auto launch = launches(call_of(problem_of(100, 64)), metal::Pass::dq);
  EXPECT_EQ(
      signature(launch.at(0)).substr(signature(launch.at(0)).find('(')),
      "(\n"
      "  const device bfloat16_t* Q [[buffer(0)]],\n"
      "  const device bfloat16_t* K [[buffer(1)]],\n"
      "  const device bfloat16_t* V [[buffer(2)]],\n"
      "  const device bfloat16_t* dO [[buffer(3)]],\n"
      "  const device float* L [[buffer(4)]],\n"
      "  const device float* D [[buffer(5)]],\n"
      "  const device int64_t* layout [[buffer(6)]],\n"
      "  const constant int32_t* geometry [[buffer(7)]],\n"
      "  const constant float* numbers [[buffer(8)]],\n"
      "  const constant int32_t* piece [[buffer(9)]],\n"
      "  device bfloat16_t* dQ [[buffer(10)]],\n"
      "  uint simdgroup_index_in_threadgroup "
      "[[simdgroup_index_in_threadgroup]],\n"
      "  uint thread_index_in_simdgroup [[thread_index_in_simdgroup]],\n"
      "  uint thread_index_in_threadgroup [[thread_index_in_threadgroup]],\n"
      "  uint3 threadgroup_position_in_grid [[threadgroup_position_in_grid]],\n"
      "  uint3 threads_per_grid [[threads_per_grid]]) {");
}

// Metal knows 31 buffers; every feature at once, cut and spilled, takes fewer.
TEST(MetalText, KeepsToTheBuffersOfAKernel) {
  auto problem = problem_of(300, 256, true);
  problem.left = 20;
  problem.chunk = 64;
  problem.block_rows = problem.block_columns = 32;
  problem.features = {true, true, true, true, true, true, true, true};
  auto call = call_of(problem);
  const int B = problem.B;
  const int Hq = problem.Hq;
  for (const auto& [name, element, shape] : std::initializer_list<
           std::tuple<const char*, metal::Element, std::vector<int>>>{
           {"bias", metal::Element::float32, {B, Hq, 300, 300}},
           {"slopes", metal::Element::float32, {1, Hq}},
           {"sinks", metal::Element::float32, {Hq}},
           {"mask", metal::Element::boolean, {B, Hq, 300, 300}},
           {"blocks", metal::Element::boolean, {B, Hq, 10, 10}},
           {"segments_q", metal::Element::int32, {B, 300}},
           {"segments_k", metal::Element::int32, {B, 300}},
           {"prefix", metal::Element::int32, {B}},
           {"seed", metal::Element::uint32, {2}}}) {
    call.arrays.push_back({name, element, shape});
  }
  call.seconds = 1e-7;
  for (const auto pass :
       {metal::Pass::forward,
        metal::Pass::dq,
        metal::Pass::dkv,
        metal::Pass::dbias}) {
    for (const auto& launch : launches(call, pass)) {
      EXPECT_LE(launch.inputs.size() + launch.outputs.size(), 31u)
          << metal::name(pass);
      EXPECT_EQ(signature(launch).find("[[buffer(31)]]"), std::string::npos);
    }
  }
}

// Lengths, batch, heads, window and scale are inputs.
TEST(MetalText, IsOneForEveryLength) {
  auto problem = problem_of(100, 64, true);
  problem.left = 20;
  for (const auto pass :
       {metal::Pass::forward, metal::Pass::dq, metal::Pass::dkv}) {
    const auto one = launches(call_of(problem), pass).at(0);
    auto other = problem;
    other.B = 3;
    other.Hq = 8;
    other.Hkv = 2;
    other.Nq = 1000;
    other.Nk = 777;
    other.left = 300;
    auto call = call_of(other);
    call.numbers.scale = 0.25f;
    const auto two = launches(call, pass).at(0);
    EXPECT_EQ(text_of(one), text_of(two)) << metal::name(pass);
    EXPECT_EQ(std::get<0>(state_of(one)), std::get<0>(state_of(two)));
  }
}

// MLX passes arrays of fewer than eight elements in the constant address space,
// and gives their kernels another name.
TEST(MetalText, HoldsForArraysOfAFewElements) {
  auto problem = problem_of(1, 4);
  const auto tiny = launches(call_of(problem), metal::Pass::forward).at(0);
  problem.Nq = problem.Nk = 3;
  const auto larger = launches(call_of(problem), metal::Pass::forward).at(0);
  EXPECT_NE(
      text_of(tiny).find("const constant bfloat16_t* K"), std::string::npos);
  EXPECT_NE(std::get<0>(state_of(tiny)), std::get<0>(state_of(larger)));
}

} // namespace
} // namespace tessera::test
