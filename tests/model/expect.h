#pragma once

#include <gtest/gtest.h>

#include <string>

#include "tessera/error.h"

namespace tessera {

// Runs `f`, which must throw an InputError of one line that holds `part`.
template <typename F>
void expect_rejected(F&& f, const std::string& part) {
  try {
    f();
  } catch (const InputError& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find(part), std::string::npos)
        << "expected: " << part << "\ngot: " << text;
    EXPECT_EQ(text.find('\n'), std::string::npos) << text;
    return;
  }
  ADD_FAILURE() << "expected an InputError with: " << part;
}

} // namespace tessera
