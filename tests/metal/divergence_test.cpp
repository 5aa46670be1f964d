#include "metal/run.h"

namespace tessera::metal {
namespace {

struct Divergence : testing::Test {
  std::vector<float> out = std::vector<float>(64);

  Dispatch kernel(const std::string& body, std::uint32_t threads = 64) {
    return one_group(
        "[[kernel]] void f(device float* out [[buffer(0)]],\n"
        "    uint i [[thread_position_in_grid]]) {\n"
        "  float x = i;\n" +
            body + "\n  out[i] = x;\n}",
        threads,
        {output(out)});
  }
};

const std::string barrier = "threadgroup_barrier(mem_flags::mem_none);";

TEST_F(Divergence, ABarrierThatSomeThreadsMiss) {
  EXPECT_CAUGHT(
      kernel("if (i < 63) " + barrier),
      kernel("if (i < 64) " + barrier),
      "never reach the threadgroup_barrier at which thread");
}

TEST_F(Divergence, ABarrierThatASimdgroupMisses) {
  EXPECT_CAUGHT(
      kernel("if (i < 32) " + barrier),
      kernel("if (i < 64) " + barrier),
      "32 of its threadgroup's 64 threads ended");
}

TEST_F(Divergence, TwoBarriersAtOnce) {
  EXPECT_CAUGHT(
      kernel("if (i & 1) { " + barrier + " x += 1; } else { " + barrier + " }"),
      kernel(barrier + " if (i & 1) x += 1;"),
      "divergence: reaches a");
  EXPECT_CAUGHT(
      kernel(
          "if (i < 32) { " + barrier + " x += 1; } else { " + barrier + " }"),
      kernel(barrier + " if (i < 32) x += 1;"),
      "divergence: reaches a");
}

TEST_F(Divergence, AThreadThatReturnsBeforeABarrier) {
  EXPECT_CAUGHT(
      kernel("if (i == 3) { out[i] = 0; return; } " + barrier),
      kernel("if (i == 3) x = 0; " + barrier),
      "never reach the");
}

TEST_F(Divergence, SimdgroupFunctions) {
  for (const char* call :
       {"simd_sum(x)",
        "simd_max(x)",
        "simd_shuffle_xor(x, ushort(1))",
        "float(simd_any(x > 3))",
        "simd_broadcast(x, ushort(0))"}) {
    SCOPED_TRACE(call);
    EXPECT_CAUGHT(
        kernel(std::string("if (i & 2) x = ") + call + ";"),
        kernel(std::string("float y = ") + call + "; if (i & 2) x = y;"),
        "of its threadgroup's 64 threads ended");
  }
}

TEST_F(Divergence, SimdgroupFunctionsOfTwoBranches) {
  EXPECT_CAUGHT(
      kernel("if (i & 2) x = simd_sum(x); else x = simd_max(x);"),
      kernel("if (i & 32) x = simd_sum(x); else x = simd_max(x);"),
      "divergence: reaches a simd reduction while thread");
}

TEST_F(Divergence, Matrices) {
  const auto body = [](const std::string& condition) {
    return "simdgroup_matrix<float, 8, 8> a(1.0f), c(0.0f);\n"
           "if (" +
        condition +
        ") simdgroup_multiply_accumulate(c, a, a, c);\n"
        "x = c.thread_elements().x;";
  };
  EXPECT_CAUGHT(
      kernel(body("i & 2")),
      kernel(body("i & 32")),
      "simdgroup matrix multiply at which thread");
  EXPECT_CAUGHT(
      kernel(body("true"), 40),
      kernel(body("i < 32"), 40),
      "a simdgroup matrix needs 32 threads");
}

TEST_F(Divergence, AShuffleFromNowhere) {
  EXPECT_CAUGHT(
      kernel("x = simd_shuffle(x, ushort(i % 32 + 1));"),
      kernel("x = simd_shuffle(x, ushort(i % 32));"),
      "simd_shuffle from a lane that there is not");
}

TEST_F(Divergence, MoreThreadsThanTheKernelTakes) {
  const auto limited = [&](const std::string& limit) {
    Dispatch dispatch = kernel("");
    dispatch.source.replace(
        dispatch.source.find("[[kernel]]"),
        10,
        "[[kernel, max_total_threads_per_threadgroup(" + limit + ")]]");
    return dispatch;
  };
  EXPECT_CAUGHT(
      limited("32"),
      limited("2 * 32"),
      "expected 1 to 32 threads a threadgroup; got 64");
}

TEST_F(Divergence, TheLimitOfATemplate) {
  const auto limited = [&](int simdgroups) {
    Dispatch dispatch = one_group(
        "template <typename T, int W>\n"
        "[[kernel, max_total_threads_per_threadgroup(W * 32)]] void f(\n"
        "    device T* out [[buffer(0)]],\n"
        "    uint i [[thread_position_in_grid]]) { out[i] = T(W); }",
        64,
        {output(out)});
    dispatch.function = "f<float, " + std::to_string(simdgroups) + ">";
    return dispatch;
  };
  EXPECT_CAUGHT(limited(1), limited(2), "expected 1 to 32 threads");
}

TEST_F(Divergence, MoreThreadsThanAGpuTakes) {
  out.resize(1025);
  EXPECT_CAUGHT(
      kernel("", 1025),
      kernel("", 1024),
      "expected 1 to 1024 threads a threadgroup; got 1025");
}

} // namespace
} // namespace tessera::metal
