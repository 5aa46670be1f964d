#pragma once

#include "api/metal/sweep.h"
#include "api/metal/text_launcher.h"
#include "plan/metal/device.h"

// What a thread keeps, beside what its plan claims.
namespace tessera::test {

// For every kernel of a case and its gradients: what a compiler takes that may
// use all registers of the family.
inline void expect_within_claims(const Case& c, metal::Family family) {
  auto launcher = std::make_shared<TextLauncher>();
  on_metal(c, random_inputs(c), family, 1e9, launcher);
  for (const auto& [plan, dispatch] : launcher->texts) {
    const int claimed = metal::resources(plan).registers;
    const auto counted =
        metal::private_of(dispatch, metal::limits(family).registers);
    EXPECT_LE(4 * counted.registers + counted.memory, 4 * claimed)
        << metal::name(plan.pass) << ' ' << metal::name(family) << ": "
        << counted.registers << " registers and " << counted.memory
        << " bytes of " << claimed << " registers; " << describe(c, {});
  }
}

// One head of 40 queries and keys.
inline Case case_of_registers(int D, Dtype dtype) {
  Case c = make_case(40, 40, D, false, 1, 1);
  c.problem.B = 1;
  c.problem.dtype = dtype;
  return c;
}

inline Case with_feature(Case c, const FeatureRow& row) {
  Generator g(1);
  row.add(c, g);
  return c;
}

inline Case with_all_features(Case c) {
  Generator g(1);
  for (const auto& row : feature_rows) {
    row.add(c, g);
  }
  return c;
}

} // namespace tessera::test
