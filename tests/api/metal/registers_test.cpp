#include "api/metal/registers.h"

#include <gtest/gtest.h>

namespace tessera::test {
namespace {

// A part of the nightly MetalRegisters.OfEveryKernel.
TEST(MetalRegisters, OfEveryPass) {
  for (const int D : {64, 128, 512}) {
    expect_within_claims(
        case_of_registers(D, Dtype::bfloat16), metal::Family::m1);
  }
  for (const int D : {64, 128}) {
    expect_within_claims(
        case_of_registers(D, Dtype::float32), metal::Family::m1);
  }
}

// Those that take most; what they do hardly depends on the head dimension.
TEST(MetalRegisters, OfFeatures) {
  const Case plain = case_of_registers(16, Dtype::bfloat16);
  for (const auto& row : feature_rows) {
    const std::string_view name = row.name;
    if (name == "chunk" || name == "mask" || name == "bias" ||
        name == "dropout") {
      expect_within_claims(with_feature(plain, row), metal::Family::m1);
    }
  }
  expect_within_claims(with_all_features(plain), metal::Family::m1);
}

// A count that is too low is found: half of what a kernel takes is not enough.
TEST(MetalRegisters, AreNotEnoughWhereThereAreTooFew) {
  auto launcher = std::make_shared<TextLauncher>();
  const Case c = case_of_registers(64, Dtype::bfloat16);
  on_metal(c, random_inputs(c), metal::Family::m1, 1e9, launcher);
  const auto& dispatch = launcher->texts.at(0).second;
  EXPECT_EQ(metal::private_of(dispatch, 128).memory, 0);
  EXPECT_GT(metal::private_of(dispatch, 64).memory, 0);
}

} // namespace
} // namespace tessera::test
