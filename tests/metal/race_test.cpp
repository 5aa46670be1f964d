#include "metal/run.h"

namespace tessera::metal {
namespace {

// 64 threads, two simdgroups, over a threadgroup array of 64.
struct Race : testing::Test {
  std::vector<float> in = std::vector<float>(64, 1.0f);
  std::vector<float> out = std::vector<float>(64);

  Dispatch kernel(const std::string& body) {
    return one_group(
        "[[kernel]] void f(const device float* in [[buffer(0)]],\n"
        "    device float* out [[buffer(1)]],\n"
        "    uint i [[thread_position_in_grid]],\n"
        "    uint lane [[thread_index_in_simdgroup]],\n"
        "    uint simd [[simdgroup_index_in_threadgroup]]) {\n"
        "  threadgroup float t[64];\n" +
            body + "\n}",
        64,
        {input(in), output(out)});
  }
};

const std::string group_barrier =
    "threadgroup_barrier(mem_flags::mem_threadgroup);";
const std::string simd_barrier =
    "simdgroup_barrier(mem_flags::mem_threadgroup);";

TEST_F(Race, BetweenSimdgroups) {
  const auto body = [](const std::string& barrier) {
    return "t[i] = 0;" + group_barrier + "t[i] = in[i];" + barrier +
        "out[i] = t[63 - i];";
  };
  EXPECT_CAUGHT(
      kernel(body(simd_barrier)), kernel(body(group_barrier)), "races with");
}

TEST_F(Race, ABarrierOfAnotherMemoryOrdersNothing) {
  const auto body = [](const std::string& flags) {
    return "t[i] = in[i]; threadgroup_barrier(mem_flags::" + flags +
        "); out[i] = t[63 - i];";
  };
  EXPECT_CAUGHT(
      kernel(body("mem_device")),
      kernel(body("mem_threadgroup")),
      "races with thread");
  EXPECT_CAUGHT(
      kernel(body("mem_none")),
      kernel(body("mem_threadgroup | mem_flags::mem_device")),
      "races with thread");
}

TEST_F(Race, BetweenLanes) {
  const auto body = [](const std::string& barrier) {
    return "t[i] = 0;" + group_barrier + "t[i] = in[i];" + barrier +
        "out[i] = t[i ^ 1];";
  };
  EXPECT_CAUGHT(kernel(body("")), kernel(body(simd_barrier)), "races with");
  // A shuffle brings lanes together and orders no memory.
  EXPECT_CAUGHT(
      kernel(body("float x = simd_sum(in[i]);")),
      kernel(body("float x = simd_sum(in[i]);" + simd_barrier)),
      "races with");
}

TEST_F(Race, AWriteAfterOthersRead) {
  const auto body = [](const std::string& barrier) {
    return "if (i == 0) t[0] = 1;" + group_barrier + "float x = t[0];" +
        barrier + "if (i == 40) t[0] = 2; out[i] = x;";
  };
  EXPECT_CAUGHT(kernel(body("")), kernel(body(group_barrier)), "races with");
  EXPECT_CAUGHT(
      kernel(body(simd_barrier)), kernel(body(group_barrier)), "races with");
}

TEST_F(Race, TwoWritesOfOneValue) {
  const auto body = [](const std::string& index) {
    return "t[" + index + "] = 1;" + group_barrier + "out[i] = t[0];";
  };
  EXPECT_CAUGHT(kernel(body("0")), kernel(body("i")), "races with");
}

TEST_F(Race, InDeviceMemoryOfOneThreadgroup) {
  const auto body = [](const std::string& flags) {
    return "out[i] = in[i]; threadgroup_barrier(mem_flags::" + flags +
        "); t[i] = out[63 - i];";
  };
  EXPECT_CAUGHT(
      kernel(body("mem_threadgroup")),
      kernel(body("mem_device")),
      "races with a write of another thread of its threadgroup");
}

struct Groups : Race {
  Dispatch two(const std::string& body) {
    Dispatch dispatch = kernel(body);
    dispatch.threadgroup = {32, 1, 1};
    return dispatch;
  }
};

TEST_F(Groups, WritesOfTwoThreadgroups) {
  EXPECT_CAUGHT(
      two("out[lane] = 1;"),
      two("out[i] = 1;"),
      "races with another threadgroup's write: byte 0 of buffer 1");
}

TEST_F(Groups, AReadOfWhatAnotherWrites) {
  // In this order of threadgroups the value is the right one.
  EXPECT_CAUGHT(
      two("out[i] = 1; if (i == 40) out[i] = out[3];"),
      two("out[i] = 1; if (i == 40) out[i] = out[40];"),
      "races with another threadgroup's write");
  Dispatch filled = two("float x = i < 32 ? out[40] : 0; out[i] = x;");
  filled.buffers[1].filled = true;
  const std::string what = caught(filled);
  EXPECT_NE(what.find("another threadgroup's read"), std::string::npos) << what;
}

TEST_F(Race, SchedulesReachTheSameBits) {
  const Options four{.schedules = 4};
  EXPECT_EQ(
      caught(
          kernel("t[i] = in[i];" + group_barrier + "out[i] = t[63 - i];"),
          four),
      "");
}

// Tickets are no race, and still depend on who comes first.
TEST_F(Race, SchedulesDiffer) {
  std::vector<std::uint32_t> count = {0};
  const auto tickets = [&](const std::string& value) {
    Dispatch dispatch = one_group(
        "[[kernel]] void f(device atomic_uint* count [[buffer(0)]],\n"
        "    device float* out [[buffer(1)]],\n"
        "    uint i [[thread_position_in_grid]]) {\n"
        "  uint ticket = atomic_fetch_add_explicit(\n"
        "      count, 1, memory_order_relaxed);\n"
        "  out[i] = " +
            value + ";\n}",
        64,
        {output(count), output(out)});
    dispatch.buffers[0].filled = true;
    return dispatch;
  };
  const Options four{.schedules = 4};
  EXPECT_EQ(caught(tickets("ticket < 64 ? i : 0"), four), "");
  EXPECT_EQ(count[0], 64u);
  count = {0};
  EXPECT_EQ(caught(tickets("ticket")), "");
  const std::string what = caught(tickets("ticket"), four);
  EXPECT_NE(
      what.find("depends on the order in which threads run"), std::string::npos)
      << what;
}

} // namespace
} // namespace tessera::metal
