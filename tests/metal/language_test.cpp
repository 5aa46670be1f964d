#include <array>
#include <cmath>
#include <cstring>
#include <numeric>

#include "metal/run.h"

namespace tessera::metal {
namespace {

std::vector<float> ramp(std::size_t count) {
  std::vector<float> values(count);
  std::iota(values.begin(), values.end(), 0.0f);
  return values;
}

// What 32 threads make of an expression in `i`.
std::vector<float> values_of(const std::string& expression) {
  std::vector<float> out(32);
  execute(one_group(
      "[[kernel]] void f(device float* out [[buffer(0)]],\n"
      "    uint i [[thread_index_in_simdgroup]]) { out[i] = " +
          expression + "; }",
      32,
      {output(out)}));
  return out;
}

// The two elements of a lane are row (l / 4 & 4) + l / 2 % 4 and columns from
// (l / 4 & 2) * 2 + l % 2 * 2. Written out, as MLX's own kernels rely on it.
constexpr std::array<std::array<int, 8>, 8> lane_of = {{
    {0, 0, 1, 1, 8, 8, 9, 9},
    {2, 2, 3, 3, 10, 10, 11, 11},
    {4, 4, 5, 5, 12, 12, 13, 13},
    {6, 6, 7, 7, 14, 14, 15, 15},
    {16, 16, 17, 17, 24, 24, 25, 25},
    {18, 18, 19, 19, 26, 26, 27, 27},
    {20, 20, 21, 21, 28, 28, 29, 29},
    {22, 22, 23, 23, 30, 30, 31, 31},
}};

struct Matrices : testing::Test {
  std::vector<float> in = ramp(64);
  std::vector<float> out = std::vector<float>(64);

  Dispatch kernel(const std::string& body) {
    return one_group(
        "[[kernel]] void f(const device float* in [[buffer(0)]],\n"
        "    device float* out [[buffer(1)]],\n"
        "    uint lane [[thread_index_in_simdgroup]]) {\n" +
            body + "\n}",
        32,
        {input(in), output(out)});
  }
};

TEST_F(Matrices, LaneLayout) {
  execute(
      kernel("simdgroup_matrix<float, 8, 8> m; simdgroup_load(m, in, 8);\n"
             "out[2 * lane] = m.thread_elements()[0];\n"
             "out[2 * lane + 1] = m.thread_elements()[1];"));
  for (std::size_t row = 0; row < 8; ++row)
    for (std::size_t column = 0; column < 8; ++column) {
      const auto lane = static_cast<std::size_t>(lane_of[row][column]);
      EXPECT_EQ(out[2 * lane + column % 2], in[row * 8 + column]);
    }
}

TEST_F(Matrices, LoadsAndStoresTransposed) {
  execute(kernel(
      "simdgroup_float8x8 m; simdgroup_load(m, in, 8, ulong2(0, 0), true);\n"
      "simdgroup_store(m, out, 8);"));
  for (std::size_t row = 0; row < 8; ++row)
    for (std::size_t column = 0; column < 8; ++column)
      EXPECT_EQ(out[row * 8 + column], in[column * 8 + row]);
}

TEST_F(Matrices, LoadsAtAnOrigin) {
  in = ramp(16 * 12);
  execute(
      kernel("simdgroup_float8x8 m; simdgroup_load(m, in, 12, ulong2(3, 5));\n"
             "simdgroup_store(m, out);"));
  for (std::size_t row = 0; row < 8; ++row)
    for (std::size_t column = 0; column < 8; ++column)
      EXPECT_EQ(out[row * 8 + column], in[(row + 5) * 12 + column + 3]);
}

TEST_F(Matrices, MultiplyAndAccumulate) {
  for (float& x : in)
    x = std::sin(x);
  const Counts counts = execute(kernel(
      "simdgroup_float8x8 a, b, c(2.0f); simdgroup_load(a, in);\n"
      "simdgroup_load(b, in, 8, ulong2(0, 0), true);\n"
      "simdgroup_multiply_accumulate(c, a, b, c); simdgroup_store(c, out);"));
  EXPECT_EQ(counts.matrix_operations, 1u);
  for (std::size_t row = 0; row < 8; ++row)
    for (std::size_t column = 0; column < 8; ++column) {
      double sum = row == column ? 2 : 0;
      for (std::size_t k = 0; k < 8; ++k)
        sum += double(in[row * 8 + k]) * double(in[column * 8 + k]);
      EXPECT_NEAR(out[row * 8 + column], sum, 8 * 0x1p-23);
    }
}

TEST_F(Matrices, HalfAndBfloatOperandsWithFloatSums) {
  for (const char* type : {"half", "bfloat"}) {
    execute(kernel(
        std::string("simdgroup_matrix<") + type +
        ", 8, 8> a, b; simdgroup_matrix<float, 8, 8> c(0.0f);\n"
        "float2 x = {0, 0};\n"
        "a.thread_elements() = vec<" +
        type + ", 2>(" + type + "(lane), " + type +
        "(0.5f));\n"
        "b = make_filled_simdgroup_matrix<" +
        type + ", 8, 8>(" + type +
        "(1));\n"
        "simdgroup_multiply_accumulate(c, a, b, c); simdgroup_store(c, out);"));
    for (std::size_t row = 0; row < 8; ++row) {
      float sum = 0;
      for (std::size_t k = 0; k < 8; k += 2)
        sum += static_cast<float>(lane_of[row][k]) + 0.5f;
      EXPECT_EQ(out[row * 8 + 3], sum) << type;
    }
  }
}

TEST(Language, RaggedGrids) {
  // 5 x 3 x 2 threads in threadgroups of 4 x 2 x 1.
  std::vector<std::uint32_t> out(30 * 4);
  Dispatch dispatch{
      prelude +
          "[[kernel]] void f(device uint4* out [[buffer(0)]],\n"
          "    uint3 at [[thread_position_in_grid]],\n"
          "    uint3 group [[threadgroup_position_in_grid]],\n"
          "    uint3 here [[thread_position_in_threadgroup]],\n"
          "    uint3 size [[threads_per_threadgroup]],\n"
          "    uint3 grid [[threads_per_grid]],\n"
          "    uint3 groups [[threadgroups_per_grid]],\n"
          "    uint index [[thread_index_in_threadgroup]],\n"
          "    ushort2 flat [[thread_position_in_grid]]) {\n"
          "  out[at.x + grid.x * (at.y + grid.y * at.z)] = uint4(\n"
          "      group.x + groups.x * (group.y + groups.y * group.z),\n"
          "      size.x * size.y * size.z, index,\n"
          "      here.x + 10 * here.y + 100 * flat.x);\n}",
      "f",
      {5, 3, 2},
      {4, 2, 1},
      {output(out)}};
  const Counts counts = execute(dispatch);
  EXPECT_EQ(counts.device_bytes_stored, 30u * 16);
  // The thread at (4, 2, 1): alone in the last of 2 x 2 x 2 threadgroups.
  EXPECT_EQ(
      std::vector<std::uint32_t>(out.end() - 4, out.end()),
      (std::vector<std::uint32_t>{7, 1, 0, 400}));
  // The thread at (1, 1, 0) of the first, which is whole.
  EXPECT_EQ(
      std::vector<std::uint32_t>(out.begin() + 24, out.begin() + 28),
      (std::vector<std::uint32_t>{0, 8, 5, 111}));
}

TEST(Language, SimdFunctions) {
  EXPECT_EQ(values_of("simd_sum(float(i))")[7], 496);
  EXPECT_EQ(values_of("simd_max(int(i) - 40)")[7], -9);
  EXPECT_EQ(values_of("simd_min(half(i) - 3)")[9], -3);
  EXPECT_EQ(values_of("simd_prefix_exclusive_sum(i)")[5], 10);
  EXPECT_EQ(values_of("simd_prefix_inclusive_sum(i)")[5], 15);
  EXPECT_EQ(values_of("simd_shuffle_xor(float(i), ushort(8))")[3], 11);
  EXPECT_EQ(values_of("simd_shuffle_up(float(i), ushort(2))")[5], 3);
  EXPECT_EQ(values_of("simd_shuffle_down(float(i), ushort(2))")[5], 7);
  EXPECT_EQ(values_of("simd_broadcast(float(i), ushort(13))")[5], 13);
  EXPECT_EQ(values_of("simd_shuffle(float2(i, -float(i)), 31 - i).y")[4], -27);
  EXPECT_EQ(
      values_of("popcount(uint((simd_vote::vote_t)simd_ballot(i > 3)))")[0],
      28);
  EXPECT_EQ(values_of("simd_all(i < 32) && !simd_any(i > 31)")[0], 1);
}

TEST(Language, Arithmetic) {
  EXPECT_EQ(values_of("mulhi(0xD2511F53u, i + 1)")[31], 26);
  EXPECT_EQ(values_of("as_type<float>(0x3f800000u + i)")[0], 1);
  EXPECT_EQ(values_of("float(half(2049.0f))")[0], 2048);
  EXPECT_EQ(values_of("float(bfloat(257.0f))")[0], 256);
  EXPECT_EQ(values_of("float(bfloat(256.0f) + bfloat(1.0f))")[0], 256);
  EXPECT_EQ(values_of("float(half(2048) + half(1))")[0], 2048);
  EXPECT_EQ(values_of("max(NAN, 1.0f)")[0], 1);
  EXPECT_EQ(values_of("select(1.0f, 2.0f, i > 3)")[4], 2);
  EXPECT_EQ(values_of("clamp(float(i), 3.0f, 5.0f)")[9], 5);
  EXPECT_EQ(values_of("fast::exp2(float(i))")[10], 1024);
  EXPECT_EQ(
      values_of("precise::tanh(0.0f) + log2(8.0f) + rsqrt(4.0f)")[0], 3.5);
  EXPECT_EQ(
      values_of("dot(float4(1, 2, 3, 4), float4(float2(1), 2, 0.5f))")[0], 11);
  EXPECT_EQ(values_of("float3(1, 2, 3).zyx.x + float4(i).xy.y")[2], 5);
  EXPECT_EQ(values_of("(i > 2 ? float2(1, 2) : float2(3, 4)).y")[2], 4);
  EXPECT_TRUE(std::isnan(values_of("numeric_limits<float>::quiet_NaN()")[0]));
}

TEST(Language, ConstantAndReferenceParameters) {
  std::vector<float> out(32);
  std::vector<std::int32_t> shape = {3, 5};
  float scale = 0.5f;
  const Counts counts = execute(one_group(
      "template <typename T> struct Box { T value; T get() const thread {\n"
      "  return value; } };\n"
      "[[kernel]] void f(device float* out [[buffer(0)]],\n"
      "    const constant int* shape [[buffer(1)]],\n"
      "    const constant float& scale [[buffer(2)]],\n"
      "    uint i [[thread_position_in_grid]]) {\n"
      "  Box<float> b{scale}; out[i] = b.get() * shape[1];\n}",
      32,
      {output(out), input(shape), {&scale, sizeof scale, false}}));
  EXPECT_EQ(out[3], 2.5f);
  EXPECT_EQ(counts.device_bytes_loaded, 32u * 8);
}

// As MLX writes a kernel with template arguments.
TEST(Language, NamedInstances) {
  std::vector<float> out(32);
  Dispatch dispatch = one_group(
      "template <typename T, int N> [[kernel]] void f(\n"
      "    device T* out [[buffer(0)]],\n"
      "    uint i [[thread_position_in_grid]]) { out[i] = T(N); }\n"
      "template [[host_name(\"f_3\")]] [[kernel]] decltype(f<float, 3>) "
      "f<float, 3>;\n"
      "template [[host_name(\"f_5\")]] [[kernel]] decltype(f<float, 5>) "
      "f<float, 5>;\n",
      32,
      {output(out)});
  dispatch.function = "f_5";
  execute(dispatch);
  EXPECT_EQ(out[31], 5);
  dispatch.function = "f_7";
  EXPECT_NE(
      caught(dispatch).find("expected a kernel named f_7"), std::string::npos);
}

// A text as MLX 0.32.4 makes it of a call of metal_kernel, taken from an
// exported function, with the include that MLX puts in front.
TEST(Language, AKernelOfMlx) {
  const std::string name =
      "custom_kernel_demo__bfloat16_t_bfloat16_t_floats_bfloat16_tc_bfloat16_t";
  const std::string source =
      "#include \"mlx/backend/metal/kernels/utils.h\"\n"
      "template <typename U> METAL_FUNC U twice(U u) { return u + u; }\n"
      "template <typename T>\n"
      "[[kernel]] void " +
      name +
      "(\n"
      "  const device bfloat16_t* x [[buffer(0)]],\n"
      "  const constant int* x_shape [[buffer(1)]],\n"
      "  const constant float& scale [[buffer(2)]],\n"
      "  const constant bfloat16_t* small [[buffer(3)]],\n"
      "  device bfloat16_t* y [[buffer(4)]],\n"
      "  uint thread_index_in_simdgroup [[thread_index_in_simdgroup]],\n"
      "  uint3 thread_position_in_grid [[thread_position_in_grid]]) {\n\n"
      "    threadgroup T tile[32];\n"
      "    uint i = thread_position_in_grid.x;\n"
      "    uint l = thread_index_in_simdgroup;\n"
      "    tile[l] = i < uint(x_shape[0]) ? x[i] : T(0);\n"
      "    simdgroup_barrier(mem_flags::mem_threadgroup);\n"
      "    T s = simd_sum(tile[31 - l]);\n"
      "    if (i < uint(x_shape[0])) y[i] = T(float(s) * scale + "
      "float(small[1]));\n\n}\n\n"
      "template [[host_name(\"" +
      name + "\")]] [[kernel]] decltype(" + name + "<bfloat16_t>) " + name +
      "<bfloat16_t>;\n";
  const std::uint16_t one = 0x3f80, two = 0x4000;
  std::vector<std::uint16_t> x(50, one), small = {one, two}, y(50);
  std::vector<int> shape = {50};
  std::vector<float> scale = {0.5f};
  const Dispatch dispatch{
      source,
      name,
      {64, 1, 1},
      {32, 1, 1},
      {input(x), input(shape), input(scale), input(small), output(y)}};
  EXPECT_EQ(
      execute(dispatch, {.schedules = 2, .registers = true}).reductions, 2u);
  EXPECT_EQ(y[0], 0x4190);  // 32 / 2 + 2
  EXPECT_EQ(y[49], 0x4130); // 18 / 2 + 2
}

TEST(Language, FunctionConstants) {
  std::vector<float> out(32), mask;
  Dispatch dispatch = one_group(
      "constant bool has_mask [[function_constant(3)]];\n"
      "[[kernel]] void f(device float* out [[buffer(0)]],\n"
      "    const device float* mask [[buffer(1), "
      "function_constant(has_mask)]],\n"
      "    uint i [[thread_position_in_grid]]) {\n"
      "  out[i] = has_mask ? mask[i] : 7; }",
      32,
      {output(out)});
  dispatch.function_constants = {{3, "false"}};
  EXPECT_EQ(caught(dispatch), "");
  EXPECT_EQ(out[0], 7);
  dispatch.function_constants = {{3, "true"}};
  EXPECT_NE(caught(dispatch).find("out of bounds"), std::string::npos);
  dispatch.function_constants = {};
  EXPECT_NE(caught(dispatch).find("must be initialized"), std::string::npos);
}

TEST(Language, Counts) {
  std::vector<float> out(64);
  const Counts counts = execute(one_group(
      "[[kernel]] void f(device float* out [[buffer(0)]],\n"
      "    uint i [[thread_position_in_grid]]) {\n"
      "  threadgroup float t[64];\n"
      "  float2 v = float2(i, 1);\n"
      "  v = v + v;\n"                             // 2 adds
      "  float x = v.x * 3.0f;\n"                  // 1 multiply
      "  x = fma(x, x, 1.0f);\n"                   // 1 fused
      "  x = x * 2.0f + 1.0f;\n"                   // 1 fused
      "  if (i < 32) x = x / 3.0f;\n"              // 1 division of 32
      "  for (int k = 0; k < 3; ++k) x -= 1.0f;\n" // 3 adds
      "  x += exp2(x) + exp(x);\n"                 // 2 adds
      "  x += log(x);\n"                           // 1 add
      "  t[i] = x;\n"
      "  threadgroup_barrier(mem_flags::mem_threadgroup);\n"
      "  simdgroup_barrier(mem_flags::mem_none);\n"
      "  out[i] = t[63 - i];\n}",
      64,
      {output(out)}));
  EXPECT_EQ(counts.float_adds, 64u * 8);
  EXPECT_EQ(counts.float_multiplies, 64u);
  EXPECT_EQ(counts.float_fused, 128u);
  EXPECT_EQ(counts.float_divisions, 32u);
  EXPECT_EQ(counts.exponentials, 128u);
  EXPECT_EQ(counts.transcendentals, 64u);
  EXPECT_EQ(counts.threadgroup_barriers, 1u);
  EXPECT_EQ(counts.simdgroup_barriers, 2u);
  EXPECT_EQ(counts.threadgroup_loads, 64u);
  EXPECT_EQ(counts.threadgroup_bytes_stored, 256u);
  EXPECT_EQ(counts.threadgroup_memory, 256u);
  EXPECT_EQ(counts.device_bytes_stored, 256u);
}

// What a lane keeps over a barrier takes registers, as many as there are of 32
// bits; what they do not hold goes to memory.
TEST(Language, Registers) {
  const auto count = [](const std::string& type, int values, int registers) {
    std::vector<float> out(1);
    const std::string n = std::to_string(values);
    return private_of(
        one_group(
            "[[kernel]] void f(device " + type +
                "* x [[buffer(0)]],\n"
                "    uint lane [[thread_index_in_simdgroup]]) {\n"
                "  " +
                type + " a[" + n +
                "];\n"
                "  _Pragma(\"clang loop unroll(full)\")\n"
                "  for (int k = 0; k < " +
                n +
                "; ++k) a[k] = x[64 * k + lane];\n"
                "  threadgroup_barrier(mem_flags::mem_device);\n"
                "  _Pragma(\"clang loop unroll(full)\")\n"
                "  for (int k = 0; k < " +
                n + "; ++k) x[64 * k + lane + 1] = a[k];\n}",
            1,
            {output(out)}),
        registers);
  };
  EXPECT_EQ(
      count("float", 96, 128).registers - count("float", 64, 128).registers,
      32);
  EXPECT_EQ(count("float", 96, 128).memory, 0);
  EXPECT_GE(count("float", 96, 64).memory, 4 * 32);
}

} // namespace
} // namespace tessera::metal
