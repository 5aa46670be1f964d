#include "plan/table.h"

#include <gtest/gtest.h>

#include <string>

namespace tessera {
namespace {

Problem problem_of(int N) {
  Problem problem;
  problem.B = 1;
  problem.Hq = 8;
  problem.Hkv = 2;
  problem.Nq = problem.Nk = N;
  problem.D = problem.Dv = 64;
  return problem;
}

const Device device{Isa::avx512, 2, std::size_t{1} << 21, "Some CPU @ 2 GHz"};

Table small_table() {
  Table table;
  table[key_of(problem_of(2048), device)] = {192, 96, true};
  Problem windowed = problem_of(4096);
  windowed.pass = Pass::backward;
  windowed.dtype = Dtype::bfloat16;
  windowed.causal = true;
  windowed.left = 511;
  windowed.right = 0;
  table[key_of(windowed, device)] = {48, 64, false};
  return table;
}

std::string reason_of(std::string_view text) {
  const auto parsed = parse_table(text);
  const auto* reason = std::get_if<std::string>(&parsed);
  return reason == nullptr ? "" : *reason;
}

std::string replaced(
    std::string text, std::string_view from, std::string_view to) {
  const auto at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(Table, IsReadBackAsItWas) {
  const auto table = small_table();
  const auto parsed = parse_table(to_text(table));
  ASSERT_TRUE(std::holds_alternative<Table>(parsed))
      << std::get<std::string>(parsed);
  EXPECT_EQ(std::get<Table>(parsed), table);
  EXPECT_EQ(std::get<Table>(parse_table(to_text({}))), Table{});
}

TEST(Table, LengthsOfOnePowerOfTwoShareAnEntry) {
  const auto table = small_table();
  EXPECT_EQ(
      lookup(table, problem_of(3000), device), (TableEntry{192, 96, true}));
  EXPECT_EQ(lookup(table, problem_of(2047), device), std::nullopt);
  EXPECT_EQ(lookup(table, problem_of(4096), device), std::nullopt);
}

// A plan of another machine or another kind of problem is no plan of this one.
TEST(Table, WhateverABlockSizeDependsOnTellsProblemsApart) {
  const auto table = small_table();
  const auto misses = [&](auto change) {
    auto problem = problem_of(2048);
    change(problem);
    return !lookup(table, problem, device);
  };
  EXPECT_FALSE(misses([](Problem&) {}));
  EXPECT_TRUE(misses([](Problem& p) { p.pass = Pass::backward; }));
  EXPECT_TRUE(misses([](Problem& p) { p.dtype = Dtype::float16; }));
  EXPECT_TRUE(misses([](Problem& p) { p.D = 128; }));
  EXPECT_TRUE(misses([](Problem& p) { p.Dv = 128; }));
  EXPECT_TRUE(misses([](Problem& p) { p.Hkv = 8; }));
  EXPECT_TRUE(misses([](Problem& p) { p.B = 4; }));
  EXPECT_TRUE(misses([](Problem& p) { p.Nq = 1; }));
  EXPECT_TRUE(misses([](Problem& p) { p.causal = true; }));
  EXPECT_TRUE(misses([](Problem& p) { p.left = 100; }));
  EXPECT_TRUE(misses([](Problem& p) { p.right = 100; }));
  EXPECT_TRUE(misses([](Problem& p) { p.chunk = 100; }));
  EXPECT_TRUE(misses([](Problem& p) { p.block_rows = p.block_columns = 64; }));
  EXPECT_TRUE(misses([](Problem& p) { p.features.prefix = true; }));
  EXPECT_TRUE(misses([](Problem& p) { p.features.segments = true; }));
  EXPECT_TRUE(misses([](Problem& p) { p.features.mask = true; }));
  EXPECT_TRUE(misses([](Problem& p) { p.features.bias = true; }));
  EXPECT_TRUE(misses([](Problem& p) { p.features.alibi = true; }));
  EXPECT_TRUE(misses([](Problem& p) { p.features.softcap = true; }));
  EXPECT_TRUE(misses([](Problem& p) { p.features.sinks = true; }));
  EXPECT_TRUE(misses([](Problem& p) { p.features.dropout = true; }));
}

TEST(Table, AnotherDeviceHasNoEntry) {
  const auto table = small_table();
  Device other = device;
  other.isa = Isa::avx2;
  EXPECT_EQ(lookup(table, problem_of(2048), other), std::nullopt);
  other = device;
  other.threads = 3;
  EXPECT_EQ(lookup(table, problem_of(2048), other), std::nullopt);
  other = device;
  other.processor = "Another CPU";
  EXPECT_EQ(lookup(table, problem_of(2048), other), std::nullopt);
}

TEST(Table, OfOtherDevicesAloneIsForeign) {
  auto table = small_table();
  Device other = device;
  other.processor = "Another CPU";
  EXPECT_EQ(why_foreign(table, {machine_of(device)}), "");
  EXPECT_EQ(
      why_foreign(table, {machine_of(other)}),
      "expected entries measured on Another CPU (avx512, 2 threads, 2048 KiB "
      "of cache); got those of Some CPU @ 2 GHz (avx512, 2 threads, 2048 KiB "
      "of cache)");
  EXPECT_EQ(why_foreign({}, {machine_of(other)}), "");
  table[key_of(problem_of(7), other)] = {48, 48, false}; // a shared home
  EXPECT_EQ(why_foreign(table, {machine_of(device)}), "");
  EXPECT_EQ(why_foreign(table, {machine_of(other)}), "");
}

// A Mac has entries of its processor and of its GPU.
TEST(Table, AGpuIsAMachineOfItsOwn) {
  const Machine gpu = {"Apple M1 Pro", "metal m1"};
  auto table = small_table();
  table[key_of(problem_of(2048), gpu)] = {64, 32, false};
  EXPECT_EQ(lookup(table, problem_of(2048), gpu), (TableEntry{64, 32, false}));
  EXPECT_EQ(
      lookup(table, problem_of(2048), device), (TableEntry{192, 96, true}));
  EXPECT_EQ(std::get<Table>(parse_table(to_text(table))), table);
  Device other = device;
  other.processor = "Another CPU";
  EXPECT_EQ(why_foreign(table, {machine_of(other), gpu}), "");
  const Machine later = {"Apple M3", "metal m3"};
  EXPECT_EQ(
      why_foreign({{key_of(problem_of(7), gpu), {64, 32, false}}}, {later}),
      "expected entries measured on Apple M3 (metal m3); got those of Apple M1 "
      "Pro (metal m1)");
}

TEST(Table, AProblemOfNothingHasAKey) {
  EXPECT_EQ(key_of(Problem{}, Device{}).Nq_log2, 0);
}

TEST(Table, TellsWhyAFileIsNoTable) {
  const auto text = to_text(small_table());
  EXPECT_EQ(
      reason_of("{\"model_type\": \"llama\"}"),
      "expected a tessera tuning table; got another file");
  EXPECT_EQ(
      reason_of("[]"), "expected a tessera tuning table; got another file");
  EXPECT_EQ(
      reason_of(text.substr(0, text.size() / 2)),
      "expected a tessera tuning table; got a text that is no JSON");
  EXPECT_EQ(
      reason_of(""), "expected a tessera tuning table; got an empty file");
  EXPECT_EQ(
      reason_of(replaced(text, "\"version\": 2", "\"version\": 1")),
      "expected version 2; got 1");
}

TEST(Table, EveryDamageHasAReason) {
  const auto text = to_text(small_table());
  for (const auto* rows :
       {"-96",
        "0",
        "1e9",
        "2000000",
        "18446744073709551615",
        "\"192\"",
        "true",
        "null",
        "[]"}) {
    EXPECT_NE(
        reason_of(
            replaced(text, "\"rows\": 192", std::string("\"rows\": ") + rows)),
        "")
        << rows;
  }
  EXPECT_NE(reason_of(replaced(text, "\"rows\": 192", "\"lines\": 192")), "");
  EXPECT_NE(
      reason_of(replaced(text, "\"isa\": \"avx512\"", "\"isa\": 512")), "");
  EXPECT_NE(
      reason_of(replaced(text, "\"entries\": [", "\"entries\": [[],")), "");
  EXPECT_NE(reason_of(R"({"format":"tessera tuning table","version":2})"), "");
  EXPECT_NE(
      reason_of(R"({"format":"tessera tuning table","version":2,"entries":7})"),
      "");
  EXPECT_NE(reason_of(std::string(100000, '[')), "");
  // No prefix of a table is one, and none throws.
  for (std::size_t length = 0; length + 2 < text.size(); length += 7) {
    EXPECT_NE(reason_of(text.substr(0, length)), "") << length;
  }
}

} // namespace
} // namespace tessera
