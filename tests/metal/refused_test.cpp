#include "metal/run.h"

namespace tessera::metal {
namespace {

struct Refused : testing::Test {
  static std::string why(const std::string& text) {
    try {
      check_address_spaces(prelude + text, "f");
    } catch (const ExecutionError& error) {
      return error.what();
    }
    return "";
  }
  static std::string body(const std::string& statement) {
    return why(
        "[[kernel]] void f(const device float* in [[buffer(0)]],\n"
        "    device float* out [[buffer(1)]]) { threadgroup float t[4]; " +
        statement + " }");
  }
};

TEST_F(Refused, MixedAddressSpaces) {
  EXPECT_EQ(body("const device float* p = in; out[0] = *p;"), "");
  EXPECT_NE(body("const threadgroup float* p = in;"), "");
  EXPECT_NE(body("device float* p = t;"), "");
  EXPECT_EQ(body("threadgroup float* p = t; *p = 0;"), "");
  EXPECT_NE(body("thread float* p = out;"), "");
  EXPECT_NE(body("device float* p = in;"), "") << "const is lost";
}

TEST_F(Refused, PointersWithoutAddressSpace) {
  EXPECT_NE(body("const float* p = in;"), "");
  EXPECT_NE(body("float x; float& r = x;"), "");
  EXPECT_EQ(body("float x; thread float& r = x; r = 1;"), "");
  EXPECT_NE(why("[[kernel]] void f(float* out [[buffer(0)]]) {}"), "");
  EXPECT_NE(
      why("struct S { float* p; };\n"
          "[[kernel]] void f(device float* out [[buffer(0)]]) {}"),
      "");
}

TEST_F(Refused, NoProductOfWhatIsATypeElsewhere) {
  EXPECT_EQ(
      why("template <typename P> void g(const thread P& p) {}\n"
          "[[kernel]] void f(device float* out [[buffer(0)]]) {\n"
          "  float P = 2; const float x = P * (P * P - 1); g(x);\n"
          "  out[0] = P * x; }"),
      "");
  EXPECT_NE(
      why("template <typename T> void g(const T* p) {}\n"
          "[[kernel]] void f(device float* out [[buffer(0)]]) {}"),
      "");
}

TEST_F(Refused, MetalsOwnWordsAsNames) {
  EXPECT_NE(body("float fragment = in[0]; out[0] = fragment;"), "");
  EXPECT_NE(body("float vertex = in[0]; out[0] = vertex;"), "");
  EXPECT_EQ(body("float fragments = in[0]; out[0] = fragments;"), "");
}

TEST_F(Refused, MoreBuffersThanAKernelMayHave) {
  const auto run = [](std::size_t count) {
    std::vector<std::vector<float>> arrays(count, std::vector<float>(1));
    std::vector<Buffer> buffers;
    for (auto& array : arrays)
      buffers.push_back({array.data(), sizeof(float), true});
    execute(
        {prelude +
             std::string("[[kernel]] void f(device float* out "
                         "[[buffer(0)]]) { out[0] = 1; }"),
         "f",
         {1, 1, 1},
         {1, 1, 1},
         buffers});
  };
  EXPECT_NO_THROW(run(31));
  EXPECT_THROW(run(32), ExecutionError);
}

TEST_F(Refused, FloatsThatBecomeBfloats) {
  EXPECT_NE(body("bfloat b = in[0];"), "");
  EXPECT_EQ(body("bfloat b = bfloat(in[0]); out[0] = b;"), "");
  EXPECT_EQ(body("half h = in[0]; out[0] = h;"), "");
}

TEST_F(Refused, WhatMetalHasNot) {
  EXPECT_NE(body("double x = 1;"), "");
  EXPECT_NE(body("auto g = [&] { return 1; };"), "");
  EXPECT_NE(body("throw 1;"), "");
  EXPECT_NE(body("undeclared(1);"), "");
}

TEST_F(Refused, ThreadgroupVariablesOutsideKernels) {
  EXPECT_EQ(body("{ threadgroup float u[2]; u[0] = 1; }"), "");
  EXPECT_NE(
      why("void g() { threadgroup float t[4]; t[0] = 1; }\n"
          "[[kernel]] void f(device float* out [[buffer(0)]]) { g(); }")
          .find("threadgroup variables in kernels alone"),
      std::string::npos);
  EXPECT_EQ(
      why("kernel void f(device float* out [[buffer(0)]]) {\n"
          "  threadgroup float t[4], u; t[0] = 1; u = 2; out[0] = t[0] + u; }"),
      "");
}

TEST_F(Refused, AParameterWithoutAttribute) {
  EXPECT_NE(
      why("[[kernel]] void f(device float* out) {}").find("attribute"),
      std::string::npos);
}

} // namespace
} // namespace tessera::metal
