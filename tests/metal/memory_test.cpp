#include "metal/run.h"

namespace tessera::metal {
namespace {

// A kernel of 32 threads with an input and an output of 32 floats.
struct Memory : testing::Test {
  std::vector<float> in = std::vector<float>(32, 1.0f);
  std::vector<float> out = std::vector<float>(32);

  Dispatch kernel(const std::string& body) {
    return one_group(
        "[[kernel]] void f(const device float* in [[buffer(0)]],\n"
        "    device float* out [[buffer(1)]],\n"
        "    uint i [[thread_position_in_grid]]) {\n" +
            body + "\n}",
        32,
        {input(in), output(out)});
  }
};

TEST_F(Memory, CatchesReadsOutOfBounds) {
  EXPECT_CAUGHT(
      kernel("out[i] = in[i + 1];"),
      kernel("out[i] = in[i];"),
      "thread (31, 0, 0) of threadgroup (0, 0, 0): a read of 4 bytes is out of "
      "bounds: bytes 128 to 131 of the 128 of buffer 0");
  EXPECT_CAUGHT(
      kernel("out[i] = in[int(i) - 1];"),
      kernel("out[i] = in[max(int(i) - 1, 0)];"),
      "bytes -4 to -1");
}

TEST_F(Memory, CatchesWritesOutOfBounds) {
  EXPECT_CAUGHT(
      kernel("out[i == 7 ? 32 : i] = 0;"),
      kernel("out[i] = 0;"),
      "thread (7, 0, 0) of threadgroup (0, 0, 0): a write of 4 bytes is out of "
      "bounds");
}

TEST_F(Memory, ReachesNoOtherBufferByAStrayIndex) {
  EXPECT_CAUGHT(
      kernel("out[i] = in[1 << 30];"),
      kernel("out[i] = in[(1 << 30) & 31];"),
      "of buffer 0");
}

TEST_F(Memory, CatchesOffsetsThatOverflow) {
  // 3 GiB as an int wraps around.
  EXPECT_CAUGHT(
      kernel("int rows = 3 << 20; out[i] = in[(rows * 1024 + int(i)) >> 0];"),
      kernel("long rows = 3 << 20; out[i] = in[(rows * 1024 + i) & 31];"),
      "bytes -");
}

TEST_F(Memory, CatchesAWriteToAnInput) {
  EXPECT_CAUGHT(
      kernel("((device float*)in)[i] = 0; out[i] = 0;"),
      kernel("float x[1]; x[0] = 0; out[i] = x[0];"),
      "is to buffer 0, which is an input");
}

TEST_F(Memory, CatchesAMissingBuffer) {
  const std::string text =
      "[[kernel]] void f(device float* out [[buffer(0)]],\n"
      "    const device float* in [[buffer(1)]]) { out[0] = in[0]; }";
  EXPECT_CAUGHT(
      one_group(text, 1, {output(out)}),
      one_group(text, 1, {output(out), input(in)}),
      "out of bounds of everything");
}

TEST_F(Memory, CatchesReadsOfAnOutputThatNothingWrote) {
  EXPECT_CAUGHT(
      kernel("out[i] += in[i];"),
      kernel("out[i] = in[i]; out[i] += 1;"),
      "reads what nothing has written");
  Dispatch filled = kernel("out[i] += in[i];");
  filled.buffers[1].filled = true;
  out.assign(32, 2.0f);
  EXPECT_EQ(caught(filled), "");
  EXPECT_EQ(out, std::vector<float>(32, 3.0f));
}

TEST_F(Memory, CountsWhatNothingWrote) {
  EXPECT_EQ(execute(kernel("out[i] = 0;")).unwritten_bytes, 0u);
  EXPECT_EQ(execute(kernel("if (i > 2) out[i] = 0;")).unwritten_bytes, 12u);
}

TEST_F(Memory, CatchesReadsOfThreadgroupMemoryThatNothingWrote) {
  const auto body = [](const std::string& condition) {
    return "threadgroup float t[33]; if (" + condition +
        ") t[i] = in[i];\n"
        "threadgroup_barrier(mem_flags::mem_threadgroup); out[i] = t[31 - i];";
  };
  EXPECT_CAUGHT(
      kernel(body("i != 5")),
      kernel(body("true")),
      "thread (26, 0, 0) of threadgroup (0, 0, 0): a read of 4 bytes reads "
      "threadgroup memory that nothing has written");
}

TEST_F(Memory, ThreadgroupMemoryIsForgottenBetweenThreadgroups) {
  Dispatch twice = kernel(
      "threadgroup float t[16]; if (i < 16) t[i] = 0; "
      "simdgroup_barrier(mem_flags::mem_threadgroup); out[i] = t[i & 15];");
  twice.threadgroup = {16, 1, 1};
  const std::string what = caught(twice);
  EXPECT_NE(what.find("of threadgroup (1, 0, 0): a read"), std::string::npos)
      << what;
}

TEST_F(Memory, CatchesAccessesBesideAThreadgroupVariable) {
  const auto body = [](const std::string& index) {
    return "threadgroup float a[32]; threadgroup float b[32];\n"
           "b[i] = 0; a[" +
        index + "] = 1; out[i] = b[i];";
  };
  EXPECT_CAUGHT(
      kernel(body("i + 1")),
      kernel(body("i")),
      "out of bounds of every threadgroup variable");
}

TEST_F(Memory, CatchesTooMuchThreadgroupMemory) {
  const auto body = [](int floats) {
    return "threadgroup float a[4096]; threadgroup float b[" +
        std::to_string(floats) +
        "];\na[i] = 0; b[i] = 1; out[i] = a[i] + b[i];";
  };
  EXPECT_CAUGHT(
      kernel(body(4097)),
      kernel(body(4096)),
      "expected threadgroup memory of at most 32768 bytes; got 32772");
  EXPECT_EQ(execute(kernel(body(4096))).threadgroup_memory, 32768u);
}

TEST_F(Memory, CatchesUninitialisedVariables) {
  const auto body = [](const std::string& start) {
    return "float best" + start + "; best = max(best, in[i]); out[i] = best;";
  };
  const Options registers{.registers = true};
  EXPECT_EQ(caught(kernel(body(" = -1")), registers), "");
  const std::string what = caught(kernel(body("")), registers);
  EXPECT_EQ(what, "") << "max(NaN, 1) is 1 as max(0, 1) is";
  in.assign(32, -1.0f);
  const std::string lower = caught(kernel(body("")), registers);
  EXPECT_NE(
      lower.find("depends on what an uninitialised variable holds"),
      std::string::npos)
      << lower;
}

TEST_F(Memory, CatchesUninitialisedMatrices) {
  const auto body = [](const std::string& start) {
    return "simdgroup_matrix<float, 8, 8> a(1.0f), c" + start +
        "; simdgroup_multiply_accumulate(c, a, a, c);\n"
        "out[i] = c.thread_elements().x;";
  };
  const Options registers{.registers = true};
  EXPECT_EQ(caught(kernel(body("(0.0f)")), registers), "");
  EXPECT_NE(
      caught(kernel(body("")), registers).find("uninitialised"),
      std::string::npos);
}

TEST_F(Memory, SaysTheLine) {
  const std::string what = caught(kernel("float x = 1;\nout[i + 1] = x;"));
  // Two lines of prelude, three of signature, the second of the body.
  EXPECT_NE(what.find("\n    at text.metal:7"), std::string::npos) << what;
}

} // namespace
} // namespace tessera::metal
