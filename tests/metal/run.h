#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "metal/executor.h"

// Small kernels for the executor's own tests.
namespace tessera::metal {

inline const std::string prelude =
    "#include <metal_stdlib>\n"
    "using namespace metal;\n";

template <typename T>
Buffer input(std::vector<T>& values) {
  return {values.data(), values.size() * sizeof(T), false};
}

template <typename T>
Buffer output(std::vector<T>& values) {
  return {values.data(), values.size() * sizeof(T), true};
}

// One threadgroup of `threads`.
inline Dispatch one_group(
    const std::string& source,
    std::uint32_t threads,
    std::vector<Buffer> buffers) {
  return {
      prelude + source,
      "f",
      {threads, 1, 1},
      {threads, 1, 1},
      std::move(buffers)};
}

// What execution caught; empty where it went well.
inline std::string caught(
    const Dispatch& dispatch, const Options& options = {}) {
  try {
    execute(dispatch, options);
  } catch (const ExecutionError& error) {
    return error.what();
  }
  return "";
}

// The twin without the fault runs; the one with it fails, and says what.
#define EXPECT_CAUGHT(faulty, sound, words)                 \
  do {                                                      \
    EXPECT_EQ(caught(sound), "");                           \
    const std::string what = caught(faulty);                \
    EXPECT_NE(what.find(words), std::string::npos) << what; \
  } while (false)

} // namespace tessera::metal
